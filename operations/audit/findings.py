"""What an audit can find: the promises that may be broken, in which ways, and what to do about each. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """The promises of docs/architecture.md, by the names that scripts rely on."""

    NEVER_TWICE = "never_twice"
    NEVER_LOST = "never_lost"
    IN_ORDER = "in_order"
    CONSUMED_ONLY_WHEN_DONE = "consumed_only_when_done"
    PROVABLE = "provable"


class Kind(StrEnum):
    """In which way a promise is broken."""

    CHARGED_TWICE = "charged_twice"
    CHARGED_THOUGH_NOT_SUCCEEDED = "charged_though_not_succeeded"
    CHARGE_WITHOUT_ROW = "charge_without_row"
    CHARGE_WITHOUT_ATTEMPT = "charge_without_attempt"
    CHARGED_THOUGH_NOTHING_DONE = "charged_though_nothing_done"
    SENT_AFTER_CHARGED = "sent_after_charged"
    SENT_AFTER_REFUSED = "sent_after_refused"
    SENT_IN_DOUBT = "sent_in_doubt"
    SENT_AFTER_FINAL = "sent_after_final"
    ANSWERED_CHARGED_TWICE = "answered_charged_twice"
    REQUEST_SENT_TWICE = "request_sent_twice"
    COPY_SENT_TWICE = "copy_sent_twice"

    COMMITTED_WITHOUT_ROW = "committed_without_row"
    GONE_WITHOUT_ROW = "gone_without_row"
    CHARGE_MISSING = "charge_missing"
    OTHER_RECORD = "other_record"
    ROW_WITHOUT_RECORD = "row_without_record"
    COMPLETED_WITHOUT_ROW = "completed_without_row"
    COMPLETED_BUT_OPEN = "completed_but_open"
    LETTER_MISSING = "letter_missing"

    OUT_OF_ORDER = "out_of_order"

    COMMITTED_BUT_OPEN = "committed_but_open"
    COMMITTED_BEYOND_END = "committed_beyond_end"

    AMOUNT_DIFFERS = "amount_differs"
    STATE_UNPROVED = "state_unproved"
    ATTEMPTS_INCOMPLETE = "attempts_incomplete"
    ATTEMPT_WITHOUT_ROW = "attempt_without_row"
    DECISION_INCOMPLETE = "decision_incomplete"
    DECISION_NOT_FOLLOWED = "decision_not_followed"
    VERDICT_UNPROVED = "verdict_unproved"
    WRONG_WORKFLOW_ID = "wrong_workflow_id"
    REFERENCE_DIFFERS = "reference_differs"
    STATUS_DIFFERS = "status_differs"
    MEMO_DIFFERS = "memo_differs"
    LETTER_WITHOUT_CAUSE = "letter_without_cause"
    LETTER_DIFFERS = "letter_differs"
    CLAIM_WITHOUT_ROW = "claim_without_row"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Which promise a kind breaks, and what to do about it."""

    promise: Promise
    advice: str


_ASK_PROVIDER = "ask the provider about this reference; give one charge back where it was carried out twice"
_LOOK = "look at it by `recharge show` before anything else"
_TAMPERED = "rows are only ever added or completed: find out who changed the ledger, and compare it with a backup"
_REDRIVE = "find out whether it was carried out; where it was not, produce the record anew"

MEANINGS: dict[Kind, Meaning] = {
    Kind.CHARGED_TWICE: Meaning(Promise.NEVER_TWICE, _ASK_PROVIDER),
    Kind.CHARGED_THOUGH_NOT_SUCCEEDED: Meaning(
        Promise.NEVER_TWICE, "do not produce it anew: the provider carried it out; tell its sender, or have it reversed"
    ),
    Kind.CHARGE_WITHOUT_ROW: Meaning(
        Promise.NEVER_TWICE, "find out who sent this reference: no call of this service leaves without a row"
    ),
    Kind.CHARGE_WITHOUT_ATTEMPT: Meaning(
        Promise.NEVER_TWICE, "find out who sent this reference: no call of this service leaves without an attempt"
    ),
    Kind.CHARGED_THOUGH_NOTHING_DONE: Meaning(
        Promise.NEVER_TWICE,
        "`recharge hold ID` at once, or it may be charged again; then ask the provider about this reference, "
        "and decide by `recharge resolve ID`",
    ),
    Kind.SENT_AFTER_CHARGED: Meaning(Promise.NEVER_TWICE, _ASK_PROVIDER),
    Kind.SENT_AFTER_REFUSED: Meaning(Promise.NEVER_TWICE, _LOOK),
    Kind.SENT_IN_DOUBT: Meaning(Promise.NEVER_TWICE, _ASK_PROVIDER),
    Kind.SENT_AFTER_FINAL: Meaning(Promise.NEVER_TWICE, _ASK_PROVIDER),
    Kind.ANSWERED_CHARGED_TWICE: Meaning(Promise.NEVER_TWICE, _ASK_PROVIDER),
    Kind.REQUEST_SENT_TWICE: Meaning(
        Promise.NEVER_TWICE,
        "compare the two records by `recharge show`; give one charge back where the sender meant one recharge",
    ),
    Kind.COPY_SENT_TWICE: Meaning(
        Promise.NEVER_TWICE,
        "compare the two records by `recharge show`; ask the provider about both references, and give one charge back "
        "where both were carried out",
    ),
    Kind.COMMITTED_WITHOUT_ROW: Meaning(Promise.NEVER_LOST, _REDRIVE),
    Kind.GONE_WITHOUT_ROW: Meaning(
        Promise.NEVER_LOST,
        "find out from the producers what these records were, and once that is settled write it down: recharge accept-gap",
    ),
    Kind.CHARGE_MISSING: Meaning(
        Promise.NEVER_LOST, "ask the provider about this reference; does the statement reach far enough"
    ),
    Kind.OTHER_RECORD: Meaning(
        Promise.NEVER_LOST, "the topic was re-created or truncated: give it a new RECHARGE_KAFKA__SOURCE"
    ),
    Kind.ROW_WITHOUT_RECORD: Meaning(
        Promise.NEVER_LOST, "the topic was re-created or truncated: give it a new RECHARGE_KAFKA__SOURCE"
    ),
    Kind.COMPLETED_WITHOUT_ROW: Meaning(Promise.NEVER_LOST, _TAMPERED),
    Kind.COMPLETED_BUT_OPEN: Meaning(Promise.NEVER_LOST, _TAMPERED),
    Kind.LETTER_MISSING: Meaning(
        Promise.NEVER_LOST, "tell its sender; did somebody delete from the dead-letter topic, or make it anew"
    ),
    Kind.OUT_OF_ORDER: Meaning(
        Promise.IN_ORDER,
        "compare the two records by `recharge show`; did two intakes share this source, or was its order changed",
    ),
    Kind.COMMITTED_BUT_OPEN: Meaning(
        Promise.CONSUMED_ONLY_WHEN_DONE,
        "bring it to an end (`recharge show`, `recharge resolve`); did somebody move the group's offset",
    ),
    Kind.COMMITTED_BEYOND_END: Meaning(
        Promise.CONSUMED_ONLY_WHEN_DONE,
        "the topic was truncated or created anew: give it a new RECHARGE_KAFKA__SOURCE",
    ),
    Kind.AMOUNT_DIFFERS: Meaning(Promise.PROVABLE, "compare the record with what the provider carried out"),
    Kind.STATE_UNPROVED: Meaning(Promise.PROVABLE, _TAMPERED),
    Kind.ATTEMPTS_INCOMPLETE: Meaning(Promise.PROVABLE, _TAMPERED),
    Kind.ATTEMPT_WITHOUT_ROW: Meaning(Promise.PROVABLE, _TAMPERED),
    Kind.DECISION_INCOMPLETE: Meaning(Promise.PROVABLE, _TAMPERED),
    Kind.DECISION_NOT_FOLLOWED: Meaning(Promise.PROVABLE, _LOOK),
    Kind.VERDICT_UNPROVED: Meaning(Promise.PROVABLE, _TAMPERED),
    Kind.WRONG_WORKFLOW_ID: Meaning(Promise.PROVABLE, _TAMPERED),
    Kind.REFERENCE_DIFFERS: Meaning(Promise.PROVABLE, _ASK_PROVIDER),
    Kind.STATUS_DIFFERS: Meaning(
        Promise.PROVABLE, "go by the ledger, and not by the search attribute; find out who changed one of them"
    ),
    Kind.MEMO_DIFFERS: Meaning(Promise.PROVABLE, "find out who started this workflow: the intake gives each its memo"),
    Kind.LETTER_WITHOUT_CAUSE: Meaning(Promise.PROVABLE, "do not produce it anew by its dead letter: go by the ledger"),
    Kind.LETTER_DIFFERS: Meaning(Promise.PROVABLE, "go by the ledger; find out who wrote this dead letter"),
    Kind.CLAIM_WITHOUT_ROW: Meaning(Promise.PROVABLE, _TAMPERED),
}
"""Every kind has its meaning; a test holds the two together."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that is broken, at one record."""

    kind: Kind
    workflow_id: str
    problem: str
    """A sentence for people, without a customer's number in it."""

    @property
    def promise(self) -> Promise:
        """The promise that is broken."""
        return MEANINGS[self.kind].promise

    @property
    def advice(self) -> str:
        """What to do."""
        return MEANINGS[self.kind].advice


class NoteKind(StrEnum):
    """What breaks no promise, and is told all the same."""

    REVERSED_CHARGE = "reversed_charge"
    LATE_ANSWER = "late_answer"
    LANE_HELD = "lane_held"
    NOT_UNDER_WAY = "not_under_way"
    WORKFLOW_OPEN_AGAIN = "workflow_open_again"
    UNREADABLE_RECORD = "unreadable_record"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person should know about one record."""

    kind: NoteKind
    workflow_id: str
    text: str
