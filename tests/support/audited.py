"""Partitions for audits: one in good order, and for each way to break a promise one in which exactly that is planted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from activities.ledger import AuditedAction, AuditedAttempt, AuditedLookup, AuditedRow
from operations.audit.findings import Kind, NoteKind
from recharge.contract import Ordering, Position
from recharge.outcome import DEAD_LETTER_STATES, Outcome, ResolvedBy, State, Verdict
from recharge.sending import LOOKUP_VERDICT

TRUE_FINGERPRINT = "f" * 64
"""Stands for the fingerprint of the record that the topic really holds."""

OTHER_FINGERPRINT = "0" * 64
BEGAN_AT = datetime(2026, 11, 1, 12)  # noqa: DTZ001  # MySQL's times carry no zone
STEP_S = 10.0
AMOUNT = Decimal("10.50")

ChargeFields = tuple[int, str, str, str]
"""Offset, provider's reference, status, amount."""


LetterFields = tuple[int, str, str]
"""Offset, state, fingerprint."""


def at(seconds: float) -> datetime:
    """A moment of the planted past."""
    return BEGAN_AT + timedelta(seconds=seconds)


def attempt(number: int, opened_s: float, outcome: Outcome | None = Outcome.CHARGED, **changes: Any) -> AuditedAttempt:
    """An attempt that was answered after a second."""
    closed_at = None if outcome is None else at(opened_s + 1)
    return replace(AuditedAttempt(number, at(opened_s), closed_at, outcome), **changes)


def good_row(source: str, topic: str, partition: int, offset: int, **changes: Any) -> AuditedRow:
    """A row that succeeded at the first attempt, after the one at the offset before it was final."""
    began_s = offset * STEP_S
    row = AuditedRow(
        partition,
        offset,
        Position(source, topic, partition, offset).workflow_id,
        State.SUCCEEDED,
        TRUE_FINGERPRINT,
        Ordering.PARTITION,
        timestamp_ms=1_793_534_400_000,
        created_at=at(began_s),
        final_at=at(began_s + 8),
        amount=AMOUNT,
        resolved_by=ResolvedBy.ANSWER,
        provider_reference=f"P-{partition}-{offset}",
        donor="34600111222",
        receiver="34600333444",
        attempts=(attempt(1, began_s + 1),),
    )
    return replace(row, **changes)


@dataclass
class Scenario:
    """One partition: what its log, its rows, the statement and Temporal say, and what an audit has to find."""

    name: str
    rows: list[AuditedRow]
    charges: list[ChargeFields]
    violations: list[tuple[Kind, int]] = field(default_factory=list)
    notes: list[tuple[NoteKind, int]] = field(default_factory=list)
    committed: int = 2
    records: tuple[int, ...] = (0, 1)
    end: int = 2
    deleted_before: int = 0
    unreadable: tuple[int, ...] = ()
    """Offsets of records that cannot be taken apart; they stand behind the others."""
    is_transactional: bool = False
    """Each record is written in a transaction of its own, whose marker takes the offset after it."""
    workflows: dict[int, str] = field(default_factory=dict)
    """By offset: `running`, `completed` or `terminated`."""
    shown: dict[int, str] = field(default_factory=dict)
    """By offset: the workflow's status attribute, where it is not the row's state."""
    memos: dict[int, str] = field(default_factory=dict)
    """By offset: the fingerprint in the workflow's memo, where it is not the record's."""
    letters: list[LetterFields] | None = None
    """The dead letters; by default one of each committed row that has to have one."""
    orphans: tuple[int, ...] = ()
    """Offsets of attempts that have no row."""
    orphan_claims: tuple[int, ...] = ()
    """Offsets of claims that have no row."""

    @property
    def written_letters(self) -> list[LetterFields]:
        """The dead letters as they stand on their topic."""
        if self.letters is not None:
            return self.letters
        return [
            (row.offset, row.state, row.fingerprint)
            for row in self.rows
            if row.state in DEAD_LETTER_STATES and row.offset < self.committed
        ]

    def status_of(self, offset: int) -> str:
        """What the workflow at an offset shows as its status: what the row says, unless something else was planted."""
        return self.shown.get(offset) or next((row.state for row in self.rows if row.offset == offset), "")

    def change(self, offset: int, **changes: Any) -> AuditedRow:
        """Change one row."""
        (index,) = (index for index, row in enumerate(self.rows) if row.offset == offset)
        self.rows[index] = replace(self.rows[index], **changes)
        return self.rows[index]

    def drop(self, offset: int) -> None:
        """Take one row away."""
        self.rows = [row for row in self.rows if row.offset != offset]

    def uncharge(self, offset: int) -> None:
        """Take the charges of one record out of the statement."""
        self.charges = [charge for charge in self.charges if charge[0] != offset]

    def charge(self, offset: int, reference: str = "P-x", status: str = "charged", amount: str = "10.50") -> None:
        """Put a charge into the statement."""
        self.charges.append((offset, reference, status, amount))


Planting = Callable[[Scenario], None]
_PLANTINGS: list[Planting] = []


def planting(plant: Planting) -> Planting:
    """Add a scenario."""
    _PLANTINGS.append(plant)
    return plant


def scenarios(source: str, topic: str) -> Sequence[Scenario]:
    """One scenario a partition, numbered from 0."""
    made = []
    for partition, plant in enumerate(_PLANTINGS):
        rows = [good_row(source, topic, partition, offset) for offset in (0, 1)]
        name = plant.__name__.removeprefix("_")
        scenario = Scenario(
            name, rows, [(0, f"P-{partition}-0", "charged", "10.50"), (1, f"P-{partition}-1", "charged", "10.5")]
        )
        plant(scenario)
        made.append(scenario)
    return made


def _is_open_and_charged(scenario: Scenario, state: State, *attempts: AuditedAttempt) -> None:
    """A record under way, with nothing behind it in its lane, of which the statement has a charge."""
    scenario.committed, scenario.workflows = 0, {0: "running"}
    scenario.change(0, state=state, final_at=None, resolved_by=None, provider_reference=None, attempts=attempts)
    scenario.drop(1)
    scenario.uncharge(1)


# --- In good order ----------------------------------------------------------------------------------------------------


@planting
def _all_is_well(_: Scenario) -> None:
    pass


@planting
def _records_deleted_from_the_topic_have_their_rows(scenario: Scenario) -> None:
    scenario.deleted_before, scenario.records = 1, (1,)


@planting
def _markers_of_transactions_are_no_records(scenario: Scenario) -> None:
    scenario.is_transactional, scenario.records, scenario.end, scenario.committed = True, (0, 2), 4, 4
    moved = scenario.rows[1]
    scenario.rows[1] = replace(moved, offset=2, workflow_id=moved.workflow_id[:-1] + "2")
    scenario.charges[1] = (2, *scenario.charges[1][1:])


@planting
def _what_is_under_way_is_no_loss(scenario: Scenario) -> None:
    scenario.committed, scenario.workflows = 0, {0: "running"}
    scenario.change(
        0, state=State.IN_DOUBT, final_at=None, resolved_by=None, attempts=(attempt(1, 1, Outcome.UNKNOWN),)
    )
    scenario.drop(1)
    scenario.uncharge(1)


@planting
def _a_rejected_record_is_carried_out_by_its_copy(scenario: Scenario) -> None:
    first = scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.uncharge(0)
    scenario.change(1, redrive_of=first.workflow_id)


@planting
def _every_way_to_end(scenario: Scenario) -> None:
    """A refused record, and one that was sent again after a verdict, with a look-up behind it."""
    scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.uncharge(0)
    not_charged = {"verdict": Verdict.NOT_CHARGED, "verdict_by": LOOKUP_VERDICT, "verdict_at": at(13)}
    scenario.change(
        1,
        attempts=(attempt(1, 11, Outcome.UNKNOWN, **not_charged), attempt(2, 14)),
        lookups=(AuditedLookup(1, "not_found"),),
    )


@planting
def _a_person_skipped_it(scenario: Scenario) -> None:
    attempts = (attempt(1, 1, Outcome.UNKNOWN),)
    actions = (AuditedAction("hold", "Temporal", "cancelled"), AuditedAction("skip", "Ann", "the shop paid it back"))
    scenario.change(0, state=State.SKIPPED, resolved_by=ResolvedBy.PERSON, attempts=attempts, actions=actions)
    scenario.uncharge(0)


@planting
def _a_look_up_heard_of_the_charge_that_a_person_skipped(scenario: Scenario) -> None:
    charged = {"verdict": Verdict.CHARGED, "verdict_by": LOOKUP_VERDICT, "verdict_at": at(9)}
    scenario.change(
        0,
        resolved_by=ResolvedBy.LOOKUP,
        attempts=(attempt(1, 1, Outcome.UNKNOWN, **charged),),
        lookups=(AuditedLookup(1, "charged"),),
        actions=(AuditedAction("skip", "Ann", "asked"),),
    )


@planting
def _an_invalid_record_that_a_person_skipped_before_it_was_begun(scenario: Scenario) -> None:
    """Its workflow was terminated before a worker took it, and was opened again by the decision: nothing is sent either way."""
    actions = (AuditedAction("skip", "Ann", "asked"),)
    scenario.change(0, state=State.INVALID, resolved_by=ResolvedBy.INTAKE, attempts=(), actions=actions)
    scenario.uncharge(0)


@planting
def _a_reversed_charge_is_told(scenario: Scenario) -> None:
    scenario.uncharge(0)
    scenario.charge(0, status="reversed")
    scenario.notes = [(NoteKind.REVERSED_CHARGE, 0)]


@planting
def _a_record_that_cannot_be_taken_apart_is_told(scenario: Scenario) -> None:
    scenario.unreadable, scenario.end = (2,), 3
    scenario.notes = [(NoteKind.UNREADABLE_RECORD, 2)]


@planting
def _a_held_lane_is_told(scenario: Scenario) -> None:
    scenario.committed, scenario.workflows = 0, {0: "terminated"}
    scenario.change(0, state=State.SENDING, final_at=None, resolved_by=None, attempts=(attempt(1, 1, None),))
    scenario.drop(1)
    scenario.uncharge(1)
    scenario.notes = [(NoteKind.LANE_HELD, 0)]


@planting
def _a_workflow_that_was_opened_again_is_told(scenario: Scenario) -> None:
    scenario.workflows = {0: "running"}
    scenario.notes = [(NoteKind.WORKFLOW_OPEN_AGAIN, 0)]


@planting
def _a_row_without_a_workflow_is_told(scenario: Scenario) -> None:
    scenario.committed = 0
    scenario.change(0, state=State.HELD, final_at=None, resolved_by=None, attempts=())
    scenario.drop(1)
    scenario.charges = []
    scenario.notes = [(NoteKind.NOT_UNDER_WAY, 0)]


@planting
def _a_late_answer_is_told(scenario: Scenario) -> None:
    late = attempt(1, 1, Outcome.UNKNOWN, late_outcome=Outcome.CHARGED, late_at=at(100))
    actions = (AuditedAction("skip", "Ann", "asked"),)
    scenario.change(0, state=State.SKIPPED, resolved_by=ResolvedBy.PERSON, attempts=(late,), actions=actions)
    scenario.uncharge(0)
    scenario.notes = [(NoteKind.LATE_ANSWER, 0)]


@planting
def _a_completed_workflow_agrees_with_its_row(scenario: Scenario) -> None:
    scenario.workflows = {0: "completed", 1: "completed"}


@planting
def _an_open_workflow_has_not_heard_of_the_new_state_yet(scenario: Scenario) -> None:
    _what_is_under_way_is_no_loss(scenario)
    scenario.shown = {0: "sending"}


@planting
def _a_letter_may_stand_there_twice(scenario: Scenario) -> None:
    scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.uncharge(0)
    scenario.letters = scenario.written_letters * 2


@planting
def _a_duplicate_that_a_person_released(scenario: Scenario) -> None:
    first = scenario.rows[0].workflow_id
    scenario.change(0, request_of=first)
    scenario.change(1, request_of=first, actions=(AuditedAction("not_charged", "Ann", "meant so"),))


@planting
def _a_charge_that_an_open_attempt_may_have_made(scenario: Scenario) -> None:
    _is_open_and_charged(scenario, State.SENDING, attempt(1, 1, Outcome.NOT_CHARGED), attempt(2, 3, None))


@planting
def _a_charge_that_an_unknown_attempt_may_have_made(scenario: Scenario) -> None:
    _is_open_and_charged(scenario, State.HELD, attempt(1, 1, Outcome.NOT_CHARGED), attempt(2, 3, Outcome.UNKNOWN))
    scenario.change(0, actions=(AuditedAction("hold", "Ann", "asked"),))


# --- Never twice ------------------------------------------------------------------------------------------------------


@planting
def _charged_twice(scenario: Scenario) -> None:
    scenario.charge(0)
    scenario.violations = [(Kind.CHARGED_TWICE, 0)]


@planting
def _charged_though_rejected(scenario: Scenario) -> None:
    scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.violations = [(Kind.CHARGED_THOUGH_NOT_SUCCEEDED, 0)]


@planting
def _charged_though_skipped(scenario: Scenario) -> None:
    actions = (AuditedAction("skip", "Ann", "asked"),)
    attempts = (attempt(1, 1, Outcome.UNKNOWN),)
    scenario.change(0, state=State.SKIPPED, resolved_by=ResolvedBy.PERSON, attempts=attempts, actions=actions)
    scenario.violations = [(Kind.CHARGED_THOUGH_NOT_SUCCEEDED, 0)]


@planting
def _charge_of_no_record(scenario: Scenario) -> None:
    scenario.charge(77)
    scenario.violations = [(Kind.CHARGE_WITHOUT_ROW, 77)]


@planting
def _charge_without_attempt(scenario: Scenario) -> None:
    actions = (AuditedAction("charged", "Ann", "asked"),)
    scenario.change(0, resolved_by=ResolvedBy.PERSON, attempts=(), actions=actions)
    scenario.violations = [(Kind.CHARGE_WITHOUT_ATTEMPT, 0)]


@planting
def _charged_though_it_is_retried(scenario: Scenario) -> None:
    tries = (attempt(1, 1, Outcome.NOT_SENT), attempt(2, 3, Outcome.NOT_CHARGED))
    _is_open_and_charged(scenario, State.RETRYING, *tries)
    scenario.violations = [(Kind.CHARGED_THOUGH_NOTHING_DONE, 0)]


@planting
def _charged_though_held_after_nothing_was_done(scenario: Scenario) -> None:
    _is_open_and_charged(scenario, State.HELD, attempt(1, 1, Outcome.NOT_CHARGED))
    scenario.change(0, actions=(AuditedAction("hold", "Ann", "asked"),))
    scenario.violations = [(Kind.CHARGED_THOUGH_NOTHING_DONE, 0)]


@planting
def _sent_after_charged(scenario: Scenario) -> None:
    scenario.change(0, attempts=(attempt(1, 1), attempt(2, 4, Outcome.REFUSED)))
    scenario.violations = [(Kind.SENT_AFTER_CHARGED, 0)]


@planting
def _sent_after_refused(scenario: Scenario) -> None:
    scenario.change(0, attempts=(attempt(1, 1, Outcome.REFUSED), attempt(2, 4)))
    scenario.violations = [(Kind.SENT_AFTER_REFUSED, 0)]


@planting
def _sent_in_doubt(scenario: Scenario) -> None:
    scenario.change(0, attempts=(attempt(1, 1, Outcome.UNKNOWN), attempt(2, 4)))
    scenario.violations = [(Kind.SENT_IN_DOUBT, 0)]


@planting
def _sent_before_the_verdict(scenario: Scenario) -> None:
    verdict = {"verdict": Verdict.NOT_CHARGED, "verdict_by": "Ann", "verdict_at": at(6)}
    actions = (AuditedAction("not_charged", "Ann", "asked"),)
    scenario.change(0, attempts=(attempt(1, 1, Outcome.UNKNOWN, **verdict), attempt(2, 4)), actions=actions)
    scenario.violations = [(Kind.SENT_IN_DOUBT, 0)]


@planting
def _sent_after_final(scenario: Scenario) -> None:
    actions = (AuditedAction("charged", "Ann", "asked"),)
    attempts = (attempt(1, 1, Outcome.NOT_CHARGED), attempt(2, 9, Outcome.NOT_SENT))
    scenario.change(0, resolved_by=ResolvedBy.PERSON, attempts=attempts, actions=actions)
    scenario.violations = [(Kind.SENT_AFTER_FINAL, 0)]


@planting
def _answered_charged_twice(scenario: Scenario) -> None:
    verdict = {"verdict": Verdict.NOT_CHARGED, "verdict_by": LOOKUP_VERDICT, "verdict_at": at(3)}
    late = {"late_outcome": Outcome.CHARGED, "late_at": at(100)}
    attempts = (attempt(1, 1, Outcome.UNKNOWN, **verdict, **late), attempt(2, 4))
    scenario.change(0, attempts=attempts, lookups=(AuditedLookup(1, "not_found"),))
    scenario.violations = [(Kind.ANSWERED_CHARGED_TWICE, 0)]
    scenario.notes = [(NoteKind.LATE_ANSWER, 0)]


@planting
def _one_request_sent_for_two_records(scenario: Scenario) -> None:
    first = scenario.rows[0].workflow_id
    scenario.change(0, request_of=first)
    scenario.change(1, request_of=first)
    scenario.violations = [(Kind.REQUEST_SENT_TWICE, 1)]


@planting
def _two_copies_of_one_record_sent(scenario: Scenario) -> None:
    """Of a record that is no part of this partition any more, and that nobody can compare."""
    first = scenario.rows[0].workflow_id[:-1] + "77"
    scenario.change(0, redrive_of=first)
    scenario.change(1, redrive_of=first)
    scenario.violations = [(Kind.COPY_SENT_TWICE, 1)]


@planting
def _a_copy_sent_of_a_record_that_a_late_answer_tells_to_be_charged(scenario: Scenario) -> None:
    verdict = {"verdict": Verdict.NOT_CHARGED, "verdict_by": LOOKUP_VERDICT, "verdict_at": at(3)}
    late = {"late_outcome": Outcome.CHARGED, "late_at": at(100)}
    attempts = (attempt(1, 1, Outcome.UNKNOWN, **verdict, **late), attempt(2, 4, Outcome.REFUSED))
    first = scenario.change(0, state=State.REJECTED, attempts=attempts, lookups=(AuditedLookup(1, "not_found"),))
    scenario.uncharge(0)
    scenario.change(1, redrive_of=first.workflow_id)
    scenario.violations = [(Kind.COPY_SENT_TWICE, 1)]
    scenario.notes = [(NoteKind.LATE_ANSWER, 0)]


# --- Never lost -------------------------------------------------------------------------------------------------------


@planting
def _committed_without_row(scenario: Scenario) -> None:
    scenario.drop(0)
    scenario.uncharge(0)
    scenario.violations = [(Kind.COMMITTED_WITHOUT_ROW, 0)]


@planting
def _gone_without_row(scenario: Scenario) -> None:
    scenario.deleted_before, scenario.records = 1, (1,)
    scenario.drop(0)
    scenario.uncharge(0)
    scenario.violations = [(Kind.GONE_WITHOUT_ROW, 0)]


@planting
def _deleted_before_it_was_carried_out(scenario: Scenario) -> None:
    scenario.deleted_before, scenario.records, scenario.committed = 1, (1,), 0
    scenario.rows, scenario.charges = [], []
    scenario.violations = [(Kind.GONE_WITHOUT_ROW, 0)]


@planting
def _charge_missing(scenario: Scenario) -> None:
    scenario.uncharge(1)
    scenario.violations = [(Kind.CHARGE_MISSING, 1)]


@planting
def _another_record(scenario: Scenario) -> None:
    scenario.change(0, fingerprint=OTHER_FINGERPRINT)
    scenario.violations = [(Kind.OTHER_RECORD, 0)]


@planting
def _row_where_the_log_has_none(scenario: Scenario) -> None:
    _markers_of_transactions_are_no_records(scenario)
    row = replace(
        scenario.rows[0], offset=1, workflow_id=scenario.rows[0].workflow_id[:-1] + "1", ordering=Ordering.NONE
    )
    scenario.rows.insert(1, replace(row, state=State.INVALID, resolved_by=ResolvedBy.INTAKE, attempts=()))
    scenario.violations = [(Kind.ROW_WITHOUT_RECORD, 1)]


@planting
def _row_beyond_the_end(scenario: Scenario) -> None:
    row = scenario.rows[1]
    row = replace(row, offset=9, workflow_id=row.workflow_id[:-1] + "9", state=State.INVALID, attempts=())
    scenario.rows.append(replace(row, resolved_by=ResolvedBy.INTAKE))
    scenario.violations = [(Kind.ROW_WITHOUT_RECORD, 9)]


@planting
def _completed_without_row(scenario: Scenario) -> None:
    scenario.committed, scenario.workflows = 1, {1: "completed"}
    scenario.drop(1)
    scenario.uncharge(1)
    scenario.violations = [(Kind.COMPLETED_WITHOUT_ROW, 1)]


@planting
def _completed_but_open(scenario: Scenario) -> None:
    scenario.committed, scenario.workflows = 1, {1: "completed"}
    scenario.change(1, state=State.SENDING, final_at=None, resolved_by=None)
    scenario.violations = [(Kind.COMPLETED_BUT_OPEN, 1)]


@planting
def _letter_missing(scenario: Scenario) -> None:
    scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.uncharge(0)
    scenario.letters = []
    scenario.violations = [(Kind.LETTER_MISSING, 0)]


# --- In order ---------------------------------------------------------------------------------------------------------


@planting
def _out_of_order(scenario: Scenario) -> None:
    scenario.change(0, final_at=at(12))
    scenario.violations = [(Kind.OUT_OF_ORDER, 1)]


@planting
def _out_of_order_for_one_account(scenario: Scenario) -> None:
    scenario.change(0, final_at=at(12), ordering=Ordering.ACCOUNT)
    scenario.change(1, donor="+34600333444", receiver="34600999888", ordering=Ordering.ACCOUNT)
    scenario.violations = [(Kind.OUT_OF_ORDER, 1)]


@planting
def _started_before_an_open_one(scenario: Scenario) -> None:
    scenario.committed, scenario.workflows = 0, {0: "running"}
    scenario.change(
        0, state=State.IN_DOUBT, final_at=None, resolved_by=None, attempts=(attempt(1, 1, Outcome.UNKNOWN),)
    )
    scenario.violations = [(Kind.OUT_OF_ORDER, 1)]


# --- Consumed only when done ------------------------------------------------------------------------------------------


@planting
def _committed_but_open(scenario: Scenario) -> None:
    scenario.workflows = {1: "running"}
    scenario.change(
        1, state=State.PENDING, final_at=None, resolved_by=None, attempts=(attempt(1, 11, Outcome.PENDING),)
    )
    scenario.violations = [(Kind.COMMITTED_BUT_OPEN, 1)]


@planting
def _committed_beyond_the_end(scenario: Scenario) -> None:
    scenario.committed = 50
    scenario.violations = [(Kind.COMMITTED_BEYOND_END, 50)]


# --- Provable ---------------------------------------------------------------------------------------------------------


@planting
def _amount_differs(scenario: Scenario) -> None:
    scenario.change(0, amount=Decimal("10.5001"))
    scenario.violations = [(Kind.AMOUNT_DIFFERS, 0)]


@planting
def _state_unproved(scenario: Scenario) -> None:
    scenario.change(0, attempts=(attempt(1, 1, Outcome.UNKNOWN),))
    scenario.violations = [(Kind.STATE_UNPROVED, 0)]


@planting
def _skipped_by_nobody(scenario: Scenario) -> None:
    actions = (AuditedAction("skip", "Ann", "asked", refused=True),)
    scenario.change(0, state=State.SKIPPED, resolved_by=ResolvedBy.PERSON, attempts=(), actions=actions)
    scenario.uncharge(0)
    scenario.violations = [(Kind.STATE_UNPROVED, 0)]


@planting
def _final_without_a_time(scenario: Scenario) -> None:
    scenario.change(1, final_at=None)
    scenario.violations = [(Kind.STATE_UNPROVED, 1)]


@planting
def _an_attempt_is_missing(scenario: Scenario) -> None:
    scenario.change(0, attempts=(attempt(2, 1),))
    scenario.violations = [(Kind.ATTEMPTS_INCOMPLETE, 0)]


@planting
def _attempt_without_row(scenario: Scenario) -> None:
    scenario.orphans = (55,)
    scenario.violations = [(Kind.ATTEMPT_WITHOUT_ROW, 55)]


@planting
def _decision_without_who_and_why(scenario: Scenario) -> None:
    scenario.change(0, actions=(AuditedAction("hold", " ", ""),))
    scenario.violations = [(Kind.DECISION_INCOMPLETE, 0)]


@planting
def _decision_not_followed(scenario: Scenario) -> None:
    scenario.change(0, actions=(AuditedAction("skip", "Ann", "asked"),))
    scenario.violations = [(Kind.DECISION_NOT_FOLLOWED, 0)]


@planting
def _invalid_although_a_person_said_that_it_was_carried_out(scenario: Scenario) -> None:
    actions = (AuditedAction("charged", "Ann", "asked"),)
    scenario.change(0, state=State.INVALID, resolved_by=ResolvedBy.INTAKE, attempts=(), actions=actions)
    scenario.uncharge(0)
    scenario.violations = [(Kind.DECISION_NOT_FOLLOWED, 0)]


@planting
def _verdict_of_nobody(scenario: Scenario) -> None:
    verdict = {"verdict": Verdict.CHARGED, "verdict_by": "Ann", "verdict_at": at(4)}
    attempts = (attempt(1, 1, Outcome.UNKNOWN, **verdict),)
    lookups = (AuditedLookup(1, "charged"),)
    scenario.change(0, resolved_by=ResolvedBy.LOOKUP, attempts=attempts, lookups=lookups)
    scenario.violations = [(Kind.VERDICT_UNPROVED, 0)]


@planting
def _wrong_workflow_id(scenario: Scenario) -> None:
    scenario.change(0, workflow_id=f"{scenario.rows[0].workflow_id}-else")
    scenario.violations = [(Kind.WRONG_WORKFLOW_ID, 0)]


@planting
def _another_provider_reference(scenario: Scenario) -> None:
    scenario.change(0, provider_reference="P-else")
    scenario.violations = [(Kind.REFERENCE_DIFFERS, 0)]


@planting
def _another_status_in_temporal(scenario: Scenario) -> None:
    scenario.workflows, scenario.shown = {0: "completed"}, {0: "in_doubt"}
    scenario.violations = [(Kind.STATUS_DIFFERS, 0)]


@planting
def _the_workflow_of_another_record(scenario: Scenario) -> None:
    scenario.workflows, scenario.memos = {0: "completed"}, {0: OTHER_FINGERPRINT}
    scenario.violations = [(Kind.MEMO_DIFFERS, 0)]


@planting
def _a_letter_of_a_record_that_succeeded(scenario: Scenario) -> None:
    scenario.letters = [(0, "rejected", TRUE_FINGERPRINT)]
    scenario.violations = [(Kind.LETTER_WITHOUT_CAUSE, 0)]


@planting
def _a_letter_with_another_state(scenario: Scenario) -> None:
    scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.uncharge(0)
    scenario.letters = [(0, "rejected", TRUE_FINGERPRINT), (0, "invalid", TRUE_FINGERPRINT)]
    scenario.violations = [(Kind.LETTER_DIFFERS, 0)]


@planting
def _a_letter_of_another_record(scenario: Scenario) -> None:
    scenario.change(0, state=State.REJECTED, attempts=(attempt(1, 1, Outcome.REFUSED),))
    scenario.uncharge(0)
    scenario.letters = [(0, "rejected", OTHER_FINGERPRINT)]
    scenario.violations = [(Kind.LETTER_DIFFERS, 0)]


@planting
def _claim_without_row(scenario: Scenario) -> None:
    scenario.orphan_claims = (66,)
    scenario.violations = [(Kind.CLAIM_WITHOUT_ROW, 66)]
