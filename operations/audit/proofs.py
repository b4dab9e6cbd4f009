"""Does the ledger itself prove what it says: each final state, each verdict and each decision? Pure."""

from collections.abc import Iterator
from typing import assert_never

from activities.ledger import AuditedAttempt, AuditedRow
from operations.audit.attempts import Problem, carried_out, was_charged
from operations.audit.findings import Kind
from recharge.outcome import FINAL_STATES, Action, LookupAnswer, Outcome, ResolvedBy, State, Verdict
from recharge.sending import LOOKUP_VERDICT

_ENDS = {Action.SKIP: State.SKIPPED, Action.CHARGED: State.SUCCEEDED}
"""The decisions that end a record, and as what."""


def newest_decision(row: AuditedRow) -> Action | None:
    """The newest decision about a record that was not refused, which is the one that counts."""
    standing = [Action(one.action) for one in row.actions if not one.refused and one.action in set(Action)]
    return standing[-1] if standing else None


def check_final_state(row: AuditedRow) -> Iterator[Problem]:
    """Whether what the ledger holds beside the row proves its final state, and whether an open row looks like one."""
    if row.state not in FINAL_STATES:
        if row.final_at is not None or row.resolved_by is not None:
            yield Kind.STATE_UNPROVED, f"it is {row.state}, which is open, and yet its row says that it became final"
        return
    if row.final_at is None or row.resolved_by is None:
        yield Kind.STATE_UNPROVED, f"it is {row.state}, but its row does not say when or by what it became final"
    elif row.resolved_by not in set(ResolvedBy):
        yield Kind.STATE_UNPROVED, f"it is {row.state} by {row.resolved_by!r}, which this release does not know"
    elif not _is_proved(row, ResolvedBy(row.resolved_by)):
        yield Kind.STATE_UNPROVED, f"it is {row.state} by {row.resolved_by}, and nothing in the ledger proves that"
    done = [attempt.number for attempt in row.attempts if carried_out(attempt)]
    if row.state in {State.REJECTED, State.INVALID, State.SKIPPED} and done:
        yield Kind.STATE_UNPROVED, f"it is {row.state}, although attempt {done[0]} was carried out"


def check_decisions(row: AuditedRow) -> Iterator[Problem]:
    """Whether every decision says who and why, is followed, and whether every verdict has somebody behind it."""
    for action in row.actions:
        if not action.by.strip() or not action.note.strip():
            yield Kind.DECISION_INCOMPLETE, f"a person's {action.action} does not say who decided, or why"
    decided = newest_decision(row)
    wanted = None if decided is None else _ENDS.get(decided)
    if (
        wanted is not None
        and row.state in FINAL_STATES
        and row.state is not wanted
        and not _may_end_otherwise(row, wanted)
    ):
        yield Kind.DECISION_NOT_FOLLOWED, f"a person decided {decided}, and it is {row.state}"
    for attempt in row.attempts:
        yield from _check_verdict(row, attempt)


def _may_end_otherwise(row: AuditedRow, wanted: State) -> bool:
    """Whether a skip had no effect for a good reason. Nothing else outranks a decision."""
    if wanted is not State.SKIPPED:
        return False
    # The provider said meanwhile that it did carry the recharge out, by a late answer or a look-up's.
    told_by = {ResolvedBy.LATE_ANSWER, ResolvedBy.LOOKUP}
    overtaken = row.state is State.SUCCEEDED and row.resolved_by in told_by
    # Skipped before a worker took it, and its bytes were no request: it is written as what it is, and nothing is sent either way.
    return overtaken or row.state is State.INVALID


def _check_verdict(row: AuditedRow, attempt: AuditedAttempt) -> Iterator[Problem]:
    if attempt.verdict is None:
        return
    told = f"the verdict {attempt.verdict} on attempt {attempt.number}"
    if not (attempt.verdict_by or "").strip() or attempt.verdict_at is None:
        yield Kind.DECISION_INCOMPLETE, f"{told} does not say who passed it, or when"
    elif attempt.verdict_by == LOOKUP_VERDICT:
        answer = LookupAnswer.CHARGED if attempt.verdict is Verdict.CHARGED else LookupAnswer.NOT_FOUND
        if not _looked_up(row, answer):
            yield Kind.VERDICT_UNPROVED, f"{told} is a look-up's, and no look-up was answered so"
    elif not any(
        one.action == attempt.verdict and one.by == attempt.verdict_by and not one.refused for one in row.actions
    ):
        yield Kind.VERDICT_UNPROVED, f"{told} is a person's, who did not decide so"


def _is_proved(row: AuditedRow, by: ResolvedBy) -> bool:
    match row.state:
        case State.SUCCEEDED:
            return _success_is_proved(row, by)
        case State.REJECTED:
            return _rejection_is_proved(row, by)
        case State.INVALID:
            return by is ResolvedBy.INTAKE and not row.attempts
        case State.SKIPPED:
            return by is ResolvedBy.PERSON and _decided(row, Action.SKIP)
        case State.SENDING | State.RETRYING | State.PENDING | State.IN_DOUBT | State.HELD:
            return True
        case _:
            assert_never(row.state)


def _success_is_proved(row: AuditedRow, by: ResolvedBy) -> bool:
    match by:
        case ResolvedBy.ANSWER:
            return any(attempt.outcome is Outcome.CHARGED for attempt in row.attempts)
        case ResolvedBy.LATE_ANSWER:
            return any(map(was_charged, row.attempts))
        case ResolvedBy.LOOKUP:
            return _looked_up(row, LookupAnswer.CHARGED) and any(map(carried_out, row.attempts))
        case ResolvedBy.PERSON:
            return _decided(row, Action.CHARGED)
        case ResolvedBy.INTAKE:
            return False
        case _:
            assert_never(by)


def _rejection_is_proved(row: AuditedRow, by: ResolvedBy) -> bool:
    match by:
        case ResolvedBy.ANSWER | ResolvedBy.LATE_ANSWER:
            return any(attempt.outcome is Outcome.REFUSED for attempt in row.attempts)
        case ResolvedBy.LOOKUP:
            return _looked_up(row, LookupAnswer.REFUSED)
        case ResolvedBy.INTAKE:
            return not row.attempts
        case ResolvedBy.PERSON:
            return False
        case _:
            assert_never(by)


def _looked_up(row: AuditedRow, answer: LookupAnswer) -> bool:
    return any(lookup.answer == answer for lookup in row.lookups)


def _decided(row: AuditedRow, action: Action) -> bool:
    return any(one.action == action and not one.refused for one in row.actions)
