"""How far a partition is done: what was fetched, what became final, and what may be committed.

Each quantity is defined here and nowhere else. Offsets have gaps: transaction markers take an offset, and aborted records are not
delivered, so nothing is computed by adding one to an offset.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ingest.commit_metadata import CompletedRange, joined, record_digest


@dataclass(frozen=True, slots=True)
class Commit:
    """What is, or may be, committed for a partition: its commit offset, and the completed ranges as metadata."""

    offset: int
    metadata: str
    changes: int = field(default=0, compare=False)
    """How often the progress had changed when this was read from it."""


class Arrival(StrEnum):
    """What a fetched record is."""

    OPEN = "open"
    """It has to be carried out."""
    COMPLETED = "completed"
    """It lies in a completed range of an earlier assignment, so it is read for its digest alone."""
    DISAGREES = "disagrees"
    """It shows that a completed range does not speak of these records. The progress went back: read on from its position."""


@dataclass(slots=True)
class _Run:
    """Neighbouring final records beyond the commit offset. Records are numbered as they are fetched, without gaps."""

    first_number: int
    last_number: int
    range: CompletedRange


class PartitionProgress:
    """The progress of one partition under one assignment.

    - *position*: the offset from which Kafka fetches next. Every record below it was either handed over or will never be.
    - *fetched*: a record that Kafka handed over under this assignment.
    - *started*: a fetched record whose lanes let it go (`Lanes.start_next`), so that its workflow is started or attached to.
    - *final*: a fetched record in a final state, in the ledger, its dead letter (if it has one) acknowledged.
    - *open*: a fetched record that is not final and has to become so by being carried out.
    - *commit offset*: the offset of the lowest fetched record that is not final; where there is none, the position.
    - *committed*: the `Commit` that Kafka acknowledged last.
    - *completed range*: neighbouring final records above the commit offset. A restart would otherwise look at them again.
    - *re-read*: a fetched record in a completed range of an earlier assignment. It counts as final when the whole range has been read and
      its digest agrees; until then the commit offset does not pass it.
    - *final distance*: from the commit offset to the highest final offset.
    """

    def __init__(self, start: int, completed: Sequence[CompletedRange] = ()) -> None:
        """Begin to read.

        Args:
            start: the offset from which Kafka fetches first.
            completed: the completed ranges beyond it that an earlier assignment left, in their order.
        """
        self._position = start
        self._not_passed: deque[int] = deque()
        self._passed_count = 0
        self._open: dict[int, tuple[int, int]] = {}
        self._runs_by_first: dict[int, _Run] = {}
        self._runs_by_last: dict[int, _Run] = {}
        self._expected = deque(completed)
        self._reread_count = 0
        self._reread_digest = 0
        self._highest_final = start
        self.changes = 0
        """How often something changed that may change what is to be committed."""

    @property
    def position(self) -> int:
        """The offset from which Kafka fetches next."""
        return self._position

    @property
    def open_count(self) -> int:
        """How many fetched records have yet to be carried out."""
        return len(self._open)

    @property
    def reread_count(self) -> int:
        """How many fetched records belong to a completed range whose end was not read yet."""
        return self._reread_count

    @property
    def commit_offset(self) -> int:
        """The offset that may be committed: every record below it is final."""
        return self._not_passed[0] if self._not_passed else self._position

    @property
    def final_distance(self) -> int:
        """How far the highest final offset lies beyond the commit offset."""
        return max(0, self._highest_final - self.commit_offset)

    def completed_ranges(self) -> list[CompletedRange]:
        """The completed ranges in the order of their offsets, those of an earlier assignment that were not read yet among them."""
        runs = sorted(self._runs_by_first.values(), key=lambda run: run.first_number)
        return [*(run.range for run in runs), *self._expected]

    def fetched(self, offset: int, fingerprint: str) -> Arrival:
        """Note a record that Kafka handed over, and say what it is.

        Raises:
            ValueError: the offset lies below the position, so the record was handed over before.
        """
        if offset < self._position:
            raise ValueError(f"offset {offset} was fetched below the position {self._position}")
        expected = self._expected[0] if self._expected else None
        if expected is not None and self._passes(expected, offset):
            self._go_back()
            return Arrival.DISAGREES
        self.changes += 1
        self._not_passed.append(offset)
        self._position = offset + 1
        digest = record_digest(offset, fingerprint)
        if expected is None or offset < expected.first:
            self._open[offset] = (self._next_number - 1, digest)
            return Arrival.OPEN
        self._reread_count += 1
        self._reread_digest = joined(self._reread_digest, digest)
        return self._end_of_range(expected) if offset == expected.last else Arrival.COMPLETED

    def moved_on(self, position: int) -> bool:
        """Note the position after a batch, which lies beyond its last record where aborted records or markers follow.

        Returns False where that shows that a completed range does not speak of these records: the progress went back, as in `fetched`.

        Raises:
            ValueError: the position went backwards.
        """
        if position < self._position:
            raise ValueError(f"the position went back from {self._position} to {position}")
        if self._expected and self._passes(self._expected[0], position):
            self._go_back()
            return False
        self.changes += position > self._position
        self._position = position
        return True

    def final(self, offset: int) -> None:
        """Note that an open record became final.

        Raises:
            ValueError: it was not fetched, or is final already.
        """
        if offset not in self._open:
            raise ValueError(f"offset {offset} became final without being fetched and open")
        number, digest = self._open.pop(offset)
        self._add_run(_Run(number, number, CompletedRange(offset, offset, digest)))

    @property
    def _next_number(self) -> int:
        return self._passed_count + len(self._not_passed)

    def _end_of_range(self, expected: CompletedRange) -> Arrival:
        if not self._agrees_with(expected):
            self._go_back()
            return Arrival.DISAGREES
        last_number = self._next_number - 1
        first_number = last_number - self._reread_count + 1
        self._forget_range()
        self._add_run(_Run(first_number, last_number, expected))
        return Arrival.COMPLETED

    def _passes(self, expected: CompletedRange, offset: int) -> bool:
        """Whether who reads on from this offset is past a record that the range has at its end or its beginning, and that was not there."""
        return offset > expected.last or (offset > expected.first and self._reread_count == 0)

    def _agrees_with(self, expected: CompletedRange) -> bool:
        """Whether the records that were read are those of which the range speaks."""
        return self._reread_digest == expected.digest

    def _go_back(self) -> None:
        """Unread the records of the completed range that is being read, and expect it no more."""
        for _ in range(self._reread_count):
            self._position = self._not_passed.pop()
        self._forget_range()
        self.changes += 1

    def _forget_range(self) -> None:
        self._expected.popleft()
        self._reread_count = 0
        self._reread_digest = 0

    def _add_run(self, run: _Run) -> None:
        """Add final records, join them with their neighbours, and pass what lies at the commit offset."""
        self.changes += 1
        self._highest_final = max(self._highest_final, run.range.last)
        before = self._runs_by_last.pop(run.first_number - 1, None)
        if before is not None:
            del self._runs_by_first[before.first_number]
            run = _joined(before, run)
        after = self._runs_by_first.pop(run.last_number + 1, None)
        if after is not None:
            del self._runs_by_last[after.last_number]
            run = _joined(run, after)
        if run.first_number > self._passed_count:
            self._runs_by_first[run.first_number] = self._runs_by_last[run.last_number] = run
            return
        for _ in range(run.last_number - run.first_number + 1):
            self._not_passed.popleft()
        self._passed_count = run.last_number + 1


def _joined(one: _Run, following: _Run) -> _Run:
    digest = joined(one.range.digest, following.range.digest)
    return _Run(one.first_number, following.last_number, CompletedRange(one.range.first, following.range.last, digest))
