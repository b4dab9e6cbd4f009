"""Topics, groups and records of the local broker, as its administrator: for setting up, for tests and the demo."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NodeNotReadyError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.commit import OffsetFetchRequest

from devstack.errors import DevstackError, WaitTimeoutError
from devstack.kafka_access import AccessRule, grant
from devstack.kafka_sessions import KafkaSessions

_TIMEOUT_S: Final = 20.0
_TIMEOUT_MS: Final = 20_000
_POLL_INTERVAL_S: Final = 0.02
_PASSING_ERRORS: Final = (
    # The broker is still making or reading the topic of offsets.
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    # A broker that was frozen or killed is back, and the client has not got its connection again.
    NodeNotReadyError,
)

T = TypeVar("T")

Header = tuple[str, bytes | None]
# Key, value, partition (None lets the key decide) and headers.
Record = tuple[bytes | None, bytes | None, int | None, Sequence[Header]]


class KafkaAdmin:
    """What the administrator does, every wait with a limit of 20 s.

    `options` are aiokafka's connection settings.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._sessions = KafkaSessions(options, request_timeout_ms=_TIMEOUT_MS)

    async def close(self) -> None:
        """Close the connections."""
        await self._sessions.close()

    async def create_topics(self, configs: Mapping[str, Mapping[str, str]], partitions: Mapping[str, int]) -> None:
        """Make topics, given each one's settings and number of partitions, and wait until they can be used.

        A topic that is there already stays as it is.

        Raises:
            DevstackError: when the broker refuses one.
        """
        wanted = [NewTopic(name, partitions[name], 1, topic_configs=dict(config)) for name, config in configs.items()]
        async with self._admin() as admin:
            await _know_controller(admin)
            response = await admin.create_topics(wanted, timeout_ms=_TIMEOUT_MS)
            for name, error_code, message in response.topic_errors:
                if error_code not in (0, TopicAlreadyExistsError.errno):
                    raise DevstackError(f"Kafka refused the topic {name}: {message or for_code(error_code).__name__}")
            while not await _have_leaders(admin, list(configs)):  # noqa: ASYNC110 - the broker is asked; nothing sets an event
                await asyncio.sleep(_POLL_INTERVAL_S)

    async def grant(self, rules: Iterable[AccessRule]) -> None:
        """Make access rules and wait until the broker obeys them."""
        async with self._admin() as admin:
            await grant(admin, rules)

    async def answers(self) -> bool:
        """Whether the broker lets the administrator in and answers."""
        try:
            async with self._admin() as admin:
                return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, WaitTimeoutError, OSError):
            return False

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset of each partition that has one."""
        async with self._admin() as admin:
            return await _patiently(lambda: _committed(admin, group, topic))

    async def coordinator(self, group: str) -> int:
        """The number of the broker that coordinates a consumer group."""
        async with self._admin() as admin:
            return int(await _patiently(lambda: admin.find_coordinator(group)))

    async def leaders(self, topic: str) -> dict[int, int]:
        """For each partition the number of the broker that leads it."""
        async with self._admin() as admin:
            (described,) = await _patiently(lambda: admin.describe_topics([topic]))
        return {each["partition"]: each["leader"] for each in described["partitions"]}

    async def ask_controller(self, request: Request) -> Response:
        """Send a message for which aiokafka's client has no method."""
        async with self._admin() as admin:
            await _know_controller(admin)
            return await admin._send_to_controller(request)  # noqa: SLF001 - only the messages are public

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """For each partition the offset that its next record will have."""
        async with self._consumer(topic) as (consumer, partitions):
            return {each.partition: end for each, end in (await consumer.end_offsets(partitions)).items()}

    async def read_all(self, topic: str) -> list[ConsumerRecord[bytes | None, bytes | None]]:
        """Every record that is in the topic now, those of one partition in their order."""
        async with self._consumer(topic) as (consumer, partitions):
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            records: list[ConsumerRecord[bytes | None, bytes | None]] = []
            while [each for each in partitions if await consumer.position(each) < ends[each]]:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
            return records

    async def produce(self, topic: str, records: Iterable[Record]) -> list[tuple[int, int]]:
        """Write records in their order, acknowledged by the broker, and return each one's partition and offset."""
        producer = AIOKafkaProducer(
            **self._options, acks="all", enable_idempotence=True, linger_ms=0, request_timeout_ms=_TIMEOUT_MS
        )
        async with _limit():
            await producer.start()
            try:
                sent = [
                    await producer.send(topic, value, key=key, partition=partition, headers=list(headers))
                    for key, value, partition, headers in records
                ]
                return [(done.partition, done.offset) for done in await asyncio.gather(*sent)]
            finally:
                await producer.stop()

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        async with _limit(), self._sessions.lent() as admin:
            yield admin

    @asynccontextmanager
    async def _consumer(self, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        async with self._admin() as admin:
            (described,) = await _patiently(lambda: admin.describe_topics([topic]))
        if described["error_code"]:
            raise for_code(described["error_code"])(f"topic {topic}")
        partitions = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            request_timeout_ms=_TIMEOUT_MS,
        )
        async with _limit():
            await consumer.start()
            try:
                consumer.assign(partitions)
                yield consumer, partitions
            finally:
                await consumer.stop()


@asynccontextmanager
async def _limit() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except TimeoutError:
        raise WaitTimeoutError(f"Kafka did not do what it was asked within {_TIMEOUT_S:g} s.") from None


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again for as long as the broker is only not ready yet; the caller's limit ends it."""
    while True:
        try:
            return await ask()
        except _PASSING_ERRORS:
            await asyncio.sleep(_POLL_INTERVAL_S)


async def _know_controller(admin: AIOKafkaAdminClient) -> None:
    """Wait until the broker names its controller: it names none for a moment after its start, and aiokafka takes that for an object."""
    client = admin._client  # noqa: SLF001 - there is no other way to ask
    while client.cluster.controller is None:
        await client.force_metadata_update()
        await asyncio.sleep(_POLL_INTERVAL_S)


async def _have_leaders(admin: AIOKafkaAdminClient, topics: list[str]) -> bool:
    described = await admin.describe_topics(topics)
    return all(
        not topic["error_code"] and topic["partitions"] and all(each["leader"] >= 0 for each in topic["partitions"])
        for topic in described
    )


async def _committed(admin: AIOKafkaAdminClient, group: str, topic: str) -> dict[int, int]:
    coordinator = await admin.find_coordinator(group)
    # The client's own method takes an error of the whole group for a group without offsets.
    response = await admin._send_request_to_node(coordinator, OffsetFetchRequest(group, None))  # noqa: SLF001
    if response.error_code:
        raise for_code(response.error_code)(f"offsets of group {group}")
    offsets: dict[int, int] = {}
    for name, partitions in response.topics:
        for partition, offset, _metadata, error_code in partitions:
            if error_code:
                raise for_code(error_code)(f"offset of group {group}, topic {name}, partition {partition}")
            if name == topic and offset >= 0:
                offsets[partition] = offset
    return offsets
