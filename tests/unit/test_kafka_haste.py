"""While a partition has no leader, aiokafka asks for one again as soon as it is answered. Our clients do not."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka.client import AIOKafkaClient

from ingest.kafka import RecordReader, RecordWriter, TopicScan
from ingest.kafka.connection import without_haste
from recharge.settings import KafkaSettings, SecurityProtocol

KAFKA = KafkaSettings.model_validate(
    {"bootstrap_servers": "127.0.0.1:1", "source": "test", "security_protocol": SecurityProtocol.PLAINTEXT}
)


class Answered(AIOKafkaClient):  # type: ignore[misc]  # aiokafka has no types
    """A client whose brokers answer at once, as often as they are asked."""

    def __init__(self) -> None:
        super().__init__(bootstrap_servers="127.0.0.1:1")
        self.asked_s: list[float] = []

    async def _metadata_update(self, *_: object) -> bool:
        self.asked_s.append(time.monotonic())
        await asyncio.sleep(0)
        return True

    async def begin(self) -> None:
        self._sync_task = asyncio.create_task(self._md_synchronizer())


@pytest.fixture
async def client() -> AsyncIterator[Answered]:
    client = Answered()
    yield client
    await client.close()


async def test_who_asks_again_as_soon_as_it_is_answered_waits_for_the_backoff_and_the_first_time_for_nothing(
    client: Answered,
) -> None:
    without_haste(client)
    began_s = time.monotonic()
    await client.begin()
    for _ in range(4):
        assert await client.force_metadata_update()
    first_s, *later_s = client.asked_s
    assert first_s - began_s < 0.09
    assert later_s[-1] - first_s >= 0.3 - 0.01
    assert len(later_s) == 3


async def test_every_client_that_fetches_or_produces_is_without_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_s: list[float] = []

    async def answer(*_: object) -> bool:
        asked_s.append(time.monotonic())
        return True

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", answer)
    reader, scan = RecordReader(KAFKA, _nothing_to_give_back, _nobody_minds), TopicScan(KAFKA, "topic")
    writer = RecordWriter(KAFKA)
    for client in (reader._consumer._client, scan._consumer._client, writer._producer.client):
        asked_s.clear()
        for _ in range(2):
            await client._metadata_update(None, None)
        assert asked_s[1] - asked_s[0] >= 0.09
    for never_started in (reader._consumer, scan._consumer, writer._producer):
        await never_started.stop()


async def _nothing_to_give_back() -> bool:
    return True


def _nobody_minds(_: frozenset[int]) -> None:
    pass
