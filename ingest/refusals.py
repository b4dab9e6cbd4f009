"""Refused in a row: the sign of a wrong URL or a changed API, which must not reject a whole topic for good. Pure."""

from recharge.contract import RechargeResult
from recharge.outcome import ResolvedBy, State

_ANSWERS = frozenset({ResolvedBy.ANSWER, ResolvedBy.LATE_ANSWER})


class RefusalsInARow:
    """Counts the distinct records that the provider refused one after another with the same HTTP status.

    Only the provider's own answers speak of the provider: an invalid record, a repeated request or a person's decision counts neither
    for nor against it. A record that was carried out starts the count again.
    """

    def __init__(self, count_max: int) -> None:
        """Begin at none. At `count_max` the row is full."""
        self._count_max = count_max
        self._status: int | None = None
        self._refused: set[str] = set()

    def heard(self, workflow_id: str, result: RechargeResult) -> str | None:
        """Take note of how a record ended. Where that fills the row, it is told in one line, and the count begins anew."""
        if result.state is State.SUCCEEDED:
            self.forget()
        if result.state is not State.REJECTED or result.resolved_by not in _ANSWERS or result.status is None:
            return None
        if result.status != self._status:
            self.forget()
            self._status = result.status
        self._refused.add(workflow_id)
        if len(self._refused) < self._count_max:
            return None
        self.forget()
        records = "1 record" if self._count_max == 1 else f"{self._count_max} records in a row"
        return f"{records} refused with {result.status}, the newest of them {workflow_id}"

    @property
    def count(self) -> int:
        """How many there are in the row."""
        return len(self._refused)

    def forget(self) -> None:
        """Begin at none."""
        self._status = None
        self._refused.clear()
