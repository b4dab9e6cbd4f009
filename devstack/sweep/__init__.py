"""A fault at every message: the service killed, frozen or cut off at each boundary of a record's way, and what became of the record."""
