"""One record of the ledger as an audit judges it: its row with everything that belongs to it, as it stood at one moment."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from recharge.contract import Ordering
from recharge.outcome import Outcome, State, Verdict


@dataclass(frozen=True, slots=True)
class AuditedAttempt:
    """One attempt, as far as the audit judges it. Times are MySQL's, in UTC."""

    number: int
    opened_at: datetime
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    verdict_by: str | None = None
    verdict_at: datetime | None = None
    late_outcome: Outcome | None = None
    late_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditedLookup:
    """One answer of the provider's look-up."""

    attempt_number: int
    answer: str


@dataclass(frozen=True, slots=True)
class AuditedAction:
    """What a person decided about a record, or was refused."""

    action: str
    by: str
    note: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class AuditedRow:
    """One record's row and everything that belongs to it, as it stood at one moment."""

    partition: int
    offset: int
    workflow_id: str
    state: State
    fingerprint: str
    ordering: Ordering
    timestamp_ms: int
    created_at: datetime
    final_at: datetime | None = None
    amount: Decimal | None = None
    resolved_by: str | None = None
    provider_reference: str | None = None
    request_of: str | None = None
    """The record that owns the claim to this one's requestId and numbers: this one itself, as a rule; None where there is no claim."""
    redrive_of: str | None = None
    """The record that this one repeats, where `recharge redrive` produced it: the first one of all copies."""
    donor: str | None = None
    receiver: str | None = None
    key_digest: str | None = None
    """Kafka's key, hashed, under the order `key`; None where the record has no key."""
    key_is_cut: bool = False
    """The ledger holds only the beginning of the key, or was redacted and holds none of it, so it names no lane."""
    attempts: tuple[AuditedAttempt, ...] = ()
    lookups: tuple[AuditedLookup, ...] = ()
    actions: tuple[AuditedAction, ...] = ()
    """Oldest first."""
