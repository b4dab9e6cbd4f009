"""What the ledger's facts about a record mean: is it final, does it wait, or may a call leave? Pure, and the heart of 'never twice'.

The ledger gathers the facts under the record's row lock and asks here. Nothing else in the service decides that a call may leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recharge import limits
from recharge.contract import Finding
from recharge.outcome import FINAL_STATES, Action, LookupAnswer, Outcome, ResolvedBy, State, Verdict

LOOKUP_VERDICT = "lookup"
"""Who passed a verdict, where it was the provider's look-up and not a person."""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One row of `recharge_attempts`, as far as it decides anything. `outcome` is None while the attempt is open."""

    number: int
    outcome: Outcome | None
    verdict: Verdict | None = None
    verdict_by: str | None = None
    status: int | None = None
    error: str | None = None
    provider_reference: str | None = None
    late: bool = False
    """Its outcome came after the attempt had been given up."""

    @property
    def carried_out(self) -> bool:
        """The provider, a look-up or a person said that this attempt was carried out."""
        return self.outcome is Outcome.CHARGED or self.verdict is Verdict.CHARGED

    @property
    def waits(self) -> bool:
        """Nobody knows yet what this attempt did: it is open, unknown or pending, and bears no verdict."""
        return self.verdict is None and self.outcome in {None, Outcome.UNKNOWN, Outcome.PENDING}

    @property
    def was_unknown(self) -> bool:
        """The request may have reached the provider without an answer, whatever verdict was passed on it since."""
        return self.outcome in {None, Outcome.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything in the ledger that bears on one record, read under the lock of its row."""

    state: State
    attempts: Sequence[AttemptFacts] = ()
    action: Action | None = None
    """The newest decision of a person."""
    lookup: LookupAnswer | None = None
    """The newest readable answer of the provider's look-up since the newest attempt was opened."""
    reason: str | None = None
    provider_reference: str | None = None
    status: int | None = None


def judge(facts: Facts) -> Finding:  # noqa: PLR0911  # one rule a return, in the order of their strength
    """Tell where the facts lead. The state `sending` means: a call may leave, and it is the only finding that does.

    The order of the rules is the order of their strength: what is final stays final, a person's decision stands, an
    answer outranks a hold, a hold outranks waiting, and a doubt outranks every wish to send again.
    """
    count = len(facts.attempts)
    if facts.state in FINAL_STATES:
        return Finding(
            facts.state, f"final already: {facts.state}", count, facts.status, facts.reason, facts.provider_reference
        )
    if facts.action is Action.SKIP:
        return Finding(State.SKIPPED, "a person decided to skip it", count, resolved_by=ResolvedBy.PERSON)
    if facts.action is Action.CHARGED:
        return Finding(
            State.SUCCEEDED, "a person decided that it was carried out", count, resolved_by=ResolvedBy.PERSON
        )
    answered = _answered(facts)
    if answered is not None:
        return answered
    if facts.action is Action.HOLD:
        return Finding(State.HELD, "on hold until a person decides", count)
    waiting = next((attempt for attempt in reversed(facts.attempts) if attempt.waits), None)
    if waiting is not None:
        return _waiting(waiting, facts)
    return Finding(State.SENDING, "nothing sent so far was carried out", count)


def _answered(facts: Facts) -> Finding | None:
    for attempt in facts.attempts:
        if attempt.carried_out:
            return _from_attempt(State.SUCCEEDED, attempt, facts)
    for attempt in facts.attempts:
        if attempt.outcome is Outcome.REFUSED:
            return _from_attempt(State.REJECTED, attempt, facts)
    return None


def _from_attempt(state: State, attempt: AttemptFacts, facts: Facts) -> Finding:
    if attempt.verdict is not None:
        by = ResolvedBy.LOOKUP if attempt.verdict_by == LOOKUP_VERDICT else ResolvedBy.PERSON
    else:
        by = ResolvedBy.LATE_ANSWER if attempt.late else ResolvedBy.ANSWER
    reason = attempt.error if state is State.REJECTED else None
    said = f"attempt {attempt.number} {'was carried out' if state is State.SUCCEEDED else 'was refused'}: {attempt.error or by}"
    return Finding(state, said, len(facts.attempts), attempt.status, reason, attempt.provider_reference, resolved_by=by)


def _waiting(attempt: AttemptFacts, facts: Facts) -> Finding:
    count = len(facts.attempts)
    if facts.lookup is LookupAnswer.REFUSED:
        said = "the provider's look-up says that it was refused"
        return Finding(State.REJECTED, said, count, attempt.status, said, resolved_by=ResolvedBy.LOOKUP)
    said = attempt.error or "no answer was recorded"
    if attempt.outcome is Outcome.PENDING:
        return Finding(
            State.PENDING, f"attempt {attempt.number} is pending at the provider: {said}", count, attempt.status
        )
    return Finding(State.IN_DOUBT, f"attempt {attempt.number} may have been carried out: {said}", count, attempt.status)


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
    after it has begun to forget references, it says nothing. All times are MySQL's.
    """
    earliest = deadline_at + timedelta(seconds=limits.DEADLINE_GRACE_S + rules.processing_time_s)
    return earliest < asked_at < opened_at + timedelta(seconds=rules.forgets_after_s)
