"""Which records of one partition may start now: the order of arrival, as far as an operator asked for it.

A *lane* is a set of records that go one after another. A record may belong to several lanes (both phone numbers of a transfer),
to none, or to every lane: then it waits for all before it, and all after it wait for it. A record may start when every earlier
record of each of its lanes is final. Waiting goes backwards in the order of arrival only, so there is no deadlock.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from recharge.contract import Ordering, RecordInput
from recharge.privacy import phone_digits

LaneKeys: TypeAlias = frozenset[bytes] | None
EVERY_LANE: None = None
"""The lanes of a record that belongs to all of them."""

_ONE_LANE = frozenset({b""})
_NO_LANE: frozenset[bytes] = frozenset()


def lanes_of(record: RecordInput, kafka_key: bytes | None, ordering: Ordering) -> LaneKeys:
    """The lanes of one record.

    An invalid record under `account` belongs to no lane. It has no numbers, it never reaches the provider, and all that comes of it is
    a row of the ledger and a dead letter: nobody can see it before or after any other record, so it neither waits nor is waited for.
    Under `key` a record without a key may concern anybody, so it belongs to every lane, valid or not.
    """
    match ordering:
        case Ordering.PARTITION:
            return _ONE_LANE
        case Ordering.ACCOUNT:
            if record.transfer is None:
                return _NO_LANE
            return frozenset(
                phone_digits(number).encode() for number in (record.transfer.donor, record.transfer.receiver)
            )
        case Ordering.KEY:
            return EVERY_LANE if kafka_key is None else frozenset({kafka_key})
        case Ordering.NONE:
            return _NO_LANE
        case _:
            assert_never(ordering)


@dataclass(slots=True)
class _Stretch:
    """Neighbouring records that are governed by their lanes alone, or one single record that belongs to every lane.

    Only the first stretch is open. The next one opens when every record of the first is final.
    """

    every_lane: bool
    open_count: int = 0
    queues: dict[bytes, deque[int]] = field(default_factory=dict)
    """For each lane its records that are not final, the earliest first."""
    unblocked: list[int] = field(default_factory=list)
    """The records that may start as soon as the stretch opens."""


class Lanes:
    """The records of one partition that are not final, and which of them may start.

    A record costs one step for each of its lanes, and the logarithm of the number of startable ones, whatever waits behind it.
    """

    def __init__(self) -> None:
        self._stretches: deque[_Stretch] = deque()
        self._lanes: dict[int, LaneKeys] = {}
        self._blocking_lanes: dict[int, int] = {}
        self._startable: list[int] = []
        self._started: set[int] = set()
        self._last_offset = -1

    def __len__(self) -> int:
        """How many records are not final."""
        return len(self._lanes)

    @property
    def lowest_startable(self) -> int | None:
        """The offset that `start_next` would return."""
        return self._startable[0] if self._startable else None

    def add(self, offset: int, lanes: LaneKeys) -> None:
        """Append the next record of the partition.

        Raises:
            ValueError: the offset is not above the one before it.
        """
        if offset <= self._last_offset:
            raise ValueError(f"offset {offset} came after offset {self._last_offset}")
        self._last_offset = offset
        self._lanes[offset] = lanes
        stretch = self._stretch_for(lanes)
        stretch.open_count += 1
        blocking_lanes = 0
        for lane in lanes or ():
            queue = stretch.queues.setdefault(lane, deque())
            blocking_lanes += bool(queue)
            queue.append(offset)
        if blocking_lanes:
            self._blocking_lanes[offset] = blocking_lanes
        elif stretch is self._stretches[0]:
            heapq.heappush(self._startable, offset)
        else:
            stretch.unblocked.append(offset)

    def _stretch_for(self, lanes: LaneKeys) -> _Stretch:
        every_lane = lanes is EVERY_LANE
        if not self._stretches or every_lane or self._stretches[-1].every_lane:
            self._stretches.append(_Stretch(every_lane))
        return self._stretches[-1]

    def start_next(self) -> int | None:
        """Take the lowest offset that may start, or None where every record waits or has started."""
        if not self._startable:
            return None
        offset = heapq.heappop(self._startable)
        self._started.add(offset)
        return offset

    def final(self, offset: int) -> None:
        """Take a record that became final out of its lanes, so that those behind it may start.

        Raises:
            ValueError: the record was not started, or is final already.
        """
        if offset not in self._started:
            raise ValueError(f"offset {offset} became final without having been started")
        self._started.remove(offset)
        stretch = self._stretches[0]
        for lane in self._lanes.pop(offset) or ():
            self._leave(stretch, lane)
        stretch.open_count -= 1
        if stretch.open_count == 0:
            self._open_next()

    def _leave(self, stretch: _Stretch, lane: bytes) -> None:
        queue = stretch.queues[lane]
        queue.popleft()
        if not queue:
            del stretch.queues[lane]
            return
        following = queue[0]
        self._blocking_lanes[following] -= 1
        if self._blocking_lanes[following] == 0:
            del self._blocking_lanes[following]
            heapq.heappush(self._startable, following)

    def _open_next(self) -> None:
        self._stretches.popleft()
        if self._stretches:
            for offset in self._stretches[0].unblocked:
                heapq.heappush(self._startable, offset)
            self._stretches[0].unblocked.clear()
