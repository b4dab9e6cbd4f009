"""How the intake stands at this moment: what metrics and readiness are read from. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class StopReason(StrEnum):
    """Why a partition stands still until a person does something."""

    OUT_OF_RANGE = "out_of_range"
    """Kafka deleted records that were not carried out."""
    UNREADABLE = "unreadable"
    """What Kafka delivers cannot be taken apart."""
    OTHER_RECORD = "other_record"
    """The position belongs to another record, so the topic was made again or cut."""


class PauseReason(StrEnum):
    """Why nothing new is started."""

    PERSON = "person"
    REFUSED_IN_A_ROW = "refused_in_a_row"
    """An ingester paused the intake by itself, since the provider refused one record after another alike."""


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """One partition that is ours."""

    number: int
    commit_offset: int
    end: int | None
    """Where the partition ends; None where Kafka was not asked so far, or gave no answer."""
    open_records: int
    final_distance: int
    blocked_s: float
    """For how long the record at the commit offset has kept it there; 0 where there is none."""
    oldest_record_s: float
    """Its age by its own timestamp; where there is none, the age at least of a next record that is not read, once it alarms."""
    stopped: StopReason | None

    @property
    def lag(self) -> int | None:
        """Offsets from the commit offset to the end, where that is known."""
        return None if self.end is None else max(0, self.end - self.commit_offset)


@dataclass(frozen=True, slots=True)
class IntakeStanding:
    """One ingester. A problem is one line, and None where there is none."""

    kafka_problem: str | None
    assignment_problem: str | None
    temporal_problem: str | None
    stalled_s: float
    """For how long the loop that reads and commits has not come round; 0 where no loop has begun, since servers are waited for."""
    partitions: Sequence[PartitionStanding] = ()
    in_flight: int = 0
    in_flight_max: int = 0
    lanes_held: int = 0
    paused: PauseReason | None = None
    refused_in_a_row: int = 0
    retention_s: float | None = None
