"""A partition that changes hands: what was begun under an older assignment has no effect, and only what is surely ours goes on."""

import asyncio
from collections.abc import Collection

import pytest
import structlog.testing

from devstack.processes import wait_until
from ingest.assignment import Assignment
from ingest.commit_metadata import CompletedRange, encode
from ingest.commit_offset import Commit
from ingest.kafka import Cluster, Edge, KafkaRecord, RecordReader
from ingest.kafka_words import KafkaProblem, unreachable
from ingest.partition import AssignedPartition
from recharge import limits
from recharge.contract import Ordering, Position
from recharge.settings import IngestSettings, KafkaSettings, SecurityProtocol
from tests.support.intake import logged
from tests.support.records import value

KAFKA = KafkaSettings.model_validate(
    {"bootstrap_servers": "127.0.0.1:1", "source": "test", "security_protocol": SecurityProtocol.PLAINTEXT}
)
INGEST = IngestSettings.model_validate({"ordering": Ordering.NONE})
OURS = frozenset({0})
NOT_LED = unreachable("127.0.0.1:1", "NodeNotReadyError")


class Answering(Cluster):
    """Says what is committed, when it is allowed to; refuses as often as it is told to."""

    def __init__(self, committed: int) -> None:
        self.offset = committed
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.refusals = 0

    async def committed(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        await self.may_answer.wait()
        if self.refusals:
            self.refusals -= 1
            raise unreachable("127.0.0.1:1", "as the test wants")
        return dict.fromkeys(partitions, (self.offset, ""))

    async def offsets_of_each(self, partitions: Collection[int], timestamp_ms: int) -> dict[int, int | KafkaProblem]:
        raise AssertionError(f"nobody needs the {Edge(timestamp_ms).name.lower()} of {partitions}")


class Seeking(RecordReader):
    """Notes where it is to read on."""

    def __init__(self) -> None:
        self.sought: list[tuple[int, int]] = []

    def seek(self, partition: int, offset: int) -> None:
        self.sought.append((partition, offset))


@pytest.fixture
async def cluster() -> Answering:
    return Answering(10)


@pytest.fixture
def reader() -> Seeking:
    return Seeking()


@pytest.fixture
async def assignment(cluster: Answering) -> Assignment:
    return Assignment(KAFKA, INGEST, cluster, {})


async def in_the_middle(assignment: Assignment, reader: Seeking) -> tuple[AssignedPartition, "asyncio.Task[None]"]:
    """The partition with ten records read from offset 10, the first of them final and committed, and one in flight."""
    await assignment.set_up(reader, OURS, assignment.change(OURS))
    partition = assignment.get(0)
    assert partition is not None
    partition.take_in([KafkaRecord(0, offset, 0, b"key", value(), ()) for offset in range(10, 20)], 20)
    assert partition.start_next() is not None
    partition.final(10)
    commit = partition.commit_due
    assert commit is not None
    partition.commit_tried(commit)
    partition.commit_done(commit)
    assert partition.start_next() is not None
    running = asyncio.create_task(asyncio.sleep(60))
    partition.runs(running)
    return partition, running


async def test_what_was_begun_under_an_older_assignment_has_no_effect(
    assignment: Assignment, cluster: Answering, reader: Seeking
) -> None:
    cluster.may_answer.clear()
    older = asyncio.create_task(assignment.set_up(reader, OURS, assignment.change(OURS)))
    await asyncio.sleep(0)
    # The next rebalance takes the partition away before Kafka has said where it begins.
    assignment.change(frozenset())
    cluster.may_answer.set()
    await older
    assert reader.sought == []
    assert len(assignment) == 0


async def test_a_partition_is_neither_read_nor_committed_while_a_rebalance_goes_on(
    assignment: Assignment, reader: Seeking
) -> None:
    partition, running = await in_the_middle(assignment, reader)
    assignment.suspend()
    assert assignment.get(0) is None
    assert partition.start_next() is None
    running.cancel()


async def test_a_partition_that_nobody_else_had_goes_on_with_what_is_in_flight(
    assignment: Assignment, cluster: Answering, reader: Seeking
) -> None:
    partition, running = await in_the_middle(assignment, reader)
    cluster.offset = 11
    await assignment.set_up(reader, OURS, assignment.change(OURS))
    assert assignment.get(0) is partition
    assert reader.sought == [(0, 10), (0, 20)]
    assert not running.cancelled()
    running.cancel()


async def test_a_commit_of_our_own_whose_answer_was_lost_is_known_again(
    assignment: Assignment, cluster: Answering, reader: Seeking
) -> None:
    partition, running = await in_the_middle(assignment, reader)
    partition.commit_tried(Commit(15, ""))
    cluster.offset = 15
    await assignment.set_up(reader, OURS, assignment.change(OURS))
    assert assignment.get(0) is partition
    running.cancel()


async def test_a_partition_that_somebody_else_had_begins_anew_where_they_committed(
    assignment: Assignment, cluster: Answering, reader: Seeking
) -> None:
    partition, running = await in_the_middle(assignment, reader)
    cluster.offset = 13
    await assignment.set_up(reader, OURS, assignment.change(OURS))
    anew = assignment.get(0)
    assert anew is not None
    assert anew is not partition
    assert reader.sought == [(0, 10), (0, 13)]
    assert partition.commit_due is None
    await wait_until(running.done, 5, "what was in flight is dropped")
    assert running.cancelled()


async def test_kafka_that_does_not_say_where_to_begin_is_asked_again_and_told_once(
    assignment: Assignment, cluster: Answering, reader: Seeking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "START_RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(limits, "START_RETRY_MAX_S", 0.02)
    cluster.refusals = 5
    with structlog.testing.capture_logs() as logs:
        await assignment.set_up(reader, OURS, assignment.change(OURS))
    assert reader.sought == [(0, 10)]
    assert len(logged(logs, "Kafka does not say")) == len(logged(logs, "Kafka says again")) == 1


class PartlyLed(Answering):
    """Nobody leads partition 1. All partitions have completed ranges."""

    async def committed(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        ranges = [CompletedRange(12, 14, 1)]
        places = {number: Position(KAFKA.source, KAFKA.topic, number, self.offset) for number in partitions}
        return {number: (self.offset, encode(place, ranges)) for number, place in places.items()}

    async def offsets_of_each(self, partitions: Collection[int], timestamp_ms: int) -> dict[int, int | KafkaProblem]:
        assert timestamp_ms == Edge.END
        return {number: NOT_LED if number == 1 else 20 for number in partitions}


async def test_a_partition_that_nobody_leads_begins_without_its_ranges_and_keeps_no_other_one_waiting(
    reader: Seeking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "START_RETRY_FIRST_S", 0.01)
    assignment = Assignment(KAFKA, INGEST, PartlyLed(10), {})
    numbers = frozenset({0, 1, 2})
    async with asyncio.timeout(5):
        with structlog.testing.capture_logs() as logs:
            await assignment.set_up(reader, numbers, assignment.change(numbers))
    # The others did not wait for it.
    assert reader.sought == [(0, 10), (2, 10), (1, 10)]
    found = {partition.number: partition.progress.completed_ranges() for partition in assignment}
    assert found == {0: [CompletedRange(12, 14, 1)], 1: [], 2: [CompletedRange(12, 14, 1)]}
    assert [line["partition"] for line in logged(logs, "the end of a partition is not known")] == [1]


class PartlyBegun(Answering):
    """Nothing is committed for partitions 1 and 2, and nobody leads partition 1 for a while."""

    def __init__(self) -> None:
        super().__init__(10)
        self.asked = 0
        self.is_led = False

    async def committed(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        return {0: (self.offset, "")} if 0 in partitions else {}

    async def offsets_of_each(self, partitions: Collection[int], timestamp_ms: int) -> dict[int, int | KafkaProblem]:
        assert timestamp_ms == Edge.EARLIEST
        self.asked += 1
        return {number: NOT_LED if number == 1 and not self.is_led else 5 for number in partitions}


async def test_a_partition_with_neither_a_commit_nor_a_leader_keeps_no_other_one_waiting_and_begins_when_it_is_led(
    reader: Seeking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "START_RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(limits, "START_RETRY_MAX_S", 0.02)
    cluster = PartlyBegun()
    assignment = Assignment(KAFKA, INGEST, cluster, {1: 7})
    numbers = frozenset({0, 1, 2})
    with structlog.testing.capture_logs() as logs:
        setting_up = asyncio.create_task(assignment.set_up(reader, numbers, assignment.change(numbers)))
        await wait_until(lambda: cluster.asked > 5, 5, "it is asked for again", interval_s=0.01)
        assert reader.sought == [(0, 10), (2, 5)]
        assert "where partition 1 begins is not known yet" in str(assignment.problem)
        cluster.is_led = True
        await asyncio.wait_for(setting_up, 5)
    assert reader.sought == [(0, 10), (2, 5), (1, 7)]
    assert assignment.problem is None
    assert len(logged(logs, "Kafka does not say")) == len(logged(logs, "Kafka says again")) == 1
