"""Safeguards of a call and of what is made of its answer: the socket, keys, look-ups, people, late answers."""

from typing import Final

from devstack.without import weakened
from devstack.without.safeguard import quick, slow
from devstack.without.weakened import NO, NOTHING, YES, returning

_SENDING: Final = "tests/unit/test_sending.py::test_"
_LIVES: Final = "tests/unit/test_stateful.py::TestOneRecord"
_LEDGER: Final = "tests/integration/test_ledger.py::test_"
_PROVIDER: Final = "tests/integration/test_provider.py::test_"
_FROZEN: Final = "tests/integration/test_provider_frozen.py::test_"
_OFFICE: Final = "tests/integration/test_operations.py::test_"

CALLING: Final = (
    slow(
        "deadline-before-a-write",
        "nothing leaves after the deadline",
        "a process that was frozen past its call's deadline sends after the thaw",
        "activities.transmission.Transmission.check_deadline",
        NOTHING,
        f"{_FROZEN}a_process_frozen_past_the_deadline_sends_nothing",
    ),
    quick(
        "room-for-the-whole",
        "nothing leaves after the deadline",
        "a request is begun that the send buffer may not take whole",
        "activities.transport._Stream._make_room",
        NOTHING,
        f"{_PROVIDER}a_request_that_the_send_buffer_cannot_take_whole_is_not_begun",
    ),
    slow(
        "kernel-gives-up",
        "nothing leaves after the deadline",
        "the kernel goes on sending what it holds after the deadline (no TCP_USER_TIMEOUT)",
        "activities.transmission.Transmission.limit_retransmission",
        NOTHING,
        f"{_FROZEN}what_a_frozen_process_had_handed_over_is_given_up_by_its_kernel_at_the_deadline",
    ),
    slow(
        "reset-on-close",
        "nothing leaves after the deadline",
        "the kernel goes on sending what it holds after the connection was given up (no SO_LINGER of 0)",
        "activities.transmission.Transmission.close",
        returning(weakened.without_reset),
        f"{_PROVIDER}what_the_kernel_still_holds_at_the_deadline_never_arrives",
    ),
    quick(
        "peer-that-left",
        "nothing leaves after the deadline",
        "a request is sent to a provider that closed, or spoke, before it was asked",
        "activities.transport._Stream._refuse_a_peer_that_left",
        NOTHING,
        f"{_PROVIDER}a_provider_that_closes_or_speaks_before_the_request_gets_nothing",
    ),
    quick(
        "provider-certificate",
        "the hops",
        "any certificate of the provider's is taken",
        "activities.transmission.Tls.load",
        weakened.unverified,
        f"{_PROVIDER}a_provider_whose_certificate_is_not_trusted_gets_nothing",
    ),
    slow(
        "call-runs-on",
        "a call runs to its end",
        "a call is cancelled with the activity that asked for it",
        "activities.recharge._to_its_end",
        returning(weakened.cancelled_with_its_caller),
        f"{_OFFICE}a_hold_during_a_call_is_told_at_once_and_gives_way_to_a_charge_alone",
    ),
    quick(
        "calls-are-awaited",
        "a call runs to its end",
        "a process that stops does not wait for its calls",
        "activities.calls.CallsInFlight.drained",
        NOTHING,
        "tests/unit/test_calls.py::test_a_call_whose_caller_was_cancelled_goes_on_and_is_awaited",
    ),
    slow(
        "answer-is-kept",
        "a call runs to its end",
        "an answer is given up where the ledger is away",
        "activities.recharge.Recharge._close",
        returning(weakened.closed_once),
        "tests/crash/test_server_crash.py",
    ),
    quick(
        "key-lifetime",
        "a key has its time",
        "a key is trusted for ever",
        "recharge.sending._key_lives",
        YES,
        f"{_SENDING}when_a_key_lets_an_attempt_be_repeated",
    ),
    quick(
        "repetition-turned-away",
        "a key has its time",
        "a record is sent again after a 3xx or 4xx to its repetition",
        "recharge.sending._a_repetition_was_turned_away",
        NO,
        f"{_SENDING}when_a_key_lets_an_attempt_be_repeated",
    ),
    quick(
        "not-found-in-time",
        "not found",
        "'not found' counts whenever it was asked for",
        "recharge.sending.not_found_counts",
        YES,
        f"{_SENDING}not_found_never_counts_while_the_request_may_still_begin",
        _LIVES,
    ),
    slow(
        "acknowledged-before",
        "not found",
        "'not found' counts after the provider had said that it knows the reference",
        "activities.ledger.lookups.acknowledged",
        NO,
        f"{_LEDGER}not_found_after_the_provider_acknowledged_is_no_verdict",
    ),
    quick(
        "too-early",
        "a person's decisions",
        "a person's word is taken while the call, or the provider, may still be at it",
        "activities.ledger.decisions._too_early",
        NOTHING,
        _LIVES,
    ),
    slow(
        "decided-before",
        "a person's decisions",
        "a decision that has not had its effect yet is overruled by the next one",
        "activities.ledger.decisions._decided_before",
        NOTHING,
        f"{_LEDGER}a_decision_that_has_not_had_its_effect_is_not_overruled",
    ),
    slow(
        "answered-meanwhile",
        "a person's decisions",
        "a person's word is taken although the provider has answered",
        "activities.ledger.decisions._answer",
        NOTHING,
        f"{_LEDGER}a_decision_after_an_answer_that_is_not_final_yet_is_refused",
    ),
    slow(
        "decision-token",
        "the ledger",
        "a decision whose COMMIT was answered by nothing is refused because of itself",
        "activities.ledger.decisions._own_row",
        NOTHING,
        f"{_LEDGER}a_decision_whose_commit_reply_was_lost_finds_its_own_row",
    ),
    quick(
        "late-answer-alarm",
        "late answers",
        "a late answer that contradicts what was decided makes no alarm",
        "recharge.sending.late_answer_contradicts",
        NO,
        f"{_SENDING}a_late_answer_contradicts_exactly_what_it_makes_untrue",
        _LIVES,
    ),
    slow(
        "late-answer-beside",
        "late answers",
        "a late answer is written into its attempt although another attempt was made meanwhile",
        "activities.ledger.closing.close",
        returning(weakened.close_as_the_newest),
        f"{_LEDGER}a_late_answer_after_another_attempt_is_kept_beside_it",
    ),
    slow(
        "refusal-after-a-doubt",
        "how an answer is read",
        "a 4xx after an unknown attempt is taken for the refusal of the recharge",
        "activities.ledger.ledger._after_unknown",
        NO,
        f"{_LEDGER}not_found_pays_for_one_more_attempt_and_counts_once",
    ),
    quick(
        "empty-answer-told",
        "how an answer is read",
        "an empty 2xx that may have been cut short counts as charged",
        "activities.provider._refuse_an_end_that_nobody_told",
        NOTHING,
        f"{_PROVIDER}a_request_without_a_whole_answer_is_unknown",
    ),
    quick(
        "encoded-answer",
        "how an answer is read",
        "an answer in an encoding that was not asked for is read",
        "activities.profiles.reading.is_encoded",
        NO,
        "tests/unit/test_profile.py::test_a_compressed_answer_is_unknown_whatever_its_status",
    ),
)
