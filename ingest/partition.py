"""One assigned partition: the records that were read and are not final, in their lanes, and how far the partition is done."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from ingest.commit_metadata import CompletedRange, encode
from ingest.commit_offset import Arrival, Commit, PartitionProgress
from ingest.kafka import KafkaRecord
from ingest.lanes import Lanes, lanes_of
from ingest.standing import PartitionStanding, StopReason
from recharge import limits, record
from recharge.contract import REDRIVE_HEADER, Position, RecordInput
from recharge.settings import IngestSettings

_TRACEPARENT_HEADER = "traceparent"
BATCH_RECORDS_MAX = 100
"""Records taken in at a time. Decoding a hundred takes a few milliseconds, for which everything else waits."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A record that is not final: as Kafka delivered it, for its dead letter, and as its workflow gets it."""

    kafka: KafkaRecord
    input: RecordInput
    read_at_s: float = field(default_factory=time.monotonic)
    """When it was read, by the monotonic clock."""

    @property
    def age_s(self) -> float:
        """Its age by its own timestamp, which is what Kafka's retention goes by."""
        return max(0.0, time.time() - self.kafka.timestamp_ms / 1000)


@dataclass(frozen=True, slots=True)
class Room:
    """How much of one partition may be held in memory: what was read and is not final."""

    records: int
    size_bytes: int

    @classmethod
    def of_each(cls, partitions: int) -> "Room":
        """The share of each of so many partitions, so that all of them together stay within the limits."""
        share = max(1, partitions)
        records = min(limits.BUFFERED_RECORDS_MAX, limits.BUFFERED_RECORDS_IN_ALL_MAX // share)
        return cls(max(1, records), limits.BUFFERED_BYTES_MAX // share)


class AssignedPartition:
    """One partition from its assignment to its loss.

    It is *suspended* while a rebalance goes on: nothing is read or started until we know that it is still ours. It is *stopped*
    when it cannot go on without a person, with the others going on beside it.
    """

    def __init__(
        self,
        at: Position,
        ingest: IngestSettings,
        *,
        committed: Commit | None,
        completed: Sequence[CompletedRange] = (),
    ) -> None:
        """Begin at a position.

        Args:
            at: where to begin.
            ingest: the order, and the rules for each record.
            committed: what the group has committed, if anything.
            completed: the completed ranges beyond the position that an earlier assignment left.
        """
        self.number = at.partition
        self.progress = PartitionProgress(at.offset, completed)
        self.suspended = False
        self._source = at.source
        self._topic = at.topic
        self._ordering = ingest.ordering
        self._rules = record.IntakeRules(ingest.duplicate_requests, ingest.stale_after_s)
        self._lanes = Lanes()
        self._open: dict[int, OpenRecord] = {}
        self._open_bytes = 0
        self._room = Room.of_each(1)
        self._paused = False
        self._too_far = False
        self._stopped: StopReason | None = None
        self._starts_no_more = False
        self._may_commit = True
        self._committed = committed
        self._committed_changes = -1
        self._commits_tried: set[Commit] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved_on_s = time.monotonic()
        self._stood_before_s: float | None = 0.0
        """For how long the commit offset had stood when the partition was assigned; None once it has moved."""

    # --- Reading ------------------------------------------------------------------------------------------------------

    def wants_more(self, room: Room) -> bool:
        """Whether more records are wanted: none where there is no room, then none until the half of it is free."""
        self._room = room
        held = self.progress.open_count, self._open_bytes
        if self._paused:
            self._paused = held[0] > room.records // 2 or held[1] > room.size_bytes // 2
        else:
            self._paused = held[0] >= room.records or held[1] >= room.size_bytes
        self._note_distance()
        return not (self._paused or self._too_far or self._stopped or self.suspended)

    def _note_distance(self) -> None:
        """Read nothing at the bound of the final distance, then until the half of it is left. A range that was begun is read to its end."""
        distance = self.progress.position - self.progress.commit_offset
        if not self._too_far and distance >= limits.FINAL_DISTANCE_MAX and not self.progress.reread_count:
            self._too_far = True
            _log.error("partition is not read: too much is final beyond a record that is not", **self._blocked_by())
        elif self._too_far and distance <= limits.FINAL_DISTANCE_MAX // 2:
            self._too_far = False
            _log.info("partition is read again", partition=self.number, commit_offset=self.progress.commit_offset)

    def _blocked_by(self) -> dict[str, object]:
        told: dict[str, object] = {"partition": self.number, "final_distance": self.progress.final_distance}
        if (blocking := self.blocking) is not None:
            told["blocked_by"] = blocking.input.workflow_id
            told["blocked_s"] = round(self.blocked_s, 1)
        return told

    @property
    def blocking(self) -> OpenRecord | None:
        """The record at the commit offset, where it is one that has to be carried out."""
        return self._open.get(self.progress.commit_offset)

    @property
    def blocked_s(self) -> float:
        """For how long the record at the commit offset has kept it there; 0 where there is none.

        Not since it was read: behind a slow record, or one that waited for hours, hundreds may have been read long ago.
        """
        blocking = self.blocking
        if blocking is None:
            return 0.0
        return time.monotonic() - max(blocking.read_at_s, self._moved_on_s) + (self._stood_before_s or 0.0)

    def was_under_way(self, offset: int, open_s: float) -> None:
        """Note that a record's workflow had been open for so long: an earlier owner of the partition was blocked by it, or another
        assignment. Only of the record at which the partition was assigned that tells for how long it has blocked: at the most, where
        the order lets it begin before it is at the commit offset, since nobody wrote down when it came there. A record that has been
        open for so long has to be seen to anyway.
        """
        blocking = self.blocking
        if self._stood_before_s is not None and blocking is not None and blocking.input.offset == offset:
            self._stood_before_s = max(0.0, open_s - (time.monotonic() - blocking.read_at_s))

    def read_no_more(self, because: StopReason) -> None:
        """Carry out what was read, and read nothing beyond it."""
        self._stopped = because

    @property
    def batch_records_max(self) -> int:
        """How many records may be read at a time."""
        return max(1, min(BATCH_RECORDS_MAX, self._room.records - self.progress.open_count))

    def take_in(self, records: list[KafkaRecord], position: int) -> bool:
        """Take in what one poll found: decode the records and put them into their lanes.

        Args:
            records: those that were found, in their order.
            position: the offset from which Kafka reads on.

        Returns:
            False where the caller has to seek to `progress.position`, since a completed range turned out to speak of other records.
        """
        for kafka_record in records:
            fingerprint = record.fingerprint(kafka_record.key, kafka_record.value, kafka_record.timestamp_ms)
            arrival = self.progress.fetched(kafka_record.offset, fingerprint)
            if arrival is Arrival.DISAGREES:
                return self._disagreed()
            if arrival is Arrival.OPEN:
                self._open_record(kafka_record)
        return self.progress.moved_on(position) or self._disagreed()

    def _disagreed(self) -> bool:
        _log.warning(
            "completed range ignored: its records are others now; they are started",
            partition=self.number,
            position=self.progress.position,
        )
        return False

    def _open_record(self, kafka_record: KafkaRecord) -> None:
        decoded = record.from_kafka(
            Position(self._source, self._topic, self.number, kafka_record.offset),
            kafka_record.key,
            kafka_record.value,
            kafka_record.timestamp_ms,
            ordering=self._ordering,
            traceparent=kafka_record.text_header(_TRACEPARENT_HEADER),
            intake=self._rules,
            redrive_of=kafka_record.text_header(REDRIVE_HEADER),
        )
        self._lanes.add(kafka_record.offset, lanes_of(decoded, kafka_record.key, self._ordering))
        self._open[kafka_record.offset] = OpenRecord(kafka_record, decoded)
        self._open_bytes += kafka_record.size_bytes

    # --- Carrying out -------------------------------------------------------------------------------------------------

    def start_next(self) -> OpenRecord | None:
        """The next record that may start now, if there is one."""
        lowest = self._lanes.lowest_startable
        if self.suspended or self._starts_no_more or lowest is None:
            return None
        if lowest - self.progress.commit_offset > limits.FINAL_DISTANCE_MAX:
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
        before = self.progress.commit_offset
        self.progress.final(offset)
        if self.progress.commit_offset != before:
            self._moved_on_s = time.monotonic()
            self._stood_before_s = None
        self._open_bytes -= self._open.pop(offset).kafka.size_bytes

    def stop(self, because: StopReason, *, may_commit: bool) -> None:
        """Read and start nothing more; what runs may end. Where `may_commit` is false, the committed offset stays as it is."""
        self._stopped = because
        self._starts_no_more = True
        self._may_commit = self._may_commit and may_commit

    @property
    def stopped(self) -> StopReason | None:
        """Why it stands still until a person does something, where it does."""
        return self._stopped

    def standing(self, end: int | None, unread_s: float = 0.0) -> PartitionStanding:
        """How it stands now, where it ends at `end` (None: not known), and the next record is known to be so old where it is not read."""
        blocking, progress = self.blocking, self.progress
        return PartitionStanding(
            self.number,
            progress.commit_offset,
            end,
            progress.open_count,
            progress.final_distance,
            self.blocked_s,
            unread_s if blocking is None else blocking.age_s,
            self._stopped,
        )

    def drop(self) -> None:
        """Forget the partition. Its workflows go on, and whoever owns it next attaches to them."""
        self.suspended = True
        self._may_commit = False
        for task in self._tasks:
            task.cancel()

    # --- Committing ---------------------------------------------------------------------------------------------------

    @property
    def commit_due(self) -> Commit | None:
        """What is to be committed, where that is not what was committed last.

        The position at which a group begins is committed, too: otherwise nobody could tell later that the records there were deleted.
        """
        progress = self.progress
        if not self._may_commit or progress.changes == self._committed_changes:
            return None
        at = Position(self._source, self._topic, self.number, progress.commit_offset)
        commit = Commit(at.offset, encode(at, progress.completed_ranges()), progress.changes)
        if commit == self._committed:
            self._committed_changes = commit.changes
            return None
        return commit

    def commit_tried(self, commit: Commit) -> None:
        """Note a commit that is on its way, and may succeed although no answer comes."""
        self._commits_tried.add(commit)

    def commit_done(self, commit: Commit) -> bool:
        """Note an acknowledged commit. Returns whether the committed offset moved by it."""
        moved = self._committed is None or commit.offset > self._committed.offset
        self._committed = commit
        self._committed_changes = commit.changes
        self._commits_tried.clear()
        return moved

    def continues_from(self, committed: Commit | None) -> bool:
        """Whether what the group has committed is our own doing, so that nobody else had the partition in between."""
        return committed == self._committed or committed in self._commits_tried
