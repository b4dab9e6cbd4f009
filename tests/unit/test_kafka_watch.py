"""The log says that Kafka is away when it is, not when one broker of several is; and a deleted topic ends the intake."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import structlog
import structlog.testing

from devstack.processes import wait_until
from ingest import kafka_watch
from ingest.kafka import Cluster
from ingest.kafka_watch import KafkaWatch
from ingest.kafka_words import KafkaProblem, TopicMissing, topic_missing, unreachable
from ingest.outage import Outage
from recharge import limits

AWAY = unreachable("kafka-1:9093", "connection refused")
_log = structlog.get_logger(__name__)


class Scripted(Cluster):
    """Answers as the test wants: None is an answer."""

    def __init__(self) -> None:
        self.says: Callable[[], KafkaProblem | None] = lambda: None
        self.asked = 0
        self.partitions = 1

    async def leaders(self, topic: str, setting: str = "") -> dict[int, int]:
        del topic, setting
        self.asked += 1
        if (problem := self.says()) is not None:
            raise problem
        return dict.fromkeys(range(self.partitions), 1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KAFKA_WATCH_INTERVAL_S", 0.01)
    monkeypatch.setattr(limits, "KAFKA_WATCH_TIMEOUT_S", 0.1)
    monkeypatch.setattr(kafka_watch, "_NEXT_TRY_S", 0.005)


async def run_until(cluster: Scripted, condition: Callable[[], bool]) -> list[str]:
    """What is logged by a watch until then."""
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(KafkaWatch(cluster, "transfers", Outage(_log, "away", "back")).run())
        try:
            await wait_until(lambda: running.done() or condition(), 5, "it is as expected", interval_s=0.01)
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return [line["event"] for line in logs]


async def test_one_broker_of_several_that_is_away_is_no_outage() -> None:
    cluster = Scripted()
    # Every second question goes to the one that is away.
    alternating: Iterator[KafkaProblem | None] = iter([AWAY, None] * 1000)
    cluster.says = lambda: next(alternating)
    assert await run_until(cluster, lambda: cluster.asked > 20) == []


async def test_an_outage_is_told_once_and_its_end_once() -> None:
    cluster = Scripted()
    cluster.says = lambda: AWAY if cluster.asked < 100 else None
    assert await run_until(cluster, lambda: cluster.asked > 110) == ["away", "back"]


async def test_a_topic_that_stays_missing_ends_the_intake_and_one_that_is_missed_once_does_not() -> None:
    cluster = Scripted()
    missing = topic_missing("transfers", "RECHARGE_KAFKA__TOPIC")
    cluster.says = lambda: missing if cluster.asked == 3 else None
    assert await run_until(cluster, lambda: cluster.asked > 6) == []
    cluster.says = lambda: missing
    with pytest.raises(TopicMissing):
        await run_until(cluster, lambda: False)


async def test_partitions_that_were_added_are_told_once_although_a_broker_lags_behind() -> None:
    cluster, grown = Scripted(), 0
    counts = iter([1, 1, 3, 1, 3, 3, 1, 3])

    def one_more() -> None:
        nonlocal grown
        grown += 1

    def answer() -> None:
        cluster.partitions = next(counts, 3)

    cluster.says = answer
    watch = KafkaWatch(cluster, "transfers", Outage(_log, "away", "back"))
    watch.when_grown = one_more
    running = asyncio.create_task(watch.run())
    try:
        await wait_until(lambda: cluster.asked > 12, 5, "it has looked", interval_s=0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert grown == 1
