"""What an intake hears from a worker in its own process, on its own Temporal client."""

from dataclasses import dataclass, field

from ingest.beginnings import Beginnings
from ingest.endings import Endings


@dataclass(frozen=True, slots=True)
class WorkerBeside:
    """The worker tells these two, and the intake looks at them."""

    beginnings: Beginnings = field(default_factory=Beginnings)
    """The records that begin now: no more at a time than the worker has places for."""
    endings: Endings = field(default_factory=Endings)
    """The workflows that end, so that Temporal need not be asked for each result."""
