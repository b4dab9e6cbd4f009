"""The wiring: the command line, and one small file a process. It alone reads the environment, and nothing imports it."""
