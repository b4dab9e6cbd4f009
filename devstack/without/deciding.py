"""Safeguards of what a person decides, and of how a record becomes final by it: decisions, cancellations, resets."""

from typing import Final

from devstack.without import tests, weakened
from devstack.without.safeguard import quick, slow
from devstack.without.weakened import NOTHING, returning

DECIDING: Final = (
    quick(
        "too-early",
        "a person's decisions",
        "a person's word is taken while the call, or the provider, may still be at it",
        "activities.ledger.decisions._too_early",
        NOTHING,
        f"{tests.DECISIONS}a_persons_word_is_taken_from_the_moment_on_at_which_nothing_can_be_at_it_any_more",
        tests.LIVES,
    ),
    slow(
        "decided-before",
        "a person's decisions",
        "a decision that has not had its effect yet is overruled by the next one",
        "activities.ledger.decisions.unused_decision",
        NOTHING,
        f"{tests.LEDGER}a_decision_that_has_not_had_its_effect_is_not_overruled",
    ),
    slow(
        "hold-ends-nothing",
        "a person's decisions",
        "a hold overrules a decision that makes the record final and has not had its effect yet",
        "activities.ledger.decisions.outranks_a_hold",
        NOTHING,
        f"{tests.LEDGER}a_hold_overrules_no_decision_that_ends_the_record",
    ),
    quick(
        "obstacle-is-shown",
        "a person's decisions",
        "releasing a record lets an obstacle pass that nobody has seen",
        "recharge.sending.unreleased_obstacle",
        NOTHING,
        f"{tests.SENDING}a_person_lets_each_obstacle_pass_by_a_decision_of_its_own_and_only_what_was_shown",
    ),
    slow(
        "answered-meanwhile",
        "a person's decisions",
        "a person's word is taken although the provider has answered",
        "activities.ledger.decisions._answer",
        NOTHING,
        f"{tests.LEDGER}a_decision_after_an_answer_that_is_not_final_yet_is_refused",
    ),
    slow(
        "decision-token",
        "the ledger",
        "a decision whose COMMIT was answered by nothing is refused because of itself",
        "activities.ledger.decisions._own_row",
        NOTHING,
        f"{tests.LEDGER}a_decision_whose_commit_reply_was_lost_finds_its_own_row",
    ),
    slow(
        "decision-is-written",
        "a person's decisions",
        "a decision is told to the workflow and stands nowhere",
        "activities.ledger.decisions.Decisions.decide",
        returning(weakened.told_and_not_written),
        f"{tests.OFFICE}charged_makes_it_succeed_without_a_call_and_its_lane_goes_on",
    ),
    slow(
        "refusal-is-written",
        "a person's decisions",
        "a decision that is refused leaves no row",
        "activities.ledger.decisions.insert_action",
        returning(weakened.unless_refused),
        f"{tests.OFFICE}not_charged_is_refused_while_the_provider_may_be_at_it_and_then_pays_for_one_attempt",
    ),
    slow(
        "verdict-gives-up",
        "a verdict judges one attempt",
        "a verdict leaves an open attempt open",
        "activities.ledger.lookups.judge_attempt",
        returning(weakened.left_open),
        f"{tests.LEDGER}a_verdict_on_an_open_attempt_closes_it_as_unknown",
    ),
    slow(
        "cancel-is-a-hold",
        "a cancellation means hold",
        "a cancellation ends the workflow",
        "workflows.recharge.RechargeWorkflow._whatever_is_cancelled",
        returning(weakened.ends_by_a_cancellation),
        f"{tests.OFFICE}cancel_in_temporal_holds_the_record_until_a_person_decides",
    ),
    slow(
        "cancel-is-written",
        "a cancellation means hold",
        "a cancellation is heard, and no hold stands in the ledger because of it",
        "activities.ledger.ledger.Ledger.hold",
        NOTHING,
        f"{tests.OFFICE}cancel_in_temporal_holds_the_record_until_a_person_decides",
    ),
    slow(
        "reset-delivers-nothing",
        "becoming final",
        "a reset delivers the updates and the cancellation of the closed run again",
        "operations.runs.reopen",
        returning(weakened.delivered_again),
        f"{tests.OFFICE}a_workflow_that_is_opened_again_hears_of_no_older_update_or_cancellation",
    ),
    slow(
        "result-is-written",
        "becoming final",
        "a workflow ends by what it found, whether that stands in the ledger or not",
        "workflows.recharge.RechargeWorkflow._record_result",
        returning(weakened.result_unwritten),
        "tests/integration/test_end_to_end.py::test_an_invalid_and_a_refused_record_end_as_dead_letters_and_rows",
    ),
)
