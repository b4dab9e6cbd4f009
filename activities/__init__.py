"""The effects: the call, the look-up, and the ledger that decides about both."""
