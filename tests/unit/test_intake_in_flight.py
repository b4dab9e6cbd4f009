"""What is in flight is counted right, and for how long it blocks; what is held in memory has a limit, for each partition and for all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import cast

import pytest
from temporalio.client import Client

from devstack.processes import wait_until
from ingest.assignment import Assignment
from ingest.beside import WorkerBeside
from ingest.consumer import Membership
from ingest.kafka import Cluster, Edge, KafkaRecord, RecordReader
from ingest.kafka_words import PositionOutOfRange, RecordsUnreadable
from ingest.partition import BATCH_RECORDS_MAX, AssignedPartition, Room
from ingest.patience import Patience
from ingest.standing import StopReason
from ingest.starter import Starter
from ingest.switch import Switch
from recharge import limits
from recharge.contract import Ordering, Position, RechargeResult, RecordInput
from recharge.outcome import State
from recharge.settings import IngestSettings, KafkaSettings, SecurityProtocol
from tests.support.records import value

KAFKA = KafkaSettings.model_validate(
    {"bootstrap_servers": "127.0.0.1:1", "source": "test", "security_protocol": SecurityProtocol.PLAINTEXT}
)
INGEST = IngestSettings.model_validate({"ordering": Ordering.NONE})


class EndsWhenTold(Starter):
    """Carries out every record at the same moment."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.beside = None
        self.begun: list[int] = []

    async def carry_out(
        self,
        record: RecordInput,
        kafka_key: bytes | None,
        *,
        heard: Callable[[str, RechargeResult], None] | None = None,
        found: Callable[[float], None] | None = None,
    ) -> RechargeResult:
        del kafka_key, heard, found
        self.begun.append(record.offset)
        await self.told.wait()
        return RechargeResult(State.SUCCEEDED, record.fingerprint)


def partition_with(records: int, number: int = 0, size_bytes: int = 0) -> AssignedPartition:
    partition = AssignedPartition(Position("test", "transfers", number, 0), INGEST, committed=None)
    raw = value(note="x" * size_bytes)
    partition.take_in([KafkaRecord(number, offset, 0, b"key", raw, ()) for offset in range(records)], records)
    return partition


def test_a_record_blocks_since_it_came_to_the_commit_offset_and_not_since_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    partition, now = partition_with(3), time.monotonic
    assert [partition.start_next() is not None for _ in range(3)] == [True] * 3
    monkeypatch.setattr(time, "monotonic", lambda: now() + 1000)
    partition.final(1)
    assert partition.standing(None).blocked_s == pytest.approx(1000, abs=60)
    partition.final(0)
    assert partition.blocked_s < 60
    partition.final(2)
    assert partition.blocked_s == 0


def test_after_a_restart_a_record_blocks_for_as_long_as_its_workflow_has_been_open() -> None:
    partition = partition_with(3)
    assert [partition.start_next() is not None for _ in range(3)] == [True] * 3
    partition.was_under_way(1, 9000.0)
    assert partition.blocked_s < 60
    partition.was_under_way(0, 1000.0)
    assert partition.blocked_s == pytest.approx(1000, abs=60)
    partition.final(0)
    assert partition.blocked_s < 60
    partition.was_under_way(1, 9000.0)
    assert partition.blocked_s < 60, "it came to the commit offset just now"


async def until_nothing_is_in_flight(membership: Membership) -> None:
    await wait_until(lambda: membership._in_flight == 0, 5, "nothing is in flight", interval_s=0)


@pytest.fixture
async def starter() -> EndsWhenTold:
    return EndsWhenTold()


@pytest.fixture
async def membership(starter: EndsWhenTold) -> AsyncIterator[Membership]:
    """A membership that has not joined, with room for three records in flight."""
    made = a_membership(starter, in_flight_max=3)
    yield made
    await made.leave()


def a_membership(starter: Starter, *, in_flight_max: int) -> Membership:
    cluster = Cluster(KAFKA)
    switch = Switch(cast("Client", None), Patience("default"), "test", by="nobody", refused_in_a_row_max=20)
    assignment = Assignment(KAFKA, INGEST, cluster, {})
    return Membership(KAFKA, in_flight_max, starter, switch, cluster, assignment, asyncio.Event())


async def test_a_record_that_is_dropped_before_its_first_step_leaves_its_place_to_others(
    membership: Membership, starter: EndsWhenTold
) -> None:
    membership._assignment._partitions[0] = partition_with(5)
    membership._start_more()
    # The rebalance comes before any of the tasks has run.
    membership._assignment.change(frozenset())
    await asyncio.sleep(0)
    assert starter.begun == []
    membership._assignment._partitions[1] = partition_with(5, 1)
    starter.told.set()
    membership._start_more()
    await until_nothing_is_in_flight(membership)
    assert starter.begun == [0, 1, 2, 3, 4]


async def test_with_a_worker_in_the_process_no_more_records_begin_than_it_can_begin_at_once(
    starter: EndsWhenTold,
) -> None:
    starter.beside = WorkerBeside()
    beginnings = starter.beside.beginnings
    membership = a_membership(starter, in_flight_max=1000)
    first = [f"test:transfers:0:{offset}" for offset in range(limits.BEGINNINGS_MAX)]
    membership._assignment._partitions[0] = partition_with(3 * limits.BEGINNINGS_MAX)
    membership._start_more()
    await asyncio.sleep(0)
    assert len(starter.begun) == limits.BEGINNINGS_MAX
    for workflow_id in first:
        beginnings.over(workflow_id)
    await asyncio.sleep(0)
    assert len(starter.begun) == 2 * limits.BEGINNINGS_MAX, "none of them is final, but all their calls have left"
    starter.told.set()
    await until_nothing_is_in_flight(membership)
    assert len(starter.begun) == 3 * limits.BEGINNINGS_MAX
    await membership.leave()


async def test_what_became_final_after_its_partition_was_given_away_is_dropped(
    membership: Membership, starter: EndsWhenTold
) -> None:
    partition = membership._assignment._partitions[0] = partition_with(3)
    membership._start_more()
    await asyncio.sleep(0)
    assert starter.begun == [0, 1, 2]
    # The results are there, and the partition goes away before anybody has looked at them.
    starter.told.set()
    membership._assignment.change(frozenset())
    await until_nothing_is_in_flight(membership)
    assert partition.progress.commit_offset == 0
    assert partition.commit_due is None


class Polled(RecordReader):
    """Answers a poll with what a test does and finds meanwhile."""

    def __init__(self, poll: Callable[[], Awaitable[dict[int, list[KafkaRecord]]]]) -> None:
        self._answer = poll
        self.at = 0
        self.sought: list[int] = []

    async def poll(
        self, partitions: Collection[int], *, records_max: int, timeout_s: float
    ) -> dict[int, list[KafkaRecord]]:
        del partitions, records_max, timeout_s
        return await self._answer()

    async def position(self, partition: int) -> int:
        del partition
        return self.at

    def seek(self, partition: int, offset: int) -> None:
        del partition
        self.sought.append(offset)

    async def stop(self) -> None:
        """Nothing was connected."""


async def reads_by(membership: Membership, reader: Polled) -> Polled:
    await membership._reader.stop()
    membership._reader = reader
    membership._standstills._reader = reader
    return reader


async def test_no_record_is_lost_that_comes_while_its_partition_is_given_away_and_given_back(
    membership: Membership, starter: EndsWhenTold
) -> None:
    older = membership._assignment._partitions[0] = partition_with(3)
    newer = AssignedPartition(Position("test", "transfers", 0, 10), INGEST, committed=None)

    async def poll() -> dict[int, list[KafkaRecord]]:
        # Another member had the partition up to offset 10; it is ours again, and is sought there, before the poll has ended.
        membership._assignment._partitions[0] = newer
        reader.at = 12
        return {0: [KafkaRecord(0, offset, 0, b"key", value(), ()) for offset in (10, 11)]}

    reader = await reads_by(membership, Polled(poll))
    await membership._read_from([older], 0.2)
    membership._start_more()
    await asyncio.sleep(0)
    assert starter.begun == [10, 11]
    assert newer.progress.commit_offset == 10
    assert older.progress.position == 3
    assert reader.sought == []


@pytest.mark.parametrize(
    ("earliest", "end", "begun", "committed"),
    [
        (7, 9, [0, 1, 2], 3),
        pytest.param(0, 2, [], 0, id="a topic that was made anew"),
        pytest.param(0, 5, [], 0, id="a topic that was made anew and has grown since"),
    ],
)
async def test_what_was_read_before_kafka_deleted_the_rest_is_carried_out(
    membership: Membership, starter: EndsWhenTold, earliest: int, end: int, begun: list[int], committed: int
) -> None:
    partition = membership._assignment._partitions[0] = partition_with(3)

    async def poll() -> dict[int, list[KafkaRecord]]:
        raise PositionOutOfRange(0, 3)

    await reads_by(membership, Polled(poll))
    membership._standstills._cluster = Edges({Edge.EARLIEST: earliest, Edge.END: end})
    await membership._read()
    membership._start_more()
    starter.told.set()
    await until_nothing_is_in_flight(membership)
    assert starter.begun == begun
    commit = partition.commit_due
    assert (0 if commit is None else commit.offset) == committed
    assert partition.standing(None).stopped is StopReason.OUT_OF_RANGE
    assert not partition.wants_more(Room.of_each(1))


class Damaged(Polled):
    """Holds records one after the other, some of which cannot be taken apart: so often as is told, or always."""

    def __init__(self, damaged: dict[int, int]) -> None:
        super().__init__(self._none)
        self.damaged = damaged
        self.asked: list[int] = []

    async def _none(self) -> dict[int, list[KafkaRecord]]:
        return {}

    async def poll(
        self, partitions: Collection[int], *, records_max: int, timeout_s: float
    ) -> dict[int, list[KafkaRecord]]:
        del timeout_s
        self.asked.append(records_max)
        offsets = range(self.at, self.at + records_max)
        for offset in offsets:
            if self.damaged.get(offset, 0) > 0:
                self.damaged[offset] -= 1
                raise RecordsUnreadable(sorted(partitions), "CorruptRecordException")
        self.at += records_max
        return {0: [KafkaRecord(0, offset, 0, b"key", value(), ()) for offset in offsets]}

    def seek(self, partition: int, offset: int) -> None:
        super().seek(partition, offset)
        self.at = offset


async def test_what_could_not_be_taken_apart_once_is_read_singly_for_a_batch_and_no_longer(
    membership: Membership,
) -> None:
    partition = membership._assignment._partitions[0] = partition_with(0)
    reader = Damaged({150: 1})
    await reads_by(membership, reader)
    while partition.progress.position < 400:
        await membership._read()
    assert sum(asked == 1 for asked in reader.asked) == BATCH_RECORDS_MAX + 1
    assert reader.asked[-1] > 1
    assert partition.progress.open_count == partition.progress.position


async def test_a_partition_is_read_up_to_the_record_that_cannot_be_taken_apart(membership: Membership) -> None:
    partition = membership._assignment._partitions[0] = partition_with(0)
    await reads_by(membership, Damaged({150: 2}))
    while partition.wants_more(Room.of_each(1)):
        await membership._read()
    assert partition.progress.position == 150
    assert partition.standing(None).stopped is StopReason.UNREADABLE
    assert not membership._standstills.is_read_singly(partition)


class Edges(Cluster):
    """Says where the partitions begin and end."""

    def __init__(self, edges: dict[Edge, int]) -> None:
        self._edges = edges

    async def offsets(self, partitions: Collection[int], edge: Edge) -> dict[int, int]:
        return dict.fromkeys(partitions, self._edges[edge])


def test_the_partitions_together_never_have_more_room_than_the_limits() -> None:
    for partitions in (0, 1, 2, 39, 41, 1000, 100_000):
        each = Room.of_each(partitions)
        assert 1 <= each.records <= limits.BUFFERED_RECORDS_MAX
        assert each.records == 1 or each.records * partitions <= limits.BUFFERED_RECORDS_IN_ALL_MAX
        assert each.size_bytes * partitions <= limits.BUFFERED_BYTES_MAX
    assert Room.of_each(8).records == limits.BUFFERED_RECORDS_MAX


@pytest.mark.parametrize("room", [Room(10, 1_000_000), Room(1000, 10 * 1100)], ids=["records", "bytes"])
def test_a_full_partition_is_read_again_when_half_of_its_room_is_free(room: Room) -> None:
    partition = partition_with(10, size_bytes=1000)
    assert not partition.wants_more(room)
    for offset in range(4):
        assert partition.start_next() is not None
        partition.final(offset)
        assert not partition.wants_more(room)
    while partition.progress.open_count > 3:
        started = partition.start_next()
        assert started is not None
        partition.final(started.input.offset)
    assert partition.wants_more(room)
    assert partition.batch_records_max <= max(1, room.records - 3)
