"""Where the partitions end, for telling how far behind they are. Nothing else rests on it."""

import asyncio

import structlog

from ingest.assignment import Assignment
from ingest.kafka import Cluster, Edge
from ingest.kafka_words import KafkaProblem
from recharge import limits

_log = structlog.get_logger(__name__)


class EndOffsets:
    """Asks for the ends of the partitions that are ours, as long as a membership lasts.

    The consumer learns an end only where it fetches, so a partition that is not read would seem to grow no more.
    """

    def __init__(self, cluster: Cluster, assignment: Assignment) -> None:
        self._cluster = cluster
        self._assignment = assignment
        self._ends: dict[int, int] = {}

    def of(self, partition: int) -> int | None:
        """The end that was told last, or None where none is known."""
        return self._ends.get(partition)

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            try:
                numbers = [partition.number for partition in self._assignment]
                self._ends = await self._cluster.offsets(numbers, Edge.END) if numbers else {}
            except KafkaProblem as problem:
                # Others tell of Kafka's troubles. An end that may be old is not told.
                self._ends = {}
                _log.debug("the partitions' ends are not known", problem=str(problem))
            await asyncio.sleep(limits.END_OFFSETS_INTERVAL_S)
