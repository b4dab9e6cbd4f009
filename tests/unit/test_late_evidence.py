"""What is learnt about an attempt after it was given up counts only where it proves something."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recharge import limits
from recharge.late_evidence import NotFoundRules, decided_before, late_answer_contradicts, not_found_counts
from recharge.outcome import FINAL_STATES, Action, Outcome, State, Verdict


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("outcome", Outcome)
def test_a_late_answer_contradicts_exactly_what_it_makes_untrue(outcome: Outcome, state: State) -> None:
    says_it_was_carried_out = {Outcome.CHARGED, Outcome.PENDING}
    says_it_was_not = {Outcome.REFUSED, Outcome.NOT_SENT, Outcome.NOT_CHARGED}
    contradicted_by: dict[State, set[Outcome]] = {
        State.SUCCEEDED: says_it_was_not,
        State.REJECTED: says_it_was_carried_out,
        State.SKIPPED: says_it_was_carried_out,
        State.INVALID: says_it_was_carried_out,
    }
    assert late_answer_contradicts(outcome, state, later_attempt=False) == (
        outcome in contradicted_by.get(state, set())
    )
    # A later attempt was paid for by the word that this one carried nothing out.
    assert late_answer_contradicts(outcome, state, later_attempt=True) == (outcome in says_it_was_carried_out)


@pytest.mark.parametrize("state", sorted(set(State) - FINAL_STATES))
@pytest.mark.parametrize(
    ("action", "verdict", "contradicted_by"),
    [
        (Action.CHARGED, Verdict.CHARGED, {Outcome.REFUSED, Outcome.NOT_SENT, Outcome.NOT_CHARGED}),
        # A look-up had said not charged, and a person who asked again says charged.
        (Action.CHARGED, Verdict.NOT_CHARGED, {Outcome.REFUSED, Outcome.NOT_SENT, Outcome.NOT_CHARGED}),
        # A look-up said so, and no person has decided, or one to hold it or to skip it.
        (None, Verdict.CHARGED, {Outcome.REFUSED, Outcome.NOT_SENT, Outcome.NOT_CHARGED}),
        (Action.HOLD, Verdict.CHARGED, {Outcome.REFUSED, Outcome.NOT_SENT, Outcome.NOT_CHARGED}),
        (Action.SKIP, Verdict.CHARGED, {Outcome.REFUSED, Outcome.NOT_SENT, Outcome.NOT_CHARGED}),
        # A charge overrules a skip, so it does not stand against it.
        (Action.SKIP, None, {Outcome.PENDING}),
        # What does not end the record gives way to every answer.
        (Action.NOT_CHARGED, Verdict.NOT_CHARGED, set()),
        (Action.HOLD, None, set()),
        (None, None, set()),
    ],
)
def test_a_word_that_ends_the_record_stands_against_a_late_answer_before_it_is_final(
    state: State, action: Action | None, verdict: Verdict | None, contradicted_by: set[Outcome]
) -> None:
    for outcome in Outcome:
        before = decided_before(outcome, state, verdict=verdict, action=action)
        assert late_answer_contradicts(outcome, before, later_attempt=False) == (outcome in contradicted_by)


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_what_is_final_is_compared_with_a_late_answer_whatever_word_came_before(state: State) -> None:
    for outcome, verdict, action in itertools.product(Outcome, [None, *Verdict], [None, *Action]):
        assert decided_before(outcome, state, verdict=verdict, action=action) is state


OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
RULES = NotFoundRules(processing_time_s=60, forgets_after_s=3600)
DEADLINE_AT = OPENED_AT + timedelta(seconds=30)
PROVEN_AT = DEADLINE_AT + timedelta(seconds=limits.DEADLINE_GRACE_S + RULES.processing_time_s)
FORGOTTEN_AT = OPENED_AT + timedelta(seconds=RULES.forgets_after_s - limits.LOOKUP_TIMEOUT_S)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("asked_at", "counts"),
    [
        (OPENED_AT, False),
        (DEADLINE_AT, False),
        (PROVEN_AT, False),
        (PROVEN_AT + TICK, True),
        (FORGOTTEN_AT - TICK, True),
        (FORGOTTEN_AT, False),
        (FORGOTTEN_AT + timedelta(days=1), False),
    ],
)
def test_not_found_counts_only_after_the_longest_processing_and_before_forgetting(
    asked_at: datetime,
    counts: bool,
) -> None:
    assert not_found_counts(RULES, asked_at=asked_at, opened_at=OPENED_AT, deadline_at=DEADLINE_AT) is counts


@settings(max_examples=300, deadline=None)
@given(
    st.floats(0, 86_400), st.floats(1, 10**6), st.floats(1, 300), st.integers(-(10**9), 10**12).map(lambda n: n * TICK)
)
def test_not_found_never_counts_while_the_request_may_still_begin(
    processing_time_s: float, forgets_after_s: float, timeout_s: float, asked_after: timedelta
) -> None:
    deadline_at = OPENED_AT + timedelta(seconds=timeout_s)
    asked_at = OPENED_AT + asked_after
    if not_found_counts(
        NotFoundRules(processing_time_s, forgets_after_s),
        asked_at=asked_at,
        opened_at=OPENED_AT,
        deadline_at=deadline_at,
    ):
        assert asked_at > deadline_at + timedelta(seconds=limits.DEADLINE_GRACE_S + processing_time_s)
        assert asked_at < OPENED_AT + timedelta(seconds=forgets_after_s - limits.LOOKUP_TIMEOUT_S)
