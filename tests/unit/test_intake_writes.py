"""Kafka's clients where not all is as usual: commits without metadata, dead letters that are too large, a library that gave up."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, cast
from unittest.mock import AsyncMock, Mock, patch

import pytest
import structlog.testing

from ingest.assignment import Assignment
from ingest.commit_offset import Commit
from ingest.committer import Committer
from ingest.dead_letters import DeadLetters
from ingest.kafka import KafkaRecord, RecordReader, RecordWriter
from ingest.kafka_words import KafkaProblem, RecordsUnreadable, metadata_too_large, record_too_large, unreachable
from ingest.partition import AssignedPartition
from recharge import limits
from recharge.contract import Ordering, Position, RechargeResult
from recharge.outcome import State
from recharge.settings import IngestSettings, KafkaSettings, SecurityProtocol
from tests.support.intake import logged
from tests.support.records import record, value

KAFKA = KafkaSettings.model_validate(
    {"bootstrap_servers": "127.0.0.1:1", "source": "test", "security_protocol": SecurityProtocol.PLAINTEXT}
)
INGEST = IngestSettings.model_validate({"ordering": Ordering.NONE})


class TakesNoMetadata(RecordReader):
    """A group whose broker keeps no metadata beside an offset."""

    def __init__(self) -> None:
        self.committed: dict[int, tuple[int, str]] = {}

    async def commit(self, commits: Mapping[int, tuple[int, str]], *, timeout_s: float = 1.0) -> None:
        del timeout_s
        if any(metadata for _, metadata in commits.values()):
            raise metadata_too_large()
        self.committed |= commits


def in_background(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.create_task(work)


async def test_a_commit_that_the_broker_took_without_metadata_is_known_again_after_a_rebalance() -> None:
    partition = AssignedPartition(Position("test", "transfers", 0, 0), INGEST, committed=None)
    partition.take_in([KafkaRecord(0, offset, 0, b"key", value(), ()) for offset in range(3)], 3)
    assert [partition.start_next() is not None for _ in range(2)] == [True, True]
    partition.final(1)
    assignment, reader = cast("Assignment", [partition]), TakesNoMetadata()
    committer = Committer(assignment, reader, in_background)
    await committer.commit_last(committer.due())
    assert reader.committed == {0: (0, "")}
    assert partition.continues_from(Commit(*reader.committed[0]))


class Fails(RecordWriter):
    """Fails in these ways, one after the other."""

    def __init__(self, *problems: Exception) -> None:
        self.problems = list(problems)

    async def write(self, *_: object, **__: object) -> Any:
        if self.problems:
            raise self.problems.pop(0)

    async def stop(self) -> None:
        """Nothing was connected."""


async def test_a_dead_letter_that_is_too_large_is_told_and_hides_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HELD_LANE_POLL_S", "START_RETRY_FIRST_S", "START_RETRY_MAX_S"):
        monkeypatch.setattr(limits, name, 0.001)
    away, too_large = unreachable("127.0.0.1:1", "as the test wants"), record_too_large("t.dlt", 9)
    letters = DeadLetters(KAFKA)
    writer = Fails(away, too_large, too_large, away, too_large)

    async def running() -> RecordWriter:
        return writer

    monkeypatch.setattr(letters, "_running_writer", running)
    one = record("test", 1)
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(5):
            await letters.publish(
                KafkaRecord(0, 1, 0, b"key", value(), ()), one, RechargeResult(State.INVALID, one.fingerprint)
            )
    assert (
        len(logged(logs, "no dead letter can be written")) == len(logged(logs, "dead letters are written again")) == 2
    )
    assert [line["workflow_id"] for line in logged(logs, "lane is held")] == [one.workflow_id]
    assert letters.lanes_held == 0


@pytest.mark.parametrize("trouble", ["the fetching task has ended", "the heartbeat's task has ended by a defect"])
async def test_a_client_library_that_gave_up_is_no_fault_of_a_record_and_is_told(trouble: str) -> None:
    reader = RecordReader(KAFKA, AsyncMock(), Mock())
    fetching = asyncio.get_running_loop().create_future()
    if trouble.startswith("the fetching"):
        fetching.set_result(None)
        check = Mock()
    else:
        check = Mock(side_effect=KeyError("a defect"))
    consumer = Mock(
        _fetcher=Mock(error_future=fetching), _coordinator=Mock(check_errors=check), getmany=AsyncMock(return_value={})
    )
    with (
        patch.object(reader, "_consumer", consumer),
        pytest.raises(KafkaProblem, match="the client library gave up") as told,
    ):
        await reader.poll([0], records_max=10, timeout_s=0.1)
    assert not told.value.fatal
    assert not isinstance(told.value, RecordsUnreadable)
    consumer.getmany.assert_not_awaited()
    await reader.stop()
