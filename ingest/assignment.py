"""Which partitions are ours, and where each of them begins.

Every rebalance takes all partitions away and gives some back, most of them the same ones. A partition that comes back goes on with
what it has in flight, if the group's committed offset shows that nobody else had it in the meantime; otherwise it begins anew at
the committed offset, and attaches to the workflows that are there.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog

from ingest.commit_metadata import CompletedRange, decode
from ingest.commit_offset import Commit
from ingest.first_start import first_offsets
from ingest.kafka import Cluster, Edge, RecordReader
from ingest.kafka_words import AssignmentLost, KafkaProblem
from ingest.outage import Outage, backoff_s
from ingest.partition import AssignedPartition
from recharge.contract import Position
from recharge.settings import IngestSettings, KafkaSettings

_ENDS_TRIES = 3
"""So often the end of a partition with completed ranges is asked for again: a leader that is being elected is there by then. After it the
partition begins without its ranges, whose records are looked at again."""

_log = structlog.get_logger(__name__)


class Assignment:
    """The partitions of one membership in the group.

    Each change of hands starts a new *epoch*. What was begun in an older one is without effect: a partition that is set up, a record
    that became final.
    """

    def __init__(
        self, kafka: KafkaSettings, ingest: IngestSettings, cluster: Cluster, recorded: Mapping[int, int]
    ) -> None:
        """Begin without any partition.

        Args:
            kafka: the topic and its source.
            ingest: how it is read.
            cluster: answers where the partitions begin.
            recorded: the recorded first offsets, for partitions without a committed one.
        """
        self._kafka = kafka
        self._recorded = recorded
        self._ingest = ingest
        self._cluster = cluster
        self._partitions: dict[int, AssignedPartition] = {}
        self._epoch = 0
        self._told: frozenset[int] | None = None
        self._outage = Outage(_log, "Kafka does not say where to begin; waiting", "Kafka says again where to begin")

    def __iter__(self) -> Iterator[AssignedPartition]:
        return iter(list(self._partitions.values()))

    def __len__(self) -> int:
        return len(self._partitions)

    def get(self, number: int) -> AssignedPartition | None:
        """The partition, if it is ours and no rebalance goes on."""
        partition = self._partitions.get(number)
        return None if partition is None or partition.suspended else partition

    @property
    def problem(self) -> str | None:
        """Why not every partition that is ours is read, in one line. To be given none is an assignment too: there are more of us."""
        if self._told is None:
            return "no partitions are assigned yet"
        if missing := [number for number in sorted(self._told) if self.get(number) is None]:
            return f"where partition {missing[0]} begins is not known yet"
        return None

    def suspend(self) -> None:
        """A rebalance begins: nothing is read, started or set up until it is over."""
        self._epoch += 1
        self._told = None
        for partition in self:
            partition.suspended = True

    def change(self, numbers: frozenset[int]) -> int:
        """A rebalance is over. Drops what is not ours any more, and returns the new epoch, for `set_up`."""
        self.suspend()
        self._told = numbers
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
                beginnings, why = await self._beginnings(numbers, tries)
            except KafkaProblem as problem:
                if problem.fatal:
                    raise
                beginnings, why = [], problem
            self._begin(reader, beginnings, epoch)
            numbers -= {each.at.partition for each in beginnings}
            if why is None:
                self._outage.over("set_up")
                return
            self._outage.began("set_up", str(why))
            await asyncio.sleep(backoff_s(tries))
            tries += 1

    async def _beginnings(self, numbers: frozenset[int], tries: int) -> tuple[list["_Beginning"], KafkaProblem | None]:
        """Where they begin, and why some are missing where some are: their leaders have to say it, and do not.

        Raises:
            KafkaProblem: Kafka does not say it of any.
        """
        committed = await self._cluster.committed(numbers)
        missing = set(numbers - committed.keys())
        first = await first_offsets(self._cluster, missing, self._recorded) if missing else {}
        with_metadata = {number for number, (_, metadata) in committed.items() if metadata}
        ends = await self._cluster.offsets_of_each(with_metadata, Edge.END) if with_metadata else {}
        found: list[_Beginning] = []
        why: KafkaProblem | None = None
        for number in sorted(numbers):
            commit = Commit(*committed[number]) if number in committed else None
            offset = first[number] if commit is None else commit.offset
            end = ends.get(number)
            if isinstance(end, KafkaProblem) and tries >= _ENDS_TRIES:
                _log.warning("the end of a partition is not known", partition=number, problem=str(end))
                end = None
            if isinstance(offset, KafkaProblem):
                why = offset
            elif isinstance(end, KafkaProblem):
                why = end
            else:
                at = Position(self._kafka.source, self._kafka.topic, number, offset)
                found.append(_Beginning(at, commit, () if commit is None else _completed_ranges(commit, at, end)))
        return found, why

    def _begin(self, reader: RecordReader, beginnings: list["_Beginning"], epoch: int) -> None:
        if epoch != self._epoch:
            return
        try:
            for beginning in beginnings:
                self._begin_one(reader, beginning)
        except AssignmentLost as problem:
            # The next rebalance sets up what is then ours.
            _log.info("assignment changed while it was set up", problem=str(problem))

    def _begin_one(self, reader: RecordReader, beginning: "_Beginning") -> None:
        number = beginning.at.partition
        partition = self._partitions.get(number)
        kept = partition is not None and partition.continues_from(beginning.committed)
        if partition is None or not kept:
            if partition is not None:
                partition.drop()
            partition = AssignedPartition(
                beginning.at, self._ingest, committed=beginning.committed, completed=beginning.completed
            )
            self._partitions[number] = partition
        # Records may have been read, and left, before this seek.
        reader.seek(number, partition.progress.position)
        partition.suspended = False
        _log.info(
            "partition assigned",
            partition=number,
            position=partition.progress.position,
            committed=None if beginning.committed is None else beginning.committed.offset,
            completed_ranges=len(partition.progress.completed_ranges()),
            kept=kept,
        )


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Where a partition begins, if it does not go on."""

    at: Position
    committed: Commit | None
    completed: tuple[CompletedRange, ...]


def _completed_ranges(commit: Commit, at: Position, end: int | None) -> tuple[CompletedRange, ...]:
    """The completed ranges of a commit, as far as the topic holds them: one beyond its end would be waited for until it has grown."""
    decoded = decode(commit.metadata, at)
    problem = decoded.problem
    held = tuple(each for each in decoded.ranges if end is not None and each.last < end)
    if len(held) < len(decoded.ranges):
        problem = f"the topic ends at {'no known offset' if end is None else end}, before some of its ranges"
    if problem is not None:
        _log.warning("metadata of the committed offset ignored", partition=at.partition, problem=problem)
    return held
