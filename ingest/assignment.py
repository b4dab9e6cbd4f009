"""Which partitions are ours, and where each of them begins.

Every rebalance takes all partitions away and gives some back, most of them the same ones. A partition that comes back goes on with
what it has in flight, if the group's committed offset shows that nobody else had it in the meantime; otherwise it begins anew at
the committed offset, and attaches to the workflows that are there.
"""

import asyncio
from collections.abc import Iterator
from typing import assert_never

import structlog

from ingest.kafka import Cluster, Edge, RecordReader
from ingest.kafka_words import AssignmentLost, KafkaProblem
from ingest.outage import Outage, backoff_s
from ingest.partition import AssignedPartition
from recharge.settings import FirstStart, IngestSettings, KafkaSettings

_log = structlog.get_logger(__name__)


class Assignment:
    """The partitions of one membership in the group.

    Each change of hands starts a new *epoch*. What was begun in an older one is without effect: a partition that is set up, a record
    that became final.
    """

    def __init__(self, kafka: KafkaSettings, ingest: IngestSettings, cluster: Cluster) -> None:
        self._kafka = kafka
        self._ingest = ingest
        self._cluster = cluster
        self._partitions: dict[int, AssignedPartition] = {}
        self._epoch = 0
        self._outage = Outage(_log, "Kafka does not say where to begin; waiting", "Kafka says again where to begin")

    def __iter__(self) -> Iterator[AssignedPartition]:
        return iter(list(self._partitions.values()))

    def __len__(self) -> int:
        return len(self._partitions)

    def get(self, number: int) -> AssignedPartition | None:
        """The partition, if it is ours and no rebalance goes on."""
        partition = self._partitions.get(number)
        return None if partition is None or partition.suspended else partition

    def suspend(self) -> None:
        """A rebalance begins: nothing is read, started or set up until it is over."""
        self._epoch += 1
        for partition in self:
            partition.suspended = True

    def change(self, numbers: frozenset[int]) -> int:
        """A rebalance is over. Drops what is not ours any more, and returns the new epoch, for `set_up`."""
        self.suspend()
        for number in self._partitions.keys() - numbers:
            self._partitions.pop(number).drop()
            _log.info("partition given away", partition=number)
        return self._epoch

    def drop_all(self) -> None:
        """Forget every partition: the membership ends."""
        self.change(frozenset())

    async def set_up(self, reader: RecordReader, numbers: frozenset[int], epoch: int) -> None:
        """Find out where each partition begins, and let it begin. Waits for Kafka as long as the epoch lasts.

        Raises:
            KafkaProblem: a fatal one.
        """
        tries = 0
        while epoch == self._epoch and numbers:
            try:
                committed = await self._cluster.committed(numbers)
                first = await self._first_offsets(numbers - committed.keys())
            except KafkaProblem as problem:
                if problem.fatal:
                    raise
                self._outage.began("set_up", str(problem))
                await asyncio.sleep(backoff_s(tries))
                tries += 1
            else:
                self._outage.over("set_up")
                self._begin(reader, numbers, epoch, {n: offset for n, (offset, _) in committed.items()}, first)
                return

    async def _first_offsets(self, numbers: frozenset[int]) -> dict[int, int]:
        """Where the partitions begin for which the group has no committed offset."""
        if not numbers:
            return {}
        match self._ingest.first_start:
            case FirstStart.EARLIEST:
                return await self._cluster.offsets(numbers, Edge.EARLIEST)
            case _:
                assert_never(self._ingest.first_start)

    def _begin(
        self,
        reader: RecordReader,
        numbers: frozenset[int],
        epoch: int,
        committed: dict[int, int],
        first: dict[int, int],
    ) -> None:
        if epoch != self._epoch:
            return
        try:
            for number in sorted(numbers):
                self._begin_one(reader, number, committed.get(number), first.get(number, 0))
        except AssignmentLost as problem:
            # The next rebalance sets up what is then ours.
            _log.info("assignment changed while it was set up", problem=str(problem))

    def _begin_one(self, reader: RecordReader, number: int, committed: int | None, first: int) -> None:
        partition = self._partitions.get(number)
        kept = partition is not None and partition.continues_from(committed)
        if partition is None or not kept:
            if partition is not None:
                partition.drop()
            partition = AssignedPartition(
                self._kafka.source,
                self._kafka.topic,
                number,
                self._ingest,
                start=first if committed is None else committed,
                committed=committed,
            )
            self._partitions[number] = partition
        # Records may have been read, and left, before this seek.
        reader.seek(number, partition.progress.position)
        partition.suspended = False
        _log.info(
            "partition assigned", partition=number, position=partition.progress.position, committed=committed, kept=kept
        )
