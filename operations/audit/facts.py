"""What the audit compares, position by position: what each of the four books says about one record. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from activities.ledger import AuditedRow
from recharge.contract import Position
from recharge.sending import KeyRules

COMPLETED = "completed"
"""The status of a workflow that came to its end."""

NEVER_STARTED = ""
"""The status of a workflow that Temporal does not have."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record as the topic holds it."""

    offset: int
    fingerprint: str
    timestamp_ms: int | None
    """None where it cannot be taken apart; then it has no fingerprint, too."""
    unreadable: str | None = None
    """Why it cannot be taken apart."""

    @classmethod
    def broken(cls, offset: int, why: str) -> "LoggedRecord":
        """A record that breaks Kafka's own format, or one that stands behind it in its batch."""
        return cls(offset, "", None, why)


@dataclass(frozen=True, slots=True)
class Charges:
    """What the provider's statement says about one reference of ours."""

    offset: int
    charged: int
    """Charges that stand."""
    reversed: int
    """Charges that the provider took back later. They are told, and not counted as charges."""
    amount: Decimal | None
    """The amount of a charge that stands."""
    first_line: int
    last_line: int
    provider_reference: str = ""
    """What the provider calls a charge that stands; empty where the statement has no word for it."""


@dataclass(frozen=True, slots=True)
class Letters:
    """The dead letters of one record."""

    offset: int
    count: int
    states: frozenset[str]
    """The states that they name: one, where all is well."""
    fingerprints: frozenset[str]


@dataclass(frozen=True, slots=True)
class Workflow:
    """The newest run of a record's workflow, as far as Temporal told it."""

    offset: int
    status: str
    """Temporal's own word in lower case, such as running, completed or terminated; NEVER_STARTED where there is none."""
    is_open: bool
    state: str = ""
    """Its search attribute RechargeStatus."""
    fingerprint: str = ""
    """Of the record that it was started for, by its memo."""

    @property
    def ended_early(self) -> bool:
        """It is closed without a result, so nothing is done for the record any more."""
        return not self.is_open and self.status not in {COMPLETED, NEVER_STARTED}


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is known about one position."""

    offset: int
    record: LoggedRecord | None = None
    row: AuditedRow | None = None
    charges: Charges | None = None
    workflow: Workflow | None = None
    letters: Letters | None = None


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """One partition: what its group has committed, and what its log still holds."""

    number: int
    committed: int | None
    """The group's committed offset, read before anything else."""
    first: int
    """The first offset that the log holds."""
    end: int
    """The offset after the last committed record, at the moment at which the audit began."""
    begin: int = 0
    """Where the intake began under `latest`: what stands before it was never to be carried out."""
    accepted: Sequence[range] = ()
    """Offsets that a person has accepted as lost."""
    reach: int = 0
    """No record before this offset belongs to the period: nothing before it is read but what counts for the order."""
    deleted: Sequence[range] = ()
    """Offsets that Kafka deleted while the audit read; it may grow until the partition is read."""
    letters_are_whole: bool = False
    """The dead-letter topic holds every letter that was ever written, so that one that is not there is missing."""
    gaps_are_proof: bool = True
    """A missing offset inside the log holds no record. False for a compacted topic, whose records vanish one by one."""

    def is_committed(self, offset: int) -> bool:
        """Whether the group counts this offset as done."""
        return self.committed is not None and offset < self.committed


@dataclass(frozen=True, slots=True)
class Period:
    """The records that are looked at, by their own timestamps: from the first moment on, and before the second."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, timestamp_ms: int) -> bool:
        """Whether a record with this timestamp is looked at."""
        # As numbers: a producer may write any 64-bit number, also one that is no date.
        at_us = timestamp_ms * 1000
        return (self.since is None or _us(self.since) <= at_us) and (self.until is None or at_us < _us(self.until))


def _us(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one audit goes by."""

    source: str
    topic: str
    began_at: datetime
    """MySQL's time before anything was read."""
    keys: KeyRules | None = None
    """The provider's promise to ignore a repetition under the same key, where the profile says so."""
    has_statement: bool = False
    statement_until: datetime | None = None
    """The statement holds every charge before this moment; MySQL's time, in UTC."""
    period: Period = field(default_factory=Period)
    duplicates_are_allowed: bool = False
    """The service is told to carry out a request as often as it comes."""

    def workflow_id(self, partition: int, offset: int) -> str:
        """The id of the record at a position."""
        return Position(self.source, self.topic, partition, offset).workflow_id
