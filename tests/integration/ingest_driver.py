"""Runs the intake alone, in a process that a test may kill. Its settings come from the environment, as for `recharge ingest`."""

import sys

from app import ingest, process
from app.environment import IngestEnvironment, load
from app.logging import configure_logging

if __name__ == "__main__":
    configure_logging(json=True)
    settings = load(IngestEnvironment)
    sys.stdout.write("started\n")
    process.leave(process.serve(lambda stop: ingest.run(settings, stop)))
