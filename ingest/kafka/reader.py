"""The consumer: records in, committed offsets out. It decides nothing about either."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition, errors
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from ingest import kafka_words as words
from ingest.kafka.connection import calling, client_arguments, closed_in_time, milliseconds, without_haste
from recharge import limits
from recharge.settings import KafkaSettings

_REBALANCE_TIMEOUT_S = 15.0
"""How long the group waits for a member to give its partitions back. Below the request time-out, or joining would end in one."""
_UNREADABLE = (errors.CorruptRecordException, errors.UnsupportedCodecError, errors.RecordTooLargeError)
"""Of Kafka's errors those that speak of a record. What else is wrong with one is none of Kafka's, such as a name that is no text."""
_NO_PARTITION = 2**31 - 1
"""A partition that no topic has. aiokafka takes 'none of them' for 'all of them'."""
_POLL_SLACK_S = 1.0
"""What a poll may take beyond its own time-out. In a rebalance aiokafka would wait in it without limit."""


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """One record as Kafka delivered it, whole."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def size_bytes(self) -> int:
        """Key, value and headers together."""
        return (
            len(self.key or b"")
            + len(self.value or b"")
            + sum(len(name) + len(value or b"") for name, value in self.headers)
        )

    def text_header(self, wanted: str) -> str | None:
        """The text of the first header of this name that has one."""
        text = next((text for name, text in self.headers if name == wanted and text is not None), None)
        return None if text is None else text.decode("ascii", "replace")


class RecordReader:
    """One member of the consumer group, from `start` to `stop`.

    `on_revoked` is awaited before the partitions are given back, and may still commit; where it returns False, this member does not
    join again. `on_assigned` is told the whole new assignment and must return at once. Records of a partition that was just assigned
    may come before anybody has said where to begin: the caller leaves them and seeks.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        on_revoked: Callable[[], Awaitable[bool]],
        on_assigned: Callable[[frozenset[int]], None],
    ) -> None:
        self._settings = settings
        self._listener = _Listener(on_revoked, on_assigned)
        self._consumer = AIOKafkaConsumer(
            **client_arguments(settings),
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            check_crcs=True,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=milliseconds(limits.KAFKA_SESSION_TIMEOUT_S),
            heartbeat_interval_ms=milliseconds(limits.KAFKA_HEARTBEAT_INTERVAL_S),
            max_poll_interval_ms=milliseconds(limits.KAFKA_MAX_POLL_INTERVAL_S),
            rebalance_timeout_ms=milliseconds(_REBALANCE_TIMEOUT_S),
            consumer_timeout_ms=milliseconds(limits.KAFKA_POLL_S),
            fetch_max_wait_ms=milliseconds(limits.KAFKA_FETCH_WAIT_S),
            fetch_min_bytes=1,
            fetch_max_bytes=limits.BUFFERED_BYTES_MAX,
            max_partition_fetch_bytes=limits.FETCH_BYTES_MAX,
            exclude_internal_topics=True,
        )
        without_haste(self._consumer._client)  # noqa: SLF001  # it offers no other way to it

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition)

    def _calling(self, doing: str, timeout_s: float = limits.KAFKA_CALL_TIMEOUT_S) -> AbstractAsyncContextManager[None]:
        return calling(
            self._settings, doing, operation="Read", resource=f"topic {self._settings.topic!r}", timeout_s=timeout_s
        )

    async def start(self) -> None:
        """Connect and join the group, without waiting for an assignment.

        Raises:
            KafkaProblem: the cluster cannot be reached.
        """
        async with self._calling("connecting the consumer"):
            await self._consumer.start()
        self._consumer.subscribe([self._settings.topic], listener=self._listener)

    def join_again(self) -> None:
        """Ask for a new assignment, where this member leads the group; from any other member the group takes it as a sign of life."""
        self._consumer._client.force_metadata_update()  # noqa: SLF001  # the assignment is made of what the client knows
        self._consumer._coordinator.request_rejoin()  # noqa: SLF001  # no other way to ask

    async def stop(self) -> None:
        """Leave the group (unless this member has a group instance id) and close the connections, within a limit."""
        if not await closed_in_time(self._consumer.stop()):
            # A stop that failed half-way leaves the connections open, and aiokafka has no other way to close them.
            await closed_in_time(self._consumer._client.close())  # noqa: SLF001

    @property
    def was_put_out(self) -> bool:
        """Whether the group does not know this member any more: its session ended, or its instance id is somebody else's now."""
        return bool(self._consumer._coordinator.member_id == JoinGroupRequest.UNKNOWN_MEMBER_ID)  # noqa: SLF001  # no other way to ask

    async def poll(
        self, partitions: Collection[int], *, records_max: int, timeout_s: float
    ) -> dict[int, list[KafkaRecord]]:
        """The next records of these partitions, or nothing within the time-out.

        A partition that is not named is as good as paused: what was fetched ahead of it is kept, and no more is fetched. Kafka's own
        pause would throw that away and fetch it again, for every few hundred records a whole megabyte. With no partition named, the call
        keeps the membership alive and raises what is wrong with it.

        Returning from this call gives no other task a chance to run, so `position` belongs to what it returned.

        Raises:
            PositionOutOfRange: the topic does not hold the position of one partition.
            RecordsUnreadable: what was delivered cannot be taken apart. Records of other partitions may be lost to the caller with it,
                so every partition that was named has to be sought to its position.
            KafkaProblem: reading cannot go on with this consumer.
        """
        async with self._calling("reading records"):
            self._check_tasks()
            try:
                async with asyncio.timeout(timeout_s + _POLL_SLACK_S):
                    found = await self._consumer.getmany(
                        *map(self._at, partitions or (_NO_PARTITION,)),
                        timeout_ms=milliseconds(timeout_s),
                        max_records=records_max,
                    )
            except (TimeoutError, errors.NoOffsetForPartitionError):
                # A rebalance is going on; or a partition has no committed offset, where the caller is about to seek.
                return {}
            except errors.OffsetOutOfRangeError as error:
                ((at, offset),) = error.args[0].items()
                raise words.PositionOutOfRange(at.partition, offset) from error
            except Exception as error:
                problem = unreadable(error, sorted(partitions))
                if problem is None:
                    raise
                raise problem from error
        return {at.partition: [as_kafka_record(record) for record in records] for at, records in found.items()}

    def _check_tasks(self) -> None:
        """Raise where a task of aiokafka's has ended, of which its own reading tells nothing, or tells it as if it were a record's fault.

        Raises:
            KafkaProblem: reading can go on with another consumer alone.
        """
        try:
            self._consumer._coordinator.check_errors()  # noqa: SLF001  # no other way to ask
            ended = self._consumer._fetcher.error_future.done()  # noqa: SLF001
        except errors.KafkaError:
            raise
        except Exception as error:
            raise self._gave_up(f"{type(error).__name__}: {error}") from error
        if ended:
            raise self._gave_up("its reading has ended")

    def _gave_up(self, why: str) -> words.KafkaProblem:
        return words.unreachable(self._settings.bootstrap_servers, f"the client library gave up ({why})")

    async def position(self, partition: int) -> int:
        """The offset that is fetched next. It does not wait where the partition was sought or fetched before."""
        async with self._calling("asking for a position"):
            position: int = await self._consumer.position(self._at(partition))
            return position

    def seek(self, partition: int, offset: int) -> None:
        """Read on from this offset; whatever was fetched ahead is dropped.

        Raises:
            AssignmentLost: the partition is not ours any more.
        """
        try:
            self._consumer.seek(self._at(partition), offset)
        except errors.IllegalStateError as error:
            raise words.AssignmentLost(f"Partition {partition} is not ours any more.") from error

    async def commit(
        self, commits: Mapping[int, tuple[int, str]], *, timeout_s: float = limits.KAFKA_CALL_TIMEOUT_S
    ) -> None:
        """Commit an offset with its metadata for each of these partitions.

        Raises:
            AssignmentLost: a partition is not ours any more.
            MetadataTooLarge: the broker keeps less metadata than usual.
            KafkaProblem: the commit may or may not have been carried out.
        """
        named = {self._at(partition): OffsetAndMetadata(*commit) for partition, commit in commits.items()}
        async with self._calling("committing offsets", timeout_s):
            try:
                await self._consumer.commit(named)
            except errors.OffsetMetadataTooLargeError as error:
                raise words.metadata_too_large() from error


def unreadable(error: Exception, partitions: list[int]) -> words.RecordsUnreadable | None:
    """What an error of reading says of the records; None where it speaks of Kafka and of no record."""
    if isinstance(error, errors.KafkaError) and not isinstance(error, _UNREADABLE):
        return None
    return words.RecordsUnreadable(partitions, f"{type(error).__name__}: {error}")


def as_kafka_record(record: ConsumerRecord[bytes | None, bytes | None]) -> KafkaRecord:
    """A record of aiokafka's as the service has it."""
    return KafkaRecord(
        record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(
        self, on_revoked: Callable[[], Awaitable[bool]], on_assigned: Callable[[frozenset[int]], None]
    ) -> None:
        self._on_revoked = on_revoked
        self._on_assigned = on_assigned
        self._was_assigned = False

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Give everything back, since aiokafka revokes every partition in every rebalance."""
        del revoked
        if self._was_assigned and not await self._on_revoked():
            # The only way out of aiokafka's coordinator that does not join the group once more.
            raise asyncio.CancelledError

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Hand the new assignment on."""
        self._was_assigned = True
        self._on_assigned(frozenset(at.partition for at in assigned))
