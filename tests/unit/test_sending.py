"""A call may leave only where the ledger proves that nothing was carried out so far; what is final or doubtful never sends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recharge import limits
from recharge.contract import Finding
from recharge.outcome import FINAL_STATES, PREDECESSORS, Action, LookupAnswer, Outcome, ResolvedBy, State, Verdict
from recharge.sending import (
    LOOKUP_VERDICT,
    AttemptFacts,
    Decided,
    Facts,
    KeyRules,
    Obstacle,
    ObstacleKind,
    frees_its_claim,
    judge,
    unreleased_obstacle,
)

OPEN_STATES = sorted(set(State) - FINAL_STATES)
# What may bear a verdict, and what has to be waited for without one.
DOUBTFUL = (None, Outcome.UNKNOWN, Outcome.PENDING)
DECISIONS = [None, *(Decided(action, "alice", "ticket 7") for action in Action)]
OBSTACLES = [
    Obstacle(ObstacleKind.TWIN, State.HELD, "another source brought it"),
    Obstacle(ObstacleKind.DUPLICATE, State.REJECTED, "it repeats another record"),
    Obstacle(ObstacleKind.DUPLICATE, State.HELD, "it repeats another record"),
    Obstacle(ObstacleKind.STALE, State.HELD, "it is stale"),
]
HARMLESS = {Outcome.NOT_SENT, Outcome.NOT_CHARGED}


# Any row that the table of attempts takes, also those that no run of ours would leave there.
ATTEMPTS = [
    AttemptFacts(0, outcome, verdict, by, error=error, late=late)
    for outcome in (None, *Outcome)
    for verdict, by in [(None, None)]
    + [(verdict, by) for verdict in Verdict for by in (LOOKUP_VERDICT, "alice") if outcome in DOUBTFUL]
    for error, late in [(None, False), ("what the provider said", True)]
]


def decision(action: Action) -> Decided:
    return Decided(action, "alice", "ticket 7")


def numbered(attempts: list[AttemptFacts]) -> list[AttemptFacts]:
    return [replace(attempt, number=number) for number, attempt in enumerate(attempts, 1)]


FACTS = st.builds(
    Facts,
    state=st.sampled_from(State),
    attempts=st.lists(st.sampled_from(ATTEMPTS), max_size=4).map(numbered),
    decided=st.sampled_from(DECISIONS),
    obstacles=st.lists(st.sampled_from(OBSTACLES), max_size=3, unique_by=lambda obstacle: obstacle.kind),
    shown=st.sets(st.sampled_from(ObstacleKind)),
    lookup=st.none() | st.sampled_from(LookupAnswer),
)
OPEN_FACTS = st.builds(replace, FACTS, state=st.sampled_from(OPEN_STATES))
FINAL_FACTS = st.builds(replace, FACTS, state=st.sampled_from(sorted(FINAL_STATES)))
many = settings(max_examples=300, deadline=None)


def proves_that_nothing_was_carried_out(attempt: AttemptFacts) -> bool:
    """The rule in the words of the promise, written apart from the code under test."""
    if attempt.outcome in HARMLESS:
        return True
    return attempt.outcome in DOUBTFUL and attempt.verdict is Verdict.NOT_CHARGED


def was_charged(facts: Facts) -> bool:
    """The provider answered that it carried one of the attempts out, at once or when it was asked."""
    return any(
        attempt.outcome is Outcome.CHARGED
        or (attempt.verdict is Verdict.CHARGED and attempt.verdict_by == LOOKUP_VERDICT)
        for attempt in facts.attempts
    )


@many
@given(FACTS)
def test_a_call_leaves_if_and_only_if_all_facts_allow_it(facts: Facts) -> None:
    may_leave = (
        facts.state not in FINAL_STATES
        and (facts.decided is None or facts.decided.action is Action.NOT_CHARGED)
        and all(obstacle.kind in facts.shown for obstacle in facts.obstacles)
        and all(proves_that_nothing_was_carried_out(attempt) for attempt in facts.attempts)
    )
    assert (judge(facts).state is State.SENDING) == may_leave


@many
@given(OPEN_FACTS, st.sampled_from(DOUBTFUL), st.integers(0, 5))
def test_an_attempt_whose_outcome_nobody_knows_never_lets_another_leave(
    facts: Facts, outcome: Outcome | None, place: int
) -> None:
    attempts = list(facts.attempts)
    attempts.insert(place, AttemptFacts(99, outcome))
    assert judge(replace(facts, attempts=attempts)).state is not State.SENDING


@many
@given(
    OPEN_FACTS,
    st.sampled_from(
        [
            AttemptFacts(99, Outcome.CHARGED),
            AttemptFacts(99, Outcome.REFUSED),
            AttemptFacts(99, Outcome.UNKNOWN, Verdict.CHARGED, LOOKUP_VERDICT),
            AttemptFacts(99, Outcome.PENDING, Verdict.CHARGED, "alice"),
        ]
    ),
    st.integers(0, 5),
)
def test_after_a_final_answer_or_the_verdict_charged_the_record_becomes_final_and_nothing_leaves(
    facts: Facts, answered: AttemptFacts, place: int
) -> None:
    attempts = list(facts.attempts)
    attempts.insert(place, answered)
    finding = judge(replace(facts, attempts=attempts))
    assert finding.state in FINAL_STATES
    assert finding.resolved_by is not None


@many
@given(
    OPEN_FACTS,
    st.integers(0, 5),
    st.sampled_from(Action),
    st.sampled_from(
        [
            AttemptFacts(99, Outcome.CHARGED),
            AttemptFacts(99, Outcome.UNKNOWN, Verdict.CHARGED, LOOKUP_VERDICT),
            AttemptFacts(99, Outcome.PENDING, Verdict.CHARGED, LOOKUP_VERDICT),
        ]
    ),
)
def test_what_the_provider_says_to_have_carried_out_is_never_told_as_skipped_or_rejected(
    facts: Facts, place: int, action: Action, charged: AttemptFacts
) -> None:
    attempts = list(facts.attempts)
    attempts.insert(place, charged)
    finding = judge(replace(facts, attempts=attempts, decided=decision(action)))
    assert finding.state is State.SUCCEEDED


@many
@given(FINAL_FACTS)
def test_final_is_final_whatever_else_the_ledger_holds(facts: Facts) -> None:
    finding = judge(replace(facts, reason="why", provider_reference="p-1", status=200))
    assert finding.state is facts.state
    assert (finding.reason, finding.provider_reference, finding.status) == ("why", "p-1", 200)


@many
@given(OPEN_FACTS, st.sampled_from([Action.SKIP, Action.CHARGED]))
def test_a_persons_decision_to_end_it_stands_over_every_attempt(facts: Facts, action: Action) -> None:
    assume(action is Action.CHARGED or not was_charged(facts))
    finding = judge(replace(facts, decided=decision(action)))
    assert finding.state is {Action.SKIP: State.SKIPPED, Action.CHARGED: State.SUCCEEDED}[action]
    assert finding.resolved_by is ResolvedBy.PERSON


@many
@given(OPEN_FACTS)
def test_a_hold_sends_nothing_and_gives_way_to_an_answer_alone(facts: Facts) -> None:
    answered = any(attempt.final_state is not None for attempt in facts.attempts)
    finding = judge(replace(facts, decided=decision(Action.HOLD)))
    assert finding.state in (FINAL_STATES if answered else {State.HELD})


@many
@given(OPEN_FACTS)
def test_releasing_by_not_charged_decides_nothing_that_the_attempts_do_not_bear_out(facts: Facts) -> None:
    assert judge(replace(facts, decided=decision(Action.NOT_CHARGED))) == judge(replace(facts, decided=None))


@many
@given(OPEN_FACTS)
def test_a_charge_outranks_a_refusal(facts: Facts) -> None:
    attempts = [*facts.attempts, AttemptFacts(98, Outcome.REFUSED), AttemptFacts(99, Outcome.CHARGED)]
    assert judge(replace(facts, attempts=attempts, decided=None)).state is State.SUCCEEDED


@many
@given(FACTS)
def test_a_finding_never_claims_what_only_the_intake_or_the_workflow_may_say(facts: Facts) -> None:
    """`retrying` is a wish of the workflow, and `invalid` and `skipped` have each one origin."""
    finding = judge(facts)
    assert finding.attempts == len(facts.attempts)
    assert finding.state is not State.RETRYING
    if facts.state not in FINAL_STATES:
        assert finding.state is not State.INVALID
        skips = facts.decided is not None and facts.decided.action is Action.SKIP and not was_charged(facts)
        assert (finding.state is State.SKIPPED) == skips


@many
@given(OPEN_FACTS)
def test_every_finding_is_a_step_that_the_table_of_states_knows(facts: Facts) -> None:
    finding = judge(facts)
    # A skip is taken only where no call is under way, so not while the record is being sent.
    if not (finding.state is State.SKIPPED and facts.state is State.SENDING):
        assert facts.state in PREDECESSORS[finding.state]


@many
@given(OPEN_FACTS)
def test_a_person_lets_each_obstacle_pass_by_a_decision_of_its_own_and_only_what_was_shown(facts: Facts) -> None:
    """Decided as a person would: released from each hold, one after the other, until the record is sent or rejected."""
    shown: set[ObstacleKind] = set()
    facts = replace(facts, attempts=[], shown=shown, decided=None)
    seen = []
    while (finding := judge(facts)).state is State.HELD:
        obstacle = unreleased_obstacle(facts)
        assert obstacle is not None
        assert finding.said == obstacle.said
        seen.append(obstacle)
        shown.add(obstacle.kind)
        assert judge(replace(facts, decided=decision(Action.HOLD))).state is State.HELD
        facts = replace(facts, decided=decision(Action.NOT_CHARGED))
    ends = [obstacle for obstacle in facts.obstacles if obstacle.state is State.REJECTED]
    assert seen == list(facts.obstacles)[: facts.obstacles.index(ends[0]) if ends else None]
    assert finding.state is (State.REJECTED if ends else State.SENDING)


@many
@given(OPEN_FACTS)
def test_no_obstacle_is_shown_while_the_record_is_on_hold_anyway(facts: Facts) -> None:
    assert unreleased_obstacle(replace(facts, decided=decision(Action.HOLD))) is None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    ("attempts", "did_nothing"),
    [
        ([], True),
        (
            [AttemptFacts(1, Outcome.NOT_SENT), AttemptFacts(2, Outcome.NOT_CHARGED), AttemptFacts(3, Outcome.REFUSED)],
            True,
        ),
        ([AttemptFacts(1, Outcome.UNKNOWN, Verdict.NOT_CHARGED, "alice")], True),
        ([AttemptFacts(1, Outcome.PENDING, Verdict.NOT_CHARGED, "alice")], True),
        ([AttemptFacts(1, Outcome.NOT_SENT), AttemptFacts(2, None)], False),
        ([AttemptFacts(1, Outcome.UNKNOWN)], False),
        ([AttemptFacts(1, Outcome.PENDING)], False),
        ([AttemptFacts(1, Outcome.UNKNOWN, Verdict.CHARGED, "alice")], False),
        ([AttemptFacts(1, Outcome.CHARGED)], False),
    ],
)
def test_a_claim_is_freed_by_a_record_that_surely_carried_nothing_out(
    state: State, attempts: list[AttemptFacts], did_nothing: bool
) -> None:
    frees = state in {State.REJECTED, State.INVALID} or (state is State.SKIPPED and did_nothing)
    assert frees_its_claim(state, attempts) is frees


KEYS = KeyRules(lifetime_s=3600, timeout_s=30)
FIRST_AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY_ENDS_AT = FIRST_AT + timedelta(seconds=KEYS.lifetime_s - KEYS.timeout_s - limits.KEY_MARGIN_S)


def opened(attempts: Sequence[AttemptFacts]) -> list[AttemptFacts]:
    """The attempts with their times, one second apart."""
    return [replace(attempt, opened_at=FIRST_AT + timedelta(seconds=n)) for n, attempt in enumerate(attempts)]


@many
@given(OPEN_FACTS, st.integers(-3600, 7200))
def test_a_key_lets_a_doubt_and_nothing_else_be_sent_again_while_it_lives(facts: Facts, past_end_s: int) -> None:
    timed = replace(facts, attempts=opened(facts.attempts), now=KEY_ENDS_AT + timedelta(seconds=past_end_s))
    without, under_key = judge(timed), judge(timed, KEYS)
    if under_key != without:
        assert (without.state, under_key.state) == (State.IN_DOUBT, State.SENDING)
        waiting = [attempt for attempt in timed.attempts if attempt.waits]
        assert all(attempt.outcome in {None, Outcome.UNKNOWN} for attempt in waiting)
        first = next(attempt for attempt in timed.attempts if attempt.outcome not in HARMLESS)
        assert first.opened_at is not None
        assert timed.now is not None
        assert timed.now - first.opened_at < timedelta(seconds=KEYS.lifetime_s - KEYS.timeout_s - limits.KEY_MARGIN_S)


@pytest.mark.parametrize(
    ("attempts", "after_s", "state"),
    [
        ([AttemptFacts(1, Outcome.UNKNOWN)], 1, State.SENDING),
        ([AttemptFacts(1, None)], 1, State.SENDING),
        (
            [AttemptFacts(1, Outcome.UNKNOWN, status=500), AttemptFacts(2, Outcome.UNKNOWN, status=503)],
            1,
            State.SENDING,
        ),
        ([AttemptFacts(1, Outcome.UNKNOWN, status=409)], 1, State.SENDING),
        ([AttemptFacts(1, Outcome.PENDING, status=202)], 1, State.PENDING),
        # The key's life is counted from the first attempt that may have been sent.
        (
            [AttemptFacts(1, Outcome.NOT_SENT), AttemptFacts(2, Outcome.UNKNOWN)],
            3600 - 30 - limits.KEY_MARGIN_S,
            State.SENDING,
        ),
        (
            [AttemptFacts(1, Outcome.UNKNOWN), AttemptFacts(2, Outcome.UNKNOWN)],
            3600 - 30 - limits.KEY_MARGIN_S,
            State.IN_DOUBT,
        ),
        # What a repetition is answered with 3xx or 4xx speaks of the repetition.
        ([AttemptFacts(1, Outcome.UNKNOWN), AttemptFacts(2, Outcome.UNKNOWN, status=422)], 1, State.IN_DOUBT),
        ([AttemptFacts(1, Outcome.UNKNOWN), AttemptFacts(2, Outcome.UNKNOWN, status=302)], 1, State.IN_DOUBT),
        ([AttemptFacts(1, Outcome.UNKNOWN), AttemptFacts(2, Outcome.NOT_CHARGED, status=429)], 1, State.SENDING),
    ],
)
def test_when_a_key_lets_an_attempt_be_repeated(attempts: list[AttemptFacts], after_s: float, state: State) -> None:
    now = FIRST_AT + timedelta(seconds=after_s)
    facts = Facts(State.IN_DOUBT, opened(attempts), now=now)
    assert judge(facts, KEYS).state is state


def test_a_key_whose_age_is_not_known_is_not_trusted() -> None:
    unknown = AttemptFacts(1, Outcome.UNKNOWN)
    assert judge(Facts(State.IN_DOUBT, [unknown], now=FIRST_AT), KEYS).state is State.IN_DOUBT
    assert judge(Facts(State.IN_DOUBT, opened([unknown])), KEYS).state is State.IN_DOUBT


UNKNOWN = AttemptFacts(1, Outcome.UNKNOWN, error="read time-out")
NOT_CHARGED_VERDICT = AttemptFacts(1, Outcome.UNKNOWN, Verdict.NOT_CHARGED, LOOKUP_VERDICT)


@pytest.mark.parametrize(
    ("facts", "state", "resolved_by"),
    [
        (Facts(State.SENDING), State.SENDING, None),
        (Facts(State.SENDING, [AttemptFacts(1, None)]), State.IN_DOUBT, None),
        (Facts(State.IN_DOUBT, [UNKNOWN]), State.IN_DOUBT, None),
        (Facts(State.IN_DOUBT, [UNKNOWN], lookup=LookupAnswer.PENDING), State.IN_DOUBT, None),
        (Facts(State.IN_DOUBT, [UNKNOWN], lookup=LookupAnswer.NOT_FOUND), State.IN_DOUBT, None),
        (Facts(State.IN_DOUBT, [UNKNOWN], lookup=LookupAnswer.UNREADABLE), State.IN_DOUBT, None),
        (Facts(State.IN_DOUBT, [UNKNOWN], lookup=LookupAnswer.REFUSED), State.REJECTED, ResolvedBy.LOOKUP),
        (Facts(State.PENDING, [AttemptFacts(1, Outcome.PENDING)]), State.PENDING, None),
        (Facts(State.IN_DOUBT, [NOT_CHARGED_VERDICT]), State.SENDING, None),
        # One verdict pays for one more attempt.
        (Facts(State.IN_DOUBT, [NOT_CHARGED_VERDICT, replace(UNKNOWN, number=2)]), State.IN_DOUBT, None),
        (Facts(State.RETRYING, [AttemptFacts(1, Outcome.NOT_SENT)]), State.SENDING, None),
        (Facts(State.RETRYING, [AttemptFacts(1, Outcome.NOT_CHARGED)]), State.SENDING, None),
        (Facts(State.SENDING, [AttemptFacts(1, Outcome.CHARGED)]), State.SUCCEEDED, ResolvedBy.ANSWER),
        (Facts(State.SENDING, [AttemptFacts(1, Outcome.REFUSED)]), State.REJECTED, ResolvedBy.ANSWER),
        (Facts(State.HELD, [AttemptFacts(1, Outcome.CHARGED, late=True)]), State.SUCCEEDED, ResolvedBy.LATE_ANSWER),
        (
            Facts(State.IN_DOUBT, [replace(UNKNOWN, verdict=Verdict.CHARGED, verdict_by=LOOKUP_VERDICT)]),
            State.SUCCEEDED,
            ResolvedBy.LOOKUP,
        ),
        (
            Facts(State.IN_DOUBT, [replace(UNKNOWN, verdict=Verdict.CHARGED, verdict_by="alice")]),
            State.SUCCEEDED,
            ResolvedBy.PERSON,
        ),
    ],
)
def test_where_the_facts_lead_and_who_decided_it(facts: Facts, state: State, resolved_by: ResolvedBy | None) -> None:
    finding = judge(facts)
    assert (finding.state, finding.resolved_by) == (state, resolved_by)


@pytest.mark.parametrize("action", list(Action))
def test_a_number_in_a_persons_note_is_hidden_where_temporal_shows_it(action: Action) -> None:
    decided = Decided(action, "alice", "customer +34600111222 called, ticket 4711")
    finding = judge(Facts(State.HELD, [UNKNOWN], decided))
    told = f"{finding.said} {finding.reason}"
    assert "600111" not in told
    assert action is Action.NOT_CHARGED or "customer +••••••••222 called, ticket 4711" in told


def test_a_refusal_carries_the_providers_words_as_its_reason_and_a_charge_its_reference() -> None:
    refused = judge(Facts(State.SENDING, [AttemptFacts(1, Outcome.REFUSED, status=422, error="no such number")]))
    assert refused == Finding(
        State.REJECTED,
        "attempt 1 was refused: no such number",
        1,
        422,
        "no such number",
        None,
        resolved_by=ResolvedBy.ANSWER,
    )
    charged = judge(Facts(State.SENDING, [AttemptFacts(1, Outcome.CHARGED, status=200, provider_reference="p-7")]))
    assert (charged.provider_reference, charged.status, charged.reason) == ("p-7", 200, None)
