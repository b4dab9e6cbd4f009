"""A whole topic, read from its beginning to where it ended when the reading began: without a group, and without a trace."""

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.kafka.cluster import Cluster, Edge
from ingest.kafka.connection import calling, client_arguments, closed_in_time, milliseconds
from ingest.kafka.reader import KafkaRecord, as_kafka_record
from recharge import limits
from recharge.settings import KafkaSettings

_BATCH_RECORDS_MAX = 500


async def scan(settings: KafkaSettings, topic: str) -> AsyncIterator[KafkaRecord]:
    """Every committed record of a topic, partition by partition, each in its order. Nothing is committed.

    Raises:
        KafkaProblem: the topic cannot be read.
    """
    of_topic = settings.model_copy(update={"topic": topic})
    async with Cluster(of_topic) as cluster:
        numbers = sorted(await cluster.leaders(topic))
        firsts = await cluster.offsets(numbers, Edge.EARLIEST)
        ends = await cluster.offsets(numbers, Edge.END)
    consumer = AIOKafkaConsumer(
        **client_arguments(settings),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        check_crcs=True,
        fetch_max_bytes=limits.BUFFERED_BYTES_MAX,
        max_partition_fetch_bytes=limits.FETCH_BYTES_MAX,
    )
    try:
        async with calling(settings, "connecting the consumer", operation="Read", resource=f"topic {topic!r}"):
            await consumer.start()
        for number in numbers:
            if firsts[number] < ends[number]:
                at = TopicPartition(topic, number)
                consumer.assign([at])
                consumer.seek(at, firsts[number])
                async for record in _until(settings, consumer, at, ends[number]):
                    yield record
    finally:
        await closed_in_time(consumer.stop())


async def _until(
    settings: KafkaSettings, consumer: AIOKafkaConsumer, at: TopicPartition, end: int
) -> AsyncIterator[KafkaRecord]:
    while True:
        async with calling(settings, "reading the topic", operation="Read", resource=f"topic {at.topic!r}"):
            found = await consumer.getmany(
                at, timeout_ms=milliseconds(limits.KAFKA_POLL_S), max_records=_BATCH_RECORDS_MAX
            )
            position = await consumer.position(at)
        for record in found.get(at, ()):
            if record.offset < end:
                yield as_kafka_record(record)
        # The position passes the markers of transactions, which are no records.
        if position >= end:
            return
