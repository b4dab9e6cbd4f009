"""Nothing that was not carried out comes near the topic's retention without an alarm, whether it was read or not."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog.testing

from devstack.processes import wait_until
from ingest.assignment import Assignment
from ingest.kafka import Cluster, Edge, KafkaRecord
from ingest.kafka_words import KafkaProblem, unreachable
from ingest.partition import AssignedPartition
from ingest.retention import RetentionWatch
from ingest.standing import PauseReason, StopReason
from ingest.switch import Switch
from recharge import limits
from recharge.contract import Ordering, Position
from recharge.settings import IngestSettings, KafkaSettings, SecurityProtocol
from tests.support.intake import logged
from tests.support.records import value

KAFKA = KafkaSettings.model_validate(
    {"bootstrap_servers": "127.0.0.1:1", "source": "test", "security_protocol": SecurityProtocol.PLAINTEXT}
)
INGEST = IngestSettings.model_validate({"ordering": Ordering.NONE})
RETENTION_S = 1000
OLD_S = RETENTION_S * limits.RETENTION_ALARM_SHARE + 1
YOUNG_S = RETENTION_S * limits.RETENTION_ALARM_SHARE - 100


class Holding(Cluster):
    """Holds records of these ages, partition by partition, and answers as Kafka does."""

    def __init__(self, *ages_s: list[float]) -> None:
        now_ms = round(time.time() * 1000)
        self.timestamps_ms = {
            number: {offset: now_ms - round(age_s * 1000) for offset, age_s in enumerate(ages)}
            for number, ages in enumerate(ages_s)
        }
        self.retention_ms = RETENTION_S * 1000
        self.leaderless: set[int] = set()
        self.looks = 0
        self.asked: set[int] = set()

    async def topic_setting(self, name: str) -> str:
        assert name == "retention.ms"
        self.looks += 1
        return str(self.retention_ms)

    async def refuse_compaction(self) -> None:
        pass

    async def offsets_of_each(self, partitions: Collection[int], timestamp_ms: int) -> dict[int, int | KafkaProblem]:
        self.asked |= set(partitions)
        away = unreachable("127.0.0.1:1", "NodeNotReadyError")
        return {each: away if each in self.leaderless else self._held(each, timestamp_ms) for each in partitions}

    def _held(self, partition: int, timestamp_ms: int) -> int:
        held = self.timestamps_ms[partition]
        match timestamp_ms:
            case Edge.END:
                return max(held, default=-1) + 1
            case Edge.EARLIEST:
                return min(held, default=0)
            case _:
                return next((offset for offset, at_ms in held.items() if at_ms >= timestamp_ms), -1)


class Thrown(Switch):
    """A switch that the test throws."""

    def __init__(self) -> None:
        self.thrown: PauseReason | None = None

    @property
    def reason(self) -> PauseReason | None:
        return self.thrown


class Watched:
    """A watch, and what it sees and says."""

    logs: list[MutableMapping[str, Any]]

    def __init__(self, *ages_s: list[float], read_up_to: int = 0) -> None:
        self.cluster = Holding(*ages_s)
        self.switch = Thrown()
        self.partitions = [self._partition(number, read_up_to) for number in range(len(ages_s))]
        assignment = Assignment(KAFKA, INGEST, self.cluster, {})
        assignment._partitions.update(enumerate(self.partitions))
        self.watch = RetentionWatch(self.cluster, assignment, self.switch)

    @staticmethod
    def _partition(number: int, start: int) -> AssignedPartition:
        return AssignedPartition(Position("test", "transfers", number, start), INGEST, committed=None)

    def read(self, number: int, offset: int, *, carried_out: bool = True) -> None:
        """Read a partition's next record, and carry it out."""
        partition = self.partitions[number]
        at_ms = self.cluster.timestamps_ms[number][offset]
        partition.take_in([KafkaRecord(number, offset, at_ms, b"key", value(), ())], offset + 1)
        if carried_out:
            assert partition.start_next() is not None
            partition.final(offset)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Let the watch run."""
        with structlog.testing.capture_logs() as self.logs:
            running = asyncio.create_task(self.watch.run())
            try:
                yield
                assert not running.done()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def some_looks(self) -> None:
        """Wait until it has looked some more times, from the beginning of a look to the end of one."""
        before = self.cluster.looks
        await wait_until(lambda: self.cluster.looks > before + 3, 5, "it has looked", interval_s=0.005)

    @property
    def alarms(self) -> list[MutableMapping[str, Any]]:
        return logged(self.logs, "Kafka will delete")

    @property
    def ends(self) -> list[MutableMapping[str, Any]]:
        return logged(self.logs, "Kafka's retention is far again")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RETENTION_CHECK_INTERVAL_S", 0.01)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (PauseReason.PERSON, "somebody paused the intake"),
        (PauseReason.REFUSED_IN_A_ROW, "the intake paused itself"),
        (StopReason.UNREADABLE, "the partition stands still (unreadable)"),
        (None, "nothing is read from the partition"),
    ],
)
async def test_a_record_that_nobody_reads_for_half_of_the_retention_is_an_alarm_that_says_why_until_it_is_read(
    why: PauseReason | StopReason | None, told: str
) -> None:
    watched = Watched([OLD_S, YOUNG_S], [YOUNG_S])
    if isinstance(why, StopReason):
        watched.partitions[0].read_no_more(why)
    else:
        watched.switch.thrown = why
    async with watched.looking():
        await wait_until(lambda: watched.alarms, 5, "the alarm is raised", interval_s=0.005)
        await watched.some_looks()
        assert OLD_S - 2 < watched.watch.unread_s(0) < OLD_S + 5
        assert watched.watch.unread_s(1) == 0
        assert not watched.ends
        watched.read(0, 0)
        await wait_until(lambda: watched.ends, 5, "the alarm is over", interval_s=0.005)
        await watched.some_looks()
        assert watched.watch.unread_s(0) == 0
    (alarm,) = watched.alarms
    assert (alarm["log_level"], alarm["partition"], alarm["unread_from"]) == ("error", 0, 0)
    assert alarm["why"].startswith(told)
    assert alarm["retention_s"] == RETENTION_S
    assert [(end["partition"], end["unread_from"]) for end in watched.ends] == [(0, 0)]


async def test_the_age_of_an_unread_record_reaches_the_metric_once_it_is_an_alarm() -> None:
    watched = Watched([OLD_S])
    partition = watched.partitions[0]
    async with watched.looking():
        await wait_until(lambda: watched.alarms, 5, "the alarm is raised", interval_s=0.005)
        standing = partition.standing(1, watched.watch.unread_s(0))
    assert standing.oldest_record_s > RETENTION_S * limits.RETENTION_ALARM_SHARE
    watched.read(0, 0, carried_out=False)
    assert partition.standing(1, 9999.0).oldest_record_s == pytest.approx(OLD_S, abs=5)


async def test_what_is_read_or_young_or_not_there_or_kept_for_ever_is_no_alarm() -> None:
    # Everything was read; there is nothing; all is young; and what was old was deleted before it could be read.
    watched = Watched([OLD_S, OLD_S], [], [YOUNG_S], [OLD_S, YOUNG_S])
    for offset in (0, 1):
        watched.read(0, offset)
    del watched.cluster.timestamps_ms[3][0]
    async with watched.looking():
        await watched.some_looks()
        assert not watched.alarms
        watched.cluster.retention_ms = -1
        watched.cluster.timestamps_ms[1] = {0: 0}
        await watched.some_looks()
    assert not watched.alarms


async def test_a_partition_that_is_being_read_is_not_asked_for_however_old_its_records_are() -> None:
    watched = Watched([OLD_S] * 1000)
    topic_setting, offsets = watched.cluster.topic_setting, iter(range(1000))

    async def one_more_was_read(name: str) -> str:
        watched.read(0, next(offsets))
        return await topic_setting(name)

    watched.cluster.topic_setting = one_more_was_read  # type: ignore[method-assign]
    async with watched.looking():
        await watched.some_looks()
    assert not watched.cluster.asked
    assert not watched.alarms


async def test_a_record_that_blocks_is_an_alarm_of_its_own_and_is_told_once() -> None:
    watched = Watched([OLD_S, OLD_S])
    watched.read(0, 0, carried_out=False)
    async with watched.looking():
        await wait_until(lambda: watched.alarms, 5, "the alarm is raised", interval_s=0.005)
        await watched.some_looks()
        assert not watched.cluster.asked
        assert watched.partitions[0].start_next() is not None
        watched.partitions[0].final(0)
        # Behind it is another one, which nobody reads.
        await wait_until(lambda: len(watched.alarms) > 1, 5, "the next alarm is raised", interval_s=0.005)
        await watched.some_looks()
    blocked, unread = watched.alarms
    assert blocked["workflow_id"] == "test:transfers:0:0"
    assert unread["unread_from"] == 1


async def test_a_partition_that_nobody_leads_hides_no_other_one_and_its_own_alarm_lasts() -> None:
    watched = Watched([OLD_S], [OLD_S])
    watched.cluster.leaderless = {1}
    async with watched.looking():
        await wait_until(lambda: watched.alarms, 5, "the alarm is raised", interval_s=0.005)
        watched.cluster.leaderless = {0}
        await wait_until(lambda: len(watched.alarms) > 1, 5, "the other alarm is raised", interval_s=0.005)
        await watched.some_looks()
    assert [alarm["partition"] for alarm in watched.alarms] == [0, 1]
    assert not watched.ends
