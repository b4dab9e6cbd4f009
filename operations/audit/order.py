"""Was each record started only when those before it in its lanes were final? By MySQL's times, in bounded memory. Pure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from activities.ledger import AuditedRow
from recharge import limits
from recharge.contract import Ordering
from recharge.privacy import phone_digits

_GENERATIONS = 5
_NOT_FINAL = datetime.max  # noqa: DTZ901  # MySQL's times carry no zone


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """When the records of a lane were final, as far as they were read: the latest of those moments, and the record it belongs to."""

    final_at: datetime
    offset: int

    @classmethod
    def of(cls, row: AuditedRow) -> "Mark":
        """The mark that one record leaves. One that is not final leaves the latest of all."""
        return cls(_NOT_FINAL if row.final_at is None else row.final_at, row.offset)


class LaneOrder:
    """The rows of one partition, told in the order of their offsets.

    A record is compared with those before it that share a lane under the order that it was started with: with all of the partition,
    with those of one of its numbers, or of its key, that were started under the same order. It counts from its first attempt on, since
    nobody sees anything of it before that.
    """

    def __init__(self, offsets: int = limits.AUDIT_LANE_OFFSETS) -> None:
        """Begin a partition; a lane is remembered for `offsets` at least after its last record."""
        # Lanes are forgotten a generation at a time: all but the youngest reach over the offsets that are wanted.
        self._generation_offsets = max(1, offsets // (_GENERATIONS - 1))
        self._generations: deque[dict[int, Mark]] = deque([{}], maxlen=_GENERATIONS)
        self._generation_ends = self._generation_offsets
        self._partition: Mark | None = None
        self._every_lane: Mark | None = None
        """Of the records under `key` that have none, and so belong to every lane."""
        self._keyed: Mark | None = None
        """Of all records under `key`."""

    def look(self, row: AuditedRow) -> int | None:
        """The offset of an earlier record of one of its lanes that was not final yet when this one's first attempt was opened."""
        lanes = _lanes(row)
        before = self._before(row, lanes)
        self._remember(row, lanes)
        if before is None or not row.attempts or before.final_at <= row.attempts[0].opened_at:
            return None
        return before.offset

    def _before(self, row: AuditedRow, lanes: tuple[int, ...]) -> Mark | None:
        marks: list[Mark | None]
        match row.ordering:
            case Ordering.PARTITION:
                marks = [self._partition]
            case Ordering.ACCOUNT:
                marks = [*self._marks(lanes)]
            case Ordering.KEY if _is_keyless(row):
                marks = [self._keyed]
            case Ordering.KEY:
                marks = [self._every_lane, *self._marks(lanes)]
            case Ordering.NONE:
                marks = []
            case _:
                assert_never(row.ordering)
        return max((mark for mark in marks if mark is not None), default=None)

    def _remember(self, row: AuditedRow, lanes: tuple[int, ...]) -> None:
        mark = Mark.of(row)
        self._partition = _later(self._partition, mark)
        if row.ordering is Ordering.KEY:
            self._keyed = _later(self._keyed, mark)
            if _is_keyless(row):
                self._every_lane = _later(self._every_lane, mark)
        if row.offset >= self._generation_ends:
            self._generations.append({})
            self._generation_ends = row.offset + self._generation_offsets
        youngest = self._generations[-1]
        for lane in lanes:
            youngest[lane] = _later(youngest.get(lane), mark)

    def _marks(self, lanes: tuple[int, ...]) -> Iterator[Mark | None]:
        """The marks of these lanes in every generation."""
        for generation in self._generations:
            for lane in lanes:
                yield generation.get(lane)


def _later(one: Mark | None, other: Mark) -> Mark:
    return other if one is None else max(one, other)


def _is_keyless(row: AuditedRow) -> bool:
    return row.key_digest is None and not row.key_is_cut


def _lanes(row: AuditedRow) -> tuple[int, ...]:
    """The lanes of a record that have a name, as numbers, which are the smallest in memory.

    A key of which the ledger holds only the beginning has none. Accounts are kept from being taken for keys by their sign.
    """
    match row.ordering:
        case Ordering.ACCOUNT:
            numbers = {phone_digits(number) for number in (row.donor, row.receiver) if number is not None}
            return tuple(-int.from_bytes(number.encode(), "big") for number in numbers)
        case Ordering.KEY:
            return () if row.key_digest is None or row.key_is_cut else (int(row.key_digest, 16),)
        case Ordering.PARTITION | Ordering.NONE:
            return ()
        case _:
            assert_never(row.ordering)


def order_problem(earlier: AuditedRow, later: AuditedRow) -> str | None:
    """Why a record was started too early after another one of its lane, or None where it was not."""
    if not later.attempts:
        return None
    opened_at = later.attempts[0].opened_at
    if earlier.final_at is None:
        return f"its first attempt was opened at {opened_at} UTC, and {earlier.workflow_id} before it in its lane is not final yet"
    if opened_at >= earlier.final_at:
        return None
    return f"its first attempt was opened at {opened_at} UTC, before {earlier.workflow_id} of its lane was final at {earlier.final_at} UTC"
