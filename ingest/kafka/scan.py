"""A whole topic, read from its beginning to where it ended when the reading began: without a group, and without a trace."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from ingest import kafka_words as words
from ingest.kafka.cluster import Cluster, Edge
from ingest.kafka.connection import calling, client_arguments, closed_in_time, milliseconds, without_haste
from ingest.kafka.reader import KafkaRecord, as_kafka_record, unreadable
from recharge import limits
from recharge.settings import KafkaSettings

_BATCH_RECORDS_MAX = 500
_FETCH_WAIT_S = 0.01
"""How long a broker holds a fetch that finds nothing. All that is asked for is there; only the fetch behind a partition's last record
finds nothing, and the next partition's would have to wait for it."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a partition holds: from its first offset to the one after its last committed record."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """What Kafka delivers at an offset cannot be taken apart, so nobody knows more of it."""

    offset: int
    why: str


class TopicScan:
    """Reads the partitions of a topic one after another. Nothing is committed, and no group is joined.

    An offset within a partition's span that `records` passes over holds no record: it is a marker of a transaction, or a record
    of one that was aborted. Where Kafka deletes records while they are read, `deleted` tells which offsets nobody has seen.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self.spans: dict[int, Span] = {}
        self.deleted: dict[int, list[range]] = {}
        """By partition, the offsets that were deleted after the spans were read and before their records were."""
        self._consumer = AIOKafkaConsumer(
            **client_arguments(settings),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            check_crcs=True,
            fetch_max_wait_ms=milliseconds(_FETCH_WAIT_S),
            fetch_max_bytes=limits.BUFFERED_BYTES_MAX,
            max_partition_fetch_bytes=limits.FETCH_BYTES_MAX,
        )
        without_haste(self._consumer._client)  # noqa: SLF001  # it offers no other way to it

    async def __aenter__(self) -> Self:
        """Read where each partition begins and ends.

        Raises:
            KafkaProblem: the topic cannot be read.
        """
        async with self._cluster() as cluster:
            numbers = sorted(await cluster.leaders(self._topic))
            firsts = await cluster.offsets(numbers, Edge.EARLIEST)
            ends = await cluster.offsets(numbers, Edge.END)
        self.spans = {number: Span(firsts[number], ends[number]) for number in numbers}
        try:
            async with calling(
                self._settings, "connecting the consumer", operation="Read", resource=f"topic {self._topic!r}"
            ):
                await self._consumer.start()
        except BaseException:
            await closed_in_time(self._consumer.stop())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await closed_in_time(self._consumer.stop())

    async def records(self, partition: int, *, since: int = 0) -> AsyncIterator[KafkaRecord | UnreadableRecord]:
        """Every committed record of one partition's span from an offset on, in its order.

        Raises:
            KafkaProblem: the topic cannot be read on.
        """
        span = self.spans[partition]
        position, one_by_one = max(span.first, since), False
        if position >= span.end:
            return
        at = TopicPartition(self._topic, partition)
        self._consumer.assign([at])
        self._consumer.seek(at, position)
        # The position passes the markers of transactions, which are no records.
        while position < span.end:
            try:
                found, position = await self._poll(at, records_max=1 if one_by_one else _BATCH_RECORDS_MAX)
            except errors.OffsetOutOfRangeError:
                position = await self._leap(at, position)
                continue
            except words.RecordsUnreadable as problem:
                if one_by_one:
                    yield UnreadableRecord(position, problem.why)
                    position += 1
                # What was delivered with it may be lost to us, so it is asked for again, until the one is alone.
                one_by_one = not one_by_one
                self._consumer.seek(at, position)
                continue
            for record in found:
                if record.offset < span.end:
                    yield record

    async def _poll(self, at: TopicPartition, *, records_max: int) -> tuple[list[KafkaRecord], int]:
        """Some records, and the position behind them. OffsetOutOfRangeError and RecordsUnreadable are the caller's."""
        problem: errors.OffsetOutOfRangeError | words.RecordsUnreadable
        async with calling(self._settings, "reading the topic", operation="Read", resource=f"topic {at.topic!r}"):
            try:
                found = await self._consumer.getmany(
                    at, timeout_ms=milliseconds(limits.KAFKA_POLL_S), max_records=records_max
                )
            except errors.OffsetOutOfRangeError as error:
                problem = error
            except Exception as error:
                said = unreadable(error, [at.partition])
                if said is None:
                    raise
                problem = said
            else:
                records = [as_kafka_record(record) for record in found.get(at, ())]
                return records, await self._consumer.position(at)
        raise problem

    async def _leap(self, at: TopicPartition, position: int) -> int:
        """Go on behind what Kafka has deleted meanwhile."""
        async with self._cluster() as cluster:
            first = (await cluster.offsets([at.partition], Edge.EARLIEST))[at.partition]
        end = self.spans[at.partition].end
        # A topic that begins no later than here was cut off at its end: nothing more of the span can be read.
        following = min(first, end) if first > position else end
        self.deleted.setdefault(at.partition, []).append(range(position, following))
        self._consumer.seek(at, following)
        return following

    def _cluster(self) -> Cluster:
        return Cluster(self._settings.model_copy(update={"topic": self._topic}))


async def scan(settings: KafkaSettings, topic: str) -> AsyncIterator[KafkaRecord]:
    """Every committed record of a topic, partition by partition, each in its order. Nothing is committed.

    Raises:
        KafkaProblem: the topic cannot be read, or one of its records.
    """
    async with TopicScan(settings, topic) as scanned:
        for number in scanned.spans:
            async for record in scanned.records(number):
                if isinstance(record, UnreadableRecord):
                    raise words.record_unreadable(topic, number, record.offset, record.why)
                yield record
