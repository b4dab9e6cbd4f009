"""The table of states is complete, final is final in it, and every outcome has exactly one meaning."""

import pytest

from recharge.outcome import (
    DEAD_LETTER_STATES,
    FINAL_STATES,
    MAY_HAVE_BEEN_SENT,
    PREDECESSORS,
    Outcome,
    State,
    final_state_after,
    is_retried,
)

OPEN_STATES = set(State) - FINAL_STATES


def test_the_table_names_every_state_on_its_left_and_only_open_ones_on_its_right() -> None:
    assert set(PREDECESSORS) == set(State)
    for state, before in PREDECESSORS.items():
        assert before <= OPEN_STATES, f"{state} is said to follow a final state"


def test_an_invalid_record_never_was_anything_else_and_every_other_state_can_be_reached() -> None:
    assert PREDECESSORS[State.INVALID] == frozenset()
    reached, grown = {State.SENDING}, set[State]()
    while reached != grown:
        grown = set(reached)
        reached |= {state for state, before in PREDECESSORS.items() if before & reached}
    assert reached == set(State) - {State.INVALID}


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
def test_every_open_state_can_be_written_again_and_can_end_both_ways(state: State) -> None:
    assert state in PREDECESSORS[state], "an activity that runs twice writes the same state twice"
    assert state in PREDECESSORS[State.SUCCEEDED]
    assert state in PREDECESSORS[State.REJECTED]


def test_a_record_whose_worker_was_lost_while_it_sent_can_be_skipped() -> None:
    assert PREDECESSORS[State.SKIPPED] == OPEN_STATES


def test_dead_letters_are_of_final_records_that_were_not_carried_out() -> None:
    assert {State.REJECTED, State.INVALID} == DEAD_LETTER_STATES
    assert DEAD_LETTER_STATES < FINAL_STATES


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_either_retried_or_may_have_reached_the_provider(outcome: Outcome) -> None:
    assert is_retried(outcome) != (outcome in MAY_HAVE_BEEN_SENT)


@pytest.mark.parametrize("outcome", Outcome)
def test_only_an_answer_for_good_makes_a_record_final(outcome: Outcome) -> None:
    finals = {Outcome.CHARGED: State.SUCCEEDED, Outcome.REFUSED: State.REJECTED}
    assert final_state_after(outcome) is finals.get(outcome)


@pytest.mark.parametrize("function", [is_retried, final_state_after])
def test_no_outcome_is_left_without_an_answer(function: object) -> None:
    assert callable(function)
    for outcome in Outcome:
        function(outcome)
    with pytest.raises(AssertionError):
        function("none of them")
