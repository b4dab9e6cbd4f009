"""The worker, as health and metrics see it."""

from collections.abc import Iterator

from temporalio.worker import Worker

from activities.calls import CallsInFlight
from app.alarms import Alarms
from app.health import Part
from app.worker_watch import WorkerWatch
from recharge import instruments
from recharge.telemetry import Reading


class WorkerSource:
    """Reads what the worker's parts know whenever somebody asks."""

    def __init__(
        self, workers: tuple[Worker, Worker], watch: WorkerWatch, calls: CallsInFlight, alarms: Alarms
    ) -> None:
        self._workers = workers
        self._watch = watch
        self._calls = calls
        self._alarms = alarms

    def parts(self) -> Iterator[Part]:
        """Whether it polls, and the ledger."""
        return self._watch.parts()

    def stalled(self) -> str | None:
        """Whether one of the SDK's two workers has ended, while the process goes on."""
        if all(worker.is_running for worker in self._workers):
            return None
        return "a Temporal worker of this process has ended"

    def readings(self) -> Iterator[Reading]:
        """The gauges of the worker, and of what waits in the ledger."""
        yield Reading(instruments.CALLS_IN_FLIGHT, len(self._calls))
        yield from self._alarms.readings()
