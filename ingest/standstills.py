"""What a partition stands still for while it is read: a position that the topic does not hold, and a record that cannot be taken apart."""

import structlog

from ingest import kafka_words
from ingest.assignment import Assignment
from ingest.kafka import Cluster, Edge, RecordReader
from ingest.partition import BATCH_RECORDS_MAX, AssignedPartition
from ingest.standing import StopReason
from recharge.settings import KafkaSettings

_log = structlog.get_logger(__name__)


class Standstills:
    """Stops the partitions of one membership that cannot be read on, and says why."""

    def __init__(self, kafka: KafkaSettings, cluster: Cluster, assignment: Assignment, reader: RecordReader) -> None:
        self._kafka = kafka
        self._cluster = cluster
        self._assignment = assignment
        self._reader = reader
        self._singly: dict[int, int] = {}
        """The partitions that are read record by record, each until this offset: what was read at a time could not be taken apart."""

    def is_read_singly(self, partition: AssignedPartition) -> bool:
        """Whether it has to be read record by record, apart from the others."""
        return partition.number in self._singly

    def was_read(self, partition: AssignedPartition) -> None:
        """Note how far it was read."""
        if partition.progress.position > self._singly.get(partition.number, partition.progress.position):
            del self._singly[partition.number]

    def forget(self) -> None:
        """The partitions change hands."""
        self._singly.clear()

    async def out_of_range(self, problem: kafka_words.PositionOutOfRange) -> None:
        """Read the partition no further, and tell where Kafka holds it.

        Raises:
            KafkaProblem: Kafka does not say that.
        """
        partition = self._assignment.get(problem.partition)
        numbers = [problem.partition]
        earliest = await self._cluster.offsets(numbers, Edge.EARLIEST)
        end = await self._cluster.offsets(numbers, Edge.END)
        if partition is None or self._assignment.get(problem.partition) is not partition:
            return  # It changes hands. Who has it then meets the same.
        if problem.offset < earliest[problem.partition]:
            # Kafka deleted what comes next. What was read before that is here, whole: it is carried out, and the commit offset comes to
            # stand where the gap begins.
            partition.read_no_more(StopReason.OUT_OF_RANGE)
        else:
            # The topic was truncated or made anew, so what was read is another topic's; it may have grown beyond the offset meanwhile.
            partition.stop(StopReason.OUT_OF_RANGE, may_commit=False)
        gone = kafka_words.offset_gone(
            self._kafka, problem.partition, problem.offset, earliest[problem.partition], end[problem.partition]
        )
        _log.error("partition stands still", partition=problem.partition, out_of_range=str(gone))

    def unreadable(self, problem: kafka_words.RecordsUnreadable) -> None:
        """Read these record by record from now on, until the one that cannot be read is alone; its partition is read up to there.

        Where it was a matter of the moment, such as one broker's disk, they are soon read as the others are again.
        """
        partitions = [partition for number in problem.partitions if (partition := self._assignment.get(number))]
        for partition in partitions:
            self._reader.seek(partition.number, partition.progress.position)
            if self._singly.pop(partition.number, None) is None:
                self._singly[partition.number] = partition.progress.position + BATCH_RECORDS_MAX
                continue
            partition.read_no_more(StopReason.UNREADABLE)
            unreadable = kafka_words.unreadable(self._kafka, partition.number, partition.progress.position, problem)
            _log.error("partition stands still", partition=partition.number, problem=str(unreadable))
