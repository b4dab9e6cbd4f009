"""The intake, as health and metrics see it."""

from collections.abc import Iterator

from app.health import Part
from app.standstill import where_it_waits
from ingest.ingester import Ingester
from ingest.standing import IntakeStanding, PartitionStanding, PauseReason
from recharge import instruments, limits
from recharge.telemetry import Reading


class IntakeSource:
    """Reads the intake's standing whenever somebody asks."""

    def __init__(self, ingester: Ingester) -> None:
        self._ingester = ingester

    def parts(self) -> Iterator[Part]:
        """Kafka, the assignment, and Temporal as the intake reaches it."""
        standing = self._ingester.standing
        yield Part("kafka", standing.kafka_problem)
        yield Part("assignment", standing.assignment_problem)
        yield Part("temporal", standing.temporal_problem)

    def stalled(self) -> str | None:
        """Whether the loop that reads and commits hangs."""
        stalled_s = self._ingester.standing.stalled_s
        if stalled_s < limits.LOOP_STALLED_S:
            return None
        told = f"the intake's loop has not come round for {stalled_s:.0f} s"
        task = self._ingester.task
        return told if task is None else f"{told}; it waits in {where_it_waits(task)}"

    def readings(self) -> Iterator[Reading]:
        """The gauges of the intake and of each partition that is ours."""
        standing = self._ingester.standing
        yield from _of_intake(standing)
        for partition in standing.partitions:
            yield from _of_partition(partition)


def _of_intake(standing: IntakeStanding) -> Iterator[Reading]:
    yield Reading(instruments.IN_FLIGHT, standing.in_flight)
    yield Reading(instruments.IN_FLIGHT_MAX, standing.in_flight_max)
    yield Reading(instruments.LANES_HELD, standing.lanes_held)
    for reason in PauseReason:
        yield Reading(instruments.INTAKE_PAUSED, float(standing.paused is reason), (reason,))
    yield Reading(instruments.REFUSED_IN_A_ROW, standing.refused_in_a_row)
    if standing.retention_s is not None:
        yield Reading(instruments.TOPIC_RETENTION, standing.retention_s)


def _of_partition(partition: PartitionStanding) -> Iterator[Reading]:
    label = (str(partition.number),)
    if partition.lag is not None:
        yield Reading(instruments.PARTITION_LAG, partition.lag, label)
    yield Reading(instruments.PARTITION_COMMIT_OFFSET, partition.commit_offset, label)
    yield Reading(instruments.PARTITION_OPEN, partition.open_records, label)
    yield Reading(instruments.PARTITION_FINAL_DISTANCE, partition.final_distance, label)
    yield Reading(instruments.PARTITION_BLOCKED, partition.blocked_s, label)
    yield Reading(instruments.PARTITION_OLDEST, partition.oldest_record_s, label)
    if partition.stopped is not None:
        yield Reading(instruments.PARTITION_STOPPED, 1.0, (*label, partition.stopped))
