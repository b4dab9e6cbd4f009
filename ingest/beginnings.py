"""How many records may begin at a time where the worker shares the intake's process. Pure: no I/O, and nothing waits."""

import time
from collections.abc import Callable

from recharge import limits


class Beginnings:
    """The records whose workflow was started, and whose first call has not left yet.

    A worker has so many places for workflow tasks. Where more records are started than it has places, Temporal puts their first tasks
    into a queue and hands each out anew: for half again the work of an eager start. Once there is such a queue, it never gets
    empty, since every place that falls free goes to it. So no more are started than can begin at once. Those whose call has left
    are the provider's to wait for, and hold nobody up.

    What is not told by the worker in `limits.BEGINNING_S_MAX`, since another process has the task or the ledger is away, counts no
    longer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s: dict[str, float] = {}
        self.when_over: Callable[[], None] = _nobody_waits
        """Called when there is room again."""

    @property
    def has_room(self) -> bool:
        """Whether one more record may begin."""
        oldest_s = self._clock() - limits.BEGINNING_S_MAX
        while self._began_s and next(iter(self._began_s.values())) <= oldest_s:
            del self._began_s[next(iter(self._began_s))]
        return len(self._began_s) < limits.BEGINNINGS_MAX

    def began(self, workflow_id: str) -> None:
        """Count a record that is started now."""
        self._began_s.pop(workflow_id, None)
        self._began_s[workflow_id] = self._clock()

    def over(self, workflow_id: str) -> None:
        """Count a record no longer: its call is under way, or there is none to be waited for."""
        if self._began_s.pop(workflow_id, None) is not None:
            self.when_over()


def _nobody_waits() -> None:
    return None
