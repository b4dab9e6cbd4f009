"""Dead letters: the records that were refused, whole, on a topic of their own, with the reason in headers.

A dead letter is acknowledged by Kafka before the record's offset counts as final. So it may appear twice, and is never missing.
"""

import asyncio
import re

import structlog

from ingest import kafka_words
from ingest.kafka import KafkaRecord, RecordWriter
from ingest.outage import Outage, backoff_s
from recharge import instruments, limits, telemetry
from recharge.contract import RechargeResult, RecordInput
from recharge.settings import KafkaSettings

_HEADER_PREFIX = "recharge-"
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_log = structlog.get_logger(__name__)


class DeadLetters:
    """Publishes dead letters, for as long as it takes."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = settings.dead_letters
        self._writer: RecordWriter | None = None
        self._lock = asyncio.Lock()
        self._too_large: set[str] = set()
        self._outage = Outage(
            _log, f"no dead letter can be written to {self._topic}; waiting", "dead letters are written again"
        )

    @property
    def lanes_held(self) -> int:
        """How many records wait since their dead letter is too large for the topic."""
        return len(self._too_large)

    async def publish(self, kafka_record: KafkaRecord, record: RecordInput, result: RechargeResult) -> None:
        """Write one dead letter and return when every in-sync replica has it.

        Raises:
            KafkaProblem: a fatal one, such as a missing permission.
        """
        value = kafka_record.value
        headers = [*kafka_record.headers, *_headers(record, result)]
        if kafka_record.key is None and value is None:
            # aiokafka refuses a record that has neither; the header keeps the difference from an empty value.
            value = b""
            headers.append((f"{_HEADER_PREFIX}null-value", b"true"))
        tries = 0
        try:
            while not await self._written(kafka_record.key, value, headers, record, tries):
                tries += 1
        finally:
            self._outage.forget(record.workflow_id)
            self._too_large.discard(record.workflow_id)
        telemetry.count(instruments.DEAD_LETTERS, result.state)
        _log.info("dead letter written", workflow_id=record.workflow_id, topic=self._topic, state=result.state.value)

    async def _written(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]],
        record: RecordInput,
        tries: int,
    ) -> bool:
        writer: RecordWriter | None = None
        try:
            writer = await self._running_writer()
            await writer.write(self._topic, key, value, headers)
        except kafka_words.RecordTooLarge as problem:
            self._outage.over(record.workflow_id)
            if record.workflow_id not in self._too_large:
                self._too_large.add(record.workflow_id)
                _log.error(
                    "lane is held: its dead letter is too large for the topic",
                    workflow_id=record.workflow_id,
                    problem=str(problem),
                )
            await asyncio.sleep(limits.HELD_LANE_POLL_S)
            return False
        except kafka_words.KafkaProblem as problem:
            if problem.fatal:
                raise
            self._outage.began(record.workflow_id, str(problem))
            # A producer that failed once may be of no use any more (aiokafka keeps fatal errors), so the next try has a new one.
            await self._drop(writer)
            await asyncio.sleep(backoff_s(tries))
            return False
        self._outage.over(record.workflow_id)
        return True

    async def _running_writer(self) -> RecordWriter:
        async with self._lock:
            if self._writer is None:
                writer = RecordWriter(self._settings)
                try:
                    await writer.start()
                except BaseException:
                    await writer.stop()
                    raise
                self._writer = writer
            return self._writer

    async def _drop(self, writer: RecordWriter | None) -> None:
        async with self._lock:
            if writer is not None and writer is self._writer:
                self._writer = None
                await writer.stop()

    async def stop(self) -> None:
        """Close the producer."""
        await self._drop(self._writer)


def _headers(record: RecordInput, result: RechargeResult) -> list[tuple[str, bytes | None]]:
    texts = {
        "reason": _one_line(result.reason or record.invalid_reason or result.state.value),
        "state": result.state.value,
        "source": record.source,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "workflow-id": record.workflow_id,
        "fingerprint": record.fingerprint,
    }
    return [(f"{_HEADER_PREFIX}{name}", text.encode("utf-8", "replace")) for name, text in texts.items()]


def _one_line(text: str) -> str:
    return _CONTROL_CHARACTERS.sub(" ", text)[: limits.REASON_CHARS_MAX].strip()
