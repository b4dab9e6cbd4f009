"""The names and shapes that intake, workflow and activities share, and that operators see in Temporal.

Everything here is written into Temporal's histories, so a field may be added with a default, and none may change its meaning.
Every payload is one dataclass of plain JSON types: Temporal's converter loses data on unions of dataclasses and knows no
Decimal, so amounts travel as text and bytes as base64.
"""

import base64
from dataclasses import dataclass
from enum import StrEnum

from temporalio.common import SearchAttributeIndexedValueType, SearchAttributeKey

from recharge.outcome import Action, ResolvedBy, State

WORKFLOW_TYPE = "RechargeWorkflow"
RECHARGE_ACTIVITY = "recharge"
AWAIT_ANSWER_ACTIVITY = "await_answer"
LOOK_UP_ACTIVITY = "look_up"
RECORD_RESULT_ACTIVITY = "record_result"
HOLD_ACTIVITY = "hold"

RESOLVE_UPDATE = "resolve"
"""The Update by which a command tells the workflow of a decision that stands in the ledger already."""

STATUS = SearchAttributeKey.for_keyword("RechargeStatus")
TOPIC = SearchAttributeKey.for_keyword("RechargeTopic")
PARTITION = SearchAttributeKey.for_int("RechargePartition")
OFFSET = SearchAttributeKey.for_int("RechargeOffset")
KEY = SearchAttributeKey.for_keyword("RechargeKey")
ACCOUNTS = SearchAttributeKey.for_keyword_list("RechargeAccounts")

SEARCH_ATTRIBUTES: dict[str, SearchAttributeIndexedValueType] = {
    key.name: key.indexed_value_type for key in (STATUS, TOPIC, PARTITION, OFFSET, KEY, ACCOUNTS)
}
"""What `recharge migrate` registers on the namespace, and what worker and ingester check at start."""

MEMO_FINGERPRINT = "fingerprint"
"""The memo's key of the fingerprint, by which a duplicate of an open run is compared."""

REDRIVE_HEADER = "recharge-redrive-of"
"""The header of a record that an operator produced anew, with the workflow id of the one that it repeats."""


def calls_task_queue(task_queue: str) -> str:
    """The queue of the regular activity that sends, beside the workers' own: a rate limit and hanging calls concern it alone."""
    return f"{task_queue}-calls"


INTAKE_WORKFLOW_TYPE = "RechargeIntake"
"""The type of the workflow that records where the intake of a topic began. No worker knows it: it never does anything and never ends."""

INTAKE_TASK_QUEUE = "recharge-intake"
"""The task queue of that workflow, which nobody polls."""

MEMO_INTAKE_BY = "by"
MEMO_INTAKE_AT = "at"
MEMO_INTAKE_FIRST_START = "first_start"
MEMO_INTAKE_FIRST_OFFSETS = "first_offsets"
"""The keys of its memo: the host that began, when (UTC), by which setting, and the first offset of each partition under `latest`."""

PAUSE_WORKFLOW_TYPE = "RechargePause"
"""The type of the workflow that is open while an intake is paused. No worker knows it; it waits on INTAKE_TASK_QUEUE until it is ended."""

MEMO_PAUSE_BY = "by"
MEMO_PAUSE_NOTE = "note"
"""The keys of its memo: who paused the intake, and why."""

INGESTER_PREFIX = "recharge ingest at "
"""How an ingester calls itself where it pauses the intake, by which its pause is told from a person's."""

CANCELLED_BY = "Temporal"
"""Who holds a record whose workflow was cancelled: the cancellation does not say who."""

THE_SERVICE = "recharge"
"""Who holds a record for which an obstacle stands in the way."""

ERROR_FINGERPRINT_MISMATCH = "FingerprintMismatch"
"""The type of the failure that stops a partition: the position was used before, by another record."""

ERROR_NOT_ANSWERED = "NotAnswered"
"""The type of the failure that makes Temporal try a recharge again, or look again for the answer to one."""


class DuplicateRequests(StrEnum):
    """What becomes of a record whose requestId and numbers were seen at another position."""

    REJECT = "reject"
    HOLD = "hold"
    ALLOW = "allow"


class Ordering(StrEnum):
    """Which records of one partition have to go one after another."""

    PARTITION = "partition"
    ACCOUNT = "account"
    KEY = "key"
    NONE = "none"


def intake_workflow_id(source: str, topic: str) -> str:
    """The id of the workflow that records where the intake of a topic began. No record's id has its form."""
    return f"{source}:{topic}:intake"


def pause_workflow_id(source: str) -> str:
    """The id of the workflow that is the switch of a source's intake. No record's id has its form."""
    return f"{source}:pause"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands: the one name of it that never changes."""

    source: str
    topic: str
    partition: int
    offset: int

    @property
    def workflow_id(self) -> str:
        """The workflow's id and the provider's idempotency key. Neither source nor topic may hold a colon, so it is unambiguous."""
        return f"{self.source}:{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a valid record asks for, as far as this service has to understand it. `amount` is the exact decimal as text."""

    operation_type: str
    donor: str
    receiver: str
    amount: str
    currency: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordInput:
    """One Kafka record, as the intake hands it to its workflow: the position, the bytes, and what they mean.

    Exactly one of `transfer` and `invalid_reason` is set. Key and value are base64; those of a record above the size limit are cut,
    and `size_bytes` tells what they were.
    """

    source: str
    topic: str
    partition: int
    offset: int
    fingerprint: str
    content_digest: str
    timestamp_ms: int
    size_bytes: int
    key_base64: str | None
    value_base64: str | None
    transfer: Transfer | None
    invalid_reason: str | None
    ordering: Ordering
    traceparent: str | None = None
    duplicate_requests: DuplicateRequests = DuplicateRequests.REJECT
    stale_after_s: float | None = None
    """A record older than this is held instead of carried out; None: never."""
    redrive_of: str | None = None
    """The workflow id of the final record that this one repeats by an operator's wish; of a copy's copy that of the first record."""

    @property
    def position(self) -> Position:
        """The record's position."""
        return Position(self.source, self.topic, self.partition, self.offset)

    @property
    def workflow_id(self) -> str:
        """The id of the record's workflow, which is also its reference at the provider."""
        # As Position has it, without one made for it: this is asked for a dozen times a record.
        return f"{self.source}:{self.topic}:{self.partition}:{self.offset}"

    @property
    def raw_key(self) -> bytes | None:
        """Kafka's key, byte for byte (cut where the record is above the size limit)."""
        return None if self.key_base64 is None else base64.b64decode(self.key_base64)

    @property
    def raw_value(self) -> bytes | None:
        """Kafka's value, byte for byte (cut where the record is above the size limit). The provider is sent exactly these bytes."""
        return None if self.value_base64 is None else base64.b64decode(self.value_base64)


@dataclass(frozen=True, slots=True)
class RechargeTask:
    """What the `recharge` activity is asked to do.

    The first task of a record is not retried by Temporal: it returns what came of it. A later one fails for as long as sending again is
    safe, so that Temporal's retry policy shows attempt, last answer and next try on the pending activity.
    """

    record: RecordInput
    first: bool


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """What the `await_answer` activity is asked to do: find out how the call ended that was under way when its workflow task let it go."""

    record: RecordInput


@dataclass(frozen=True, slots=True)
class LookUpTask:
    """What the `look_up` activity is asked to do: find out where the record stands.

    With `once` it reads the ledger and returns whatever it finds; else it fails until there is certainty, and Temporal runs it again.
    """

    record: RecordInput
    once: bool = False


@dataclass(frozen=True, slots=True)
class HoldTask:
    """What the `hold` activity is asked to do: write down that nothing more is sent until a person decides."""

    record: RecordInput
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision, as the Update carries it. It stands in the ledger before it is sent, so it may be delivered again."""

    action: Action
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class DecisionReply:
    """Where the record stands after its workflow heard of a decision."""

    state: State
    said: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What an activity found out about a record, and where that leads.

    `state` is a final state that `record_result` has to write, or the open state in which the record now waits: `retrying` (sending
    again is safe), `sending` (an attempt was judged as not charged: send again; or a call is under way), `in_doubt`, `pending`, `held`.
    """

    state: State
    said: str
    """One line for people: what happened, in the words of the provider where it spoke."""
    attempts: int = 0
    status: int | None = None
    reason: str | None = None
    provider_reference: str | None = None
    retry_after_s: float | None = None
    resolved_by: ResolvedBy | None = None
    """What decided it, where `state` is final."""
    is_recorded: bool = False
    """The ledger has it as final already, so that nothing is left to write."""
    is_under_way: bool = False
    """The call goes on in the worker's process, and its end is awaited by an activity of its own; `state` is `sending`."""

    def result(self, fingerprint: str) -> "RechargeResult":
        """How the record of this fingerprint ended, where `state` is final."""
        return RechargeResult(
            state=self.state,
            fingerprint=fingerprint,
            reason=self.reason,
            provider_reference=self.provider_reference,
            status=self.status,
            attempts=self.attempts,
            resolved_by=self.resolved_by,
        )


@dataclass(frozen=True, slots=True)
class ResultTask:
    """What `record_result` is asked to write. The ledger decides whether its own attempts bear it out."""

    record: RecordInput
    finding: Finding


@dataclass(frozen=True, slots=True)
class RechargeResult:
    """How a record ended: what the workflow returns and what the intake acts upon."""

    state: State
    fingerprint: str
    reason: str | None = None
    provider_reference: str | None = None
    status: int | None = None
    attempts: int = 0
    resolved_by: ResolvedBy | None = None
    """What made it final; None where the ledger had it as final before."""
