"""The service without one of its safeguards, to see that a check notices: in a process of its own, or inside a test's."""
