"""The alarm before Kafka deletes records that were not carried out, and the end of an intake whose topic is compacted.

A partition's records are read up to a limit beyond the one that blocks its commit offset. When Kafka's retention reaches that
record, what lies behind it unread is next. So the alarm is raised when its age is at half of the topic's retention.ms, by its
timestamp, which is what Kafka goes by. Where no record blocks and nothing is read either, since the intake is paused or the partition
stands still, Kafka is asked whether the next record is as old. Retention by size (retention.bytes) is not watched: it gives no time to
warn.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import assert_never

import structlog

from ingest.assignment import Assignment
from ingest.kafka import Cluster, Edge
from ingest.kafka_words import KafkaProblem, TopicCompacted
from ingest.outage import Outage
from ingest.partition import AssignedPartition, OpenRecord
from ingest.standing import PauseReason
from ingest.switch import Switch
from recharge import limits

_log = structlog.get_logger(__name__)


class RetentionWatch:
    """Looks at the first record of each partition that was not carried out, as long as a membership lasts."""

    def __init__(self, cluster: Cluster, assignment: Assignment, switch: Switch) -> None:
        self._cluster = cluster
        self._assignment = assignment
        self._switch = switch
        self._alarmed: dict[int, Mapping[str, object]] = {}
        """By partition what is near its end: the record that blocks, or from where on nothing was read."""
        self._positions: dict[int, int] = {}
        """Where the partitions without a blocking record stood at the last look. What stands elsewhere at the next is being read."""
        self._unread_since_s: dict[int, float] = {}
        """By partition whose next record is unread and old: since when that is known, by the monotonic clock."""
        self.retention_s: float | None = None
        """The topic's retention.ms, where it has one and that is known."""
        self._outage = Outage(_log, "the topic's retention cannot be watched", "the topic's retention is watched again")

    async def run(self) -> None:
        """Look again and again, until cancelled. The intake does not stop where this cannot be done.

        Raises:
            TopicCompacted: somebody turned compaction on. What it takes away nobody could tell from what was never there.
        """
        while True:
            try:
                retention_ms = int(await self._cluster.topic_setting("retention.ms") or -1)
                await self._cluster.refuse_compaction()
                self.retention_s = retention_ms / 1000 if retention_ms >= 0 else None
                await self._look()
            except TopicCompacted:
                raise
            except KafkaProblem as problem:
                self._outage.began(self, str(problem))
            else:
                self._outage.over(self)
            await asyncio.sleep(limits.RETENTION_CHECK_INTERVAL_S)

    def unread_s(self, partition: int) -> float:
        """The age at least of a partition's next record, where it is unread and at the alarm's share of the retention; else 0."""
        since_s = self._unread_since_s.get(partition)
        return 0.0 if since_s is None else self._alarm_s + time.monotonic() - since_s

    @property
    def _alarm_s(self) -> float:
        return (self.retention_s or 0.0) * limits.RETENTION_ALARM_SHARE

    async def _look(self) -> None:
        unread = await self._old_and_unread()
        partitions = {partition.number: partition for partition in self._assignment}
        self._positions = {
            number: each.progress.position for number, each in partitions.items() if each.blocking is None
        }
        self._unread_since_s = {number: self._unread_since_s.get(number, time.monotonic()) for number in unread}
        for number in self._alarmed.keys() - partitions.keys():
            del self._alarmed[number]
        for partition in partitions.values():
            blocking = partition.blocking
            if blocking is not None and self.retention_s is not None and blocking.age_s > self._alarm_s:
                self._blocked_by(blocking)
            elif partition.number in unread:
                self._unread(partition)
            elif (alarmed := self._alarmed.pop(partition.number, None)) is not None:
                _log.info("Kafka's retention is far again", partition=partition.number, **alarmed)

    # --- What is not read ---------------------------------------------------------------------------------------------

    async def _old_and_unread(self) -> set[int]:
        """The partitions that stand where they stood at the last look, although there is a next record and it is old.

        Of one whose leader does not answer, what was known holds.

        Raises:
            KafkaProblem: Kafka does not say it of any.
        """
        still = {each.number: each.progress.position for each in self._assignment if self._stands(each)}
        if self.retention_s is None or not still:
            return set()
        old_until_ms = round((time.time() - self._alarm_s) * 1000)
        ends = await self._cluster.offsets_of_each(still, Edge.END)
        behind = {number for number, end in ends.items() if not isinstance(end, KafkaProblem) and end > still[number]}
        found = self._unread_since_s.keys() & {number for number, end in ends.items() if isinstance(end, KafkaProblem)}
        if behind:
            # What comes next may have been deleted already, as where a partition stands still for that reason.
            earliest = await self._cluster.offsets_of_each(behind, Edge.EARLIEST)
            young = await self._cluster.offsets_of_each(behind, old_until_ms)
            for number in behind:
                first, young_from = earliest[number], young[number]
                if isinstance(first, KafkaProblem) or isinstance(young_from, KafkaProblem):
                    found |= self._unread_since_s.keys() & {number}
                elif young_from < 0 or young_from > max(first, still[number]):
                    found.add(number)
        # While Kafka was asked, some of it may have been read.
        return found & {each.number for each in self._assignment if self._stands(each)}

    def _stands(self, partition: AssignedPartition) -> bool:
        return partition.blocking is None and self._positions.get(partition.number) == partition.progress.position

    # --- What is told -------------------------------------------------------------------------------------------------

    def _blocked_by(self, blocking: OpenRecord) -> None:
        number, near = blocking.kafka.partition, {"workflow_id": blocking.input.workflow_id}
        if self._is_new(number, near):
            _log.error(
                "Kafka will delete records that were not carried out: see to the record that blocks them, or raise the topic's "
                "retention.ms",
                partition=number,
                **near,
                age_s=round(blocking.age_s),
                retention_s=round(self.retention_s or 0),
            )

    def _unread(self, partition: AssignedPartition) -> None:
        near = {"unread_from": partition.progress.position}
        if self._is_new(partition.number, near):
            _log.error(
                "Kafka will delete records that were not carried out: see to what keeps them from being read, or raise the topic's "
                "retention.ms",
                partition=partition.number,
                **near,
                why=self._why_unread(partition),
                age_s_at_least=round(self.unread_s(partition.number)),
                retention_s=round(self.retention_s or 0),
            )

    def _is_new(self, number: int, near: Mapping[str, object]) -> bool:
        if self._alarmed.get(number) == near:
            return False
        self._alarmed[number] = near
        return True

    def _why_unread(self, partition: AssignedPartition) -> str:
        if partition.stopped is not None:
            return f"the partition stands still ({partition.stopped})"
        match self._switch.reason:
            case PauseReason.PERSON:
                return "somebody paused the intake"
            case PauseReason.REFUSED_IN_A_ROW:
                return "the intake paused itself, since the provider refused one record after another"
            case None:
                return "nothing is read from the partition"
            case never:
                assert_never(never)
