"""The alarm before Kafka deletes records that were not carried out, and the end of an intake whose topic is compacted.

A partition's records are read up to a limit beyond the one that blocks its commit offset. When Kafka's retention reaches that
record, what lies behind it unread is next. So the alarm is raised when its age is at half of the topic's retention.ms, by its
timestamp, which is what Kafka goes by. Retention by size (retention.bytes) is not watched: it gives no time to warn.
"""

import asyncio
import time

import structlog

from ingest.assignment import Assignment
from ingest.kafka import Cluster
from ingest.kafka_words import KafkaProblem, TopicCompacted
from ingest.outage import Outage
from ingest.partition import AssignedPartition
from recharge import limits

_log = structlog.get_logger(__name__)


class RetentionWatch:
    """Looks at the record at each commit offset, as long as a membership lasts."""

    def __init__(self, cluster: Cluster, assignment: Assignment) -> None:
        self._cluster = cluster
        self._assignment = assignment
        self._alarmed: dict[int, str] = {}
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
            except TopicCompacted:
                raise
            except KafkaProblem as problem:
                self._outage.began(self, str(problem))
            else:
                self._outage.over(self)
                self.retention_s = retention_ms / 1000 if retention_ms >= 0 else None
                self._look(retention_ms)
            await asyncio.sleep(limits.RETENTION_CHECK_INTERVAL_S)

    def _look(self, retention_ms: int) -> None:
        partitions = {partition.number: partition for partition in self._assignment}
        for number in self._alarmed.keys() - partitions.keys():
            del self._alarmed[number]
        for partition in partitions.values():
            self._look_at(partition, retention_ms)

    def _look_at(self, partition: AssignedPartition, retention_ms: int) -> None:
        blocking = partition.blocking
        age_s = 0.0 if blocking is None else time.time() - blocking.kafka.timestamp_ms / 1000
        is_near = retention_ms >= 0 and age_s * 1000 > retention_ms * limits.RETENTION_ALARM_SHARE
        alarmed = self._alarmed.get(partition.number)
        if blocking is not None and is_near:
            if alarmed != blocking.input.workflow_id:
                self._alarmed[partition.number] = blocking.input.workflow_id
                _log.error(
                    "Kafka will delete records that were not carried out: see to the record that blocks them, or raise the topic's "
                    "retention.ms",
                    partition=partition.number,
                    workflow_id=blocking.input.workflow_id,
                    age_s=round(age_s),
                    retention_s=retention_ms // 1000,
                )
        elif alarmed is not None:
            del self._alarmed[partition.number]
            _log.info("Kafka's retention is far again", partition=partition.number, workflow_id=alarmed)
