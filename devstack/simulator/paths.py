"""The paths that the simulator serves and the names in them, for its servers and for its client."""

RECHARGES_PATH = "/recharges"
STATEMENT_PATH = "/statement"
DUMMY_PRODUCER_PATH = "/dummyProducerCrash"
ORDER_ID = "orderId"
"""The field of a body and the parameter of a query that carry our reference where no header does."""
