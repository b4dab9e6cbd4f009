"""Safeguards of the decision to send: what is known about a record, read and written so that no call leaves on a guess."""

from typing import Final

from devstack.without import weakened
from devstack.without.safeguard import quick, slow
from devstack.without.weakened import NO, NOTHING, YES, gives, returning
from recharge.outcome import Outcome, State

_SENDING: Final = "tests/unit/test_sending.py::test_"
_LIVES: Final = "tests/unit/test_stateful.py::TestOneRecord"
_LEDGER: Final = "tests/integration/test_ledger.py::test_"

SENDING: Final = (
    quick(
        "final-is-final",
        "what is decided comes first",
        "a record that is final is judged once more by its attempts",
        "recharge.sending.judge",
        returning(weakened.judge_again),
        f"{_SENDING}final_is_final_whatever_else_the_ledger_holds",
    ),
    quick(
        "decision-first",
        "what is decided comes first",
        "a person's skip or charged is not looked at",
        "recharge.sending._decided",
        NOTHING,
        f"{_SENDING}a_persons_decision_to_end_it_stands_over_every_attempt",
        _LIVES,
    ),
    quick(
        "hold",
        "what is decided comes first",
        "a hold is not looked at",
        "recharge.sending._held",
        NOTHING,
        f"{_SENDING}a_hold_sends_nothing_and_gives_way_to_an_answer_alone",
    ),
    slow(
        "fingerprint-in-the-ledger",
        "what is decided comes first",
        "another record at a known position is taken for the known one",
        "activities.ledger.rows.refuse_another",
        NOTHING,
        f"{_LEDGER}another_record_at_the_same_position_is_refused",
    ),
    quick(
        "unknown-is-a-doubt",
        "every attempt is read",
        "an attempt whose outcome is unknown is taken for one that failed, and the record is sent again",
        "recharge.sending.AttemptFacts.waits",
        weakened.waits_but_for(Outcome.UNKNOWN),
        f"{_SENDING}an_attempt_whose_outcome_nobody_knows_never_lets_another_leave",
        _LIVES,
    ),
    quick(
        "open-is-a-doubt",
        "every attempt is read",
        "an open attempt, as a killed worker leaves it, is taken for one that failed",
        "recharge.sending.AttemptFacts.waits",
        weakened.waits_but_for(None),
        f"{_SENDING}an_attempt_whose_outcome_nobody_knows_never_lets_another_leave",
        _LIVES,
    ),
    quick(
        "pending-waits",
        "every attempt is read",
        "an attempt that the provider accepted is taken for one that failed",
        "recharge.sending.AttemptFacts.waits",
        weakened.waits_but_for(Outcome.PENDING),
        f"{_SENDING}an_attempt_whose_outcome_nobody_knows_never_lets_another_leave",
        _LIVES,
    ),
    quick(
        "answers-are-found",
        "every attempt is read",
        "an answer that stands in the ledger is not looked at",
        "recharge.sending._answered",
        NOTHING,
        f"{_SENDING}after_a_final_answer_or_the_verdict_charged_the_record_becomes_final_and_nothing_leaves",
        _LIVES,
    ),
    quick(
        "all-attempts",
        "every attempt is read",
        "only the newest attempt is looked at",
        "recharge.sending.judge",
        returning(weakened.judge_the_newest),
        f"{_SENDING}an_attempt_whose_outcome_nobody_knows_never_lets_another_leave",
        _LIVES,
    ),
    slow(
        "attempt-row",
        "the intention is written down first",
        "the call leaves before its attempt stands in the ledger",
        "activities.recharge.Recharge._carry_out",
        weakened.send_first,
        "tests/crash/test_worker_crash.py::test_the_answer_to_a_worker_that_was_frozen_past_its_workflow_task_makes_the_record_final",
    ),
    slow(
        "row-is-known",
        "the intention is written down first",
        "a record that has a row already is taken for a new one",
        "activities.ledger.rows.insert_row",
        YES,
        f"{_LEDGER}only_an_attempt_that_carried_nothing_out_is_followed_by_another",
    ),
    slow(
        "usual-opening",
        "the intention is written down first",
        "an attempt that was opened in one message is committed whatever the message was answered",
        "activities.ledger.usual._is_all_new",
        YES,
        f"{_LEDGER}the_same_content_under_another_source_is_held_and_a_person_releases_it",
    ),
    slow(
        "usual-answer",
        "what is decided comes first",
        "an answer that was written in one message ends the record whatever else is known about it",
        "activities.ledger.usual._is_all_that_is_known",
        YES,
        f"{_LEDGER}an_answer_beside_a_decision_that_nobody_has_acted_upon_ends_nothing_by_itself",
    ),
    slow(
        "opening-token",
        "the ledger",
        "an opening whose COMMIT was answered by nothing takes its own row for another run's",
        "activities.ledger.ledger._own_opening",
        NOTHING,
        f"{_LEDGER}an_opening_whose_commit_reply_was_lost_finds_its_own_row",
    ),
    slow(
        "locking-read",
        "the ledger",
        "what is known about a record is read without its lock",
        "activities.ledger.reading.KNOWN",
        weakened.unlocked,
        f"{_LEDGER}what_is_known_is_read_under_the_records_lock",
    ),
    slow(
        "compare-and-set",
        "the ledger",
        "a state may follow any other",
        "activities.ledger.rows._states_before",
        gives(value=sorted(State)),
        f"{_LEDGER}a_transition_that_the_table_does_not_know_is_refused",
    ),
    slow(
        "durability",
        "the ledger",
        "a MySQL that may lose a commit is worked with",
        "activities.ledger.engine._check_durability",
        NOTHING,
        f"{_LEDGER}a_server_that_may_lose_a_commit_is_refused",
    ),
    slow(
        "verdict-of-the-newest",
        "a verdict judges one attempt",
        "a look-up about an older attempt judges the newest one",
        "activities.ledger.lookups.is_newest",
        YES,
        f"{_LEDGER}a_look_up_that_was_asked_about_an_older_attempt_judges_no_newer_one",
    ),
    slow(
        "not-found-counts-once",
        "not found",
        "'not found' pays for one attempt after another",
        "activities.ledger.lookups.counted_before",
        NO,
        f"{_LEDGER}not_found_pays_for_one_more_attempt_and_counts_once",
    ),
)
