"""What is learnt about an attempt after it was given up: an answer that comes late, and a look-up's 'not found'. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from recharge import limits
from recharge.outcome import FINAL_STATES, Action, Outcome, State, Verdict


def is_late_charge(late_outcome: str | None) -> bool:
    """Tell whether the answer that came after an attempt was given up (`late_outcome`) says that it was carried out."""
    return late_outcome == Outcome.CHARGED


def late_answer_contradicts(outcome: Outcome, state: State, *, later_attempt: bool) -> bool:
    """Tell whether an answer that came after its attempt was given up speaks against what was decided meanwhile.

    A later attempt rests on the word that this one carried nothing out; a final state rests on one word about the whole record.
    """
    maybe_carried_out = outcome in {Outcome.CHARGED, Outcome.PENDING}
    if outcome is Outcome.UNKNOWN:
        return False
    if later_attempt:
        return maybe_carried_out
    if state is State.SUCCEEDED:
        return not maybe_carried_out
    return state in FINAL_STATES and maybe_carried_out


def decided_before(outcome: Outcome, state: State, *, verdict: Verdict | None, action: Action | None) -> State:
    """The state with which a late answer is compared: the record's own, or the final one to which a word leads that came first.

    Such a word stands from the moment on at which it is written, and not only when the record is final by it: the decision of a
    person who ends the record (`action`), and the `verdict` on this attempt that it was carried out, whoever passed it. An answer
    that took its place could let the record be sent again, or give its request to another one. A skip alone gives way, to a charge.
    """
    if state in FINAL_STATES:
        return state
    if verdict is Verdict.CHARGED or action is Action.CHARGED:
        return State.SUCCEEDED
    return State.SKIPPED if action is Action.SKIP and outcome is not Outcome.CHARGED else state


@dataclass(frozen=True, slots=True)
class NotFoundRules:
    """When the provider's 'not found' proves that nothing was carried out (from its profile), in seconds."""

    processing_time_s: float
    forgets_after_s: float


def not_found_counts(rules: NotFoundRules, *, asked_at: datetime, opened_at: datetime, deadline_at: datetime) -> bool:
    """Tell whether 'not found' is a verdict, by the time at which the provider was asked.

    Before the provider's longest processing time has passed since our last byte may have left, it may still begin;
    after it has begun to forget references, it says nothing, and the answer may come as late as a look-up may take. All
    times are MySQL's.
    """
    earliest = deadline_at + timedelta(seconds=limits.DEADLINE_GRACE_S + rules.processing_time_s)
    latest = opened_at + timedelta(seconds=rules.forgets_after_s - limits.LOOKUP_TIMEOUT_S)
    return earliest < asked_at < latest
