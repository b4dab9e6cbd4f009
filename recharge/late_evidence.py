"""What is learnt about an attempt after it was given up: an answer that comes late, and a look-up's 'not found'. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from recharge import limits
from recharge.outcome import FINAL_STATES, Outcome, State


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
