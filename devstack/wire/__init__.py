"""Between the service and its servers: a proxy that counts the messages on the wire and acts exactly between two of them."""
