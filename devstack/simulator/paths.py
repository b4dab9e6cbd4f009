"""The paths that the simulator serves, for its servers and for its client."""

RECHARGES_PATH = "/recharges"
STATEMENT_PATH = "/statement"
DUMMY_PRODUCER_PATH = "/dummyProducerCrash"
