"""Was each record started only when those before it in its lanes were final? By MySQL's times, in bounded memory. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from activities.ledger import AuditedRow
from recharge import limits
from recharge.contract import Ordering
from recharge.privacy import phone_digits

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

    def __init__(self, lanes_max: int = limits.AUDIT_LANES_MAX) -> None:
        self._lanes_max = lanes_max
        self._partition: Mark | None = None
        self._every_lane: Mark | None = None
        """Of the records under `key` that have none, and so belong to every lane."""
        self._keyed: Mark | None = None
        """Of all records under `key`."""
        self._lanes: dict[str, Mark] = {}
        """The latest mark of each lane, the lane that was used last at the end."""

    def look(self, row: AuditedRow) -> int | None:
        """The offset of an earlier record of one of its lanes that was not final yet when this one's first attempt was opened."""
        lanes = _lanes(row)
        before = self._before(row, lanes)
        self._remember(row, lanes)
        if before is None or not row.attempts or before.final_at <= row.attempts[0].opened_at:
            return None
        return before.offset

    def _before(self, row: AuditedRow, lanes: tuple[str, ...]) -> Mark | None:
        marks: list[Mark | None]
        match row.ordering:
            case Ordering.PARTITION:
                marks = [self._partition]
            case Ordering.ACCOUNT:
                marks = [self._lanes.get(lane) for lane in lanes]
            case Ordering.KEY if _is_keyless(row):
                marks = [self._keyed]
            case Ordering.KEY:
                marks = [self._every_lane, *(self._lanes.get(lane) for lane in lanes)]
            case Ordering.NONE:
                marks = []
            case _:
                assert_never(row.ordering)
        return max((mark for mark in marks if mark is not None), default=None)

    def _remember(self, row: AuditedRow, lanes: tuple[str, ...]) -> None:
        mark = Mark.of(row)
        self._partition = _later(self._partition, mark)
        if row.ordering is Ordering.KEY:
            self._keyed = _later(self._keyed, mark)
            if _is_keyless(row):
                self._every_lane = _later(self._every_lane, mark)
        for lane in lanes:
            self._lanes[lane] = _later(self._lanes.pop(lane, None), mark)
        while len(self._lanes) > self._lanes_max:
            del self._lanes[next(iter(self._lanes))]


def _later(one: Mark | None, other: Mark) -> Mark:
    return other if one is None else max(one, other)


def _is_keyless(row: AuditedRow) -> bool:
    return row.key_digest is None and not row.key_is_cut


def _lanes(row: AuditedRow) -> tuple[str, ...]:
    """The lanes of a record that have a name. A key of which the ledger holds only the beginning has none."""
    match row.ordering:
        case Ordering.ACCOUNT:
            numbers = {phone_digits(number) for number in (row.donor, row.receiver) if number is not None}
            return tuple(f"account {number}" for number in numbers)
        case Ordering.KEY:
            return () if row.key_digest is None or row.key_is_cut else (f"key {row.key_digest}",)
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
