"""One assigned partition: the records that were read and are not final, in their lanes, and how far the partition is done."""

import asyncio
from dataclasses import dataclass

from ingest.commit_offset import PartitionProgress
from ingest.kafka import KafkaRecord
from ingest.lanes import Lanes, lanes_of
from recharge import limits, record
from recharge.contract import REDRIVE_HEADER, Position, RecordInput
from recharge.settings import IngestSettings

_TRACEPARENT_HEADER = "traceparent"
_BATCH_RECORDS_MAX = 100
"""Records taken in at a time. Decoding a hundred takes a few milliseconds, for which everything else waits."""


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A record that is not final: as Kafka delivered it, for its dead letter, and as its workflow gets it."""

    kafka: KafkaRecord
    input: RecordInput


class AssignedPartition:
    """One partition from its assignment to its loss.

    It is *suspended* while a rebalance goes on: nothing is read or started until we know that it is still ours. It is *stopped*
    when it cannot go on without a person, with the others going on beside it.
    """

    def __init__(
        self, source: str, topic: str, number: int, ingest: IngestSettings, *, start: int, committed: int | None
    ) -> None:
        self.number = number
        self.progress = PartitionProgress(start)
        self.suspended = False
        self._source = source
        self._topic = topic
        self._ordering = ingest.ordering
        self._rules = record.IntakeRules(ingest.duplicate_requests, ingest.stale_after_s)
        self._lanes = Lanes()
        self._open: dict[int, OpenRecord] = {}
        self._open_bytes = 0
        self._paused = False
        self._reads_no_more = False
        self._stopped = False
        self._may_commit = True
        self._committed = committed
        self._commits_tried: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- Reading ------------------------------------------------------------------------------------------------------

    def wants_more(self, bytes_max: int) -> bool:
        """Whether more records are wanted: none above the limits, then none until the half of both is left."""
        if self._paused:
            self._paused = (
                self.progress.open_count > limits.BUFFERED_RECORDS_MAX // 2 or self._open_bytes > bytes_max // 2
            )
        else:
            self._paused = self.progress.open_count >= limits.BUFFERED_RECORDS_MAX or self._open_bytes >= bytes_max
        return not (self._paused or self._reads_no_more or self._stopped or self.suspended)

    def read_no_more(self) -> None:
        """Carry out what was read, and read nothing beyond it."""
        self._reads_no_more = True

    @property
    def room(self) -> int:
        """How many records may be read at a time."""
        return max(1, min(_BATCH_RECORDS_MAX, limits.BUFFERED_RECORDS_MAX - self.progress.open_count))

    def take_in(self, records: list[KafkaRecord]) -> None:
        """Decode records that were read, and put them into their lanes."""
        for kafka_record in records:
            self.progress.fetched(kafka_record.offset)
            decoded = record.from_kafka(
                Position(self._source, self._topic, self.number, kafka_record.offset),
                kafka_record.key,
                kafka_record.value,
                kafka_record.timestamp_ms,
                ordering=self._ordering,
                traceparent=_header(kafka_record, _TRACEPARENT_HEADER),
                intake=self._rules,
                redrive_of=_header(kafka_record, REDRIVE_HEADER),
            )
            self._lanes.add(kafka_record.offset, lanes_of(decoded, kafka_record.key, self._ordering))
            self._open[kafka_record.offset] = OpenRecord(kafka_record, decoded)
            self._open_bytes += kafka_record.size_bytes

    # --- Carrying out -------------------------------------------------------------------------------------------------

    def start_next(self) -> OpenRecord | None:
        """The next record that may start now, if there is one."""
        if self.suspended or self._stopped:
            return None
        offset = self._lanes.start_next()
        return None if offset is None else self._open[offset]

    def runs(self, task: asyncio.Task[None]) -> None:
        """Keep hold of the task that carries out one record."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def final(self, offset: int) -> None:
        """Note that a started record became final: its successors may start, and the commit offset may move."""
        self._lanes.final(offset)
        self.progress.final(offset)
        self._open_bytes -= self._open.pop(offset).kafka.size_bytes

    def stop(self, *, may_commit: bool) -> None:
        """Start nothing more; what runs may end. Where `may_commit` is false, the committed offset stays as it is."""
        self._stopped = True
        self._may_commit = self._may_commit and may_commit

    def drop(self) -> None:
        """Forget the partition. Its workflows go on, and whoever owns it next attaches to them."""
        self.suspended = True
        self._may_commit = False
        for task in self._tasks:
            task.cancel()

    # --- Committing ---------------------------------------------------------------------------------------------------

    @property
    def offset_to_commit(self) -> int | None:
        """The commit offset, where it lies beyond what was committed."""
        offset = self.progress.commit_offset
        known = self._committed
        if not self._may_commit or (known is not None and offset <= known) or (known is None and not self._has_moved):
            return None
        return offset

    @property
    def _has_moved(self) -> bool:
        return self.progress.commit_offset > self.progress.start

    def commit_tried(self, offset: int) -> None:
        """Note a commit that is on its way, and may succeed although no answer comes."""
        self._commits_tried.add(offset)

    def commit_done(self, offset: int) -> None:
        """Note an acknowledged commit."""
        self._committed = max(offset, self._committed or 0)
        self._commits_tried = {tried for tried in self._commits_tried if tried > offset}

    def continues_from(self, committed: int | None) -> bool:
        """Whether the group's committed offset is our own doing, so that nobody else had the partition in between."""
        return committed == self._committed or committed in self._commits_tried


def _header(kafka_record: KafkaRecord, wanted: str) -> str | None:
    for name, value in kafka_record.headers:
        if name == wanted and value is not None:
            return value.decode("ascii", "replace")
    return None
