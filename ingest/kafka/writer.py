"""The producer of dead letters, and of what `recharge produce` sends."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, errors

from ingest import kafka_words as words
from ingest.kafka.connection import calling, client_arguments, closed_in_time, without_haste
from recharge import limits
from recharge.settings import KafkaSettings

_REQUEST_BYTES_MAX = 100 * limits.MIB
"""A broker reads no larger request by default; the topic's own limit comes first."""
_BATCH_BYTES = 16 * limits.KIB


@dataclass(frozen=True, slots=True)
class Written:
    """Where an acknowledged record stands."""

    partition: int
    offset: int


class RecordWriter:
    """One producer, which counts a record as written only when every in-sync replica has it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            **client_arguments(settings),
            acks="all",
            enable_idempotence=True,
            max_request_size=_REQUEST_BYTES_MAX,
            max_batch_size=_BATCH_BYTES,
            linger_ms=0,
            compression_type=None,
        )
        without_haste(self._producer.client)

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaProblem: the cluster cannot be reached.
        """
        async with calling(self._settings, "connecting the producer", operation="Write", resource="any topic"):
            await self._producer.start()

    async def stop(self) -> None:
        """Close the connections, within a limit."""
        if not await closed_in_time(self._producer.stop()):
            await closed_in_time(self._producer.client.close())

    async def write(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        *,
        partition: int | None = None,
    ) -> Written:
        """Write one record and wait for its acknowledgement. The key chooses the partition where none is named.

        Raises:
            RecordTooLarge: the topic takes no record of this size.
            KafkaProblem: it may or may not have been written.
        """
        size_bytes = len(key or b"") + len(value or b"") + sum(len(name) + len(text or b"") for name, text in headers)
        async with calling(self._settings, "writing a record", operation="Write", resource=f"topic {topic!r}"):
            try:
                written = await self._producer.send_and_wait(
                    topic, value=value, key=key, headers=list(headers), partition=partition
                )
            except (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError) as error:
                raise words.record_too_large(topic, size_bytes) from error
            return Written(written.partition, written.offset)
