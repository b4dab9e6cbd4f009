"""What the ledger's facts about a record mean: is it final, does it wait, or may a call leave? Pure, and the heart of 'never twice'.

The ledger gathers the facts under the record's row lock and asks here. Nothing else in the service decides that a call may leave.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from recharge import limits
from recharge.contract import Finding
from recharge.outcome import (
    FINAL_STATES,
    MAY_HAVE_BEEN_SENT,
    Action,
    LookupAnswer,
    Outcome,
    ResolvedBy,
    State,
    Verdict,
    final_state_after,
    is_retried,
)
from recharge.privacy import mask_text

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
    opened_at: datetime | None = None
    late: bool = False
    """Its outcome came after the attempt had been given up."""
    late_charge: bool = False
    """An answer that came after it was given up said that it was carried out, whether that became its outcome or was kept beside it."""

    @property
    def final_state(self) -> State | None:
        """The final state to which the provider's answer, a look-up's verdict or a person's leads; None where there is no such word."""
        if self.verdict is Verdict.CHARGED or self.late_charge:
            return State.SUCCEEDED
        return None if self.outcome is None else final_state_after(self.outcome)

    @property
    def was_charged_by_the_provider(self) -> bool:
        """The provider said so itself, by its answer or by a look-up's."""
        by_lookup = self.verdict is Verdict.CHARGED and self.verdict_by == LOOKUP_VERDICT
        return by_lookup or self.late_charge or self.outcome is Outcome.CHARGED

    @property
    def did_nothing(self) -> bool:
        """This attempt carried nothing out, by its own outcome or by the verdict on it."""
        if self.late_charge:
            return False
        if self.outcome is not None and (is_retried(self.outcome) or self.outcome is Outcome.REFUSED):
            return True
        return self.is_doubtful and self.verdict is Verdict.NOT_CHARGED

    @property
    def is_doubtful(self) -> bool:
        """It does not say by itself what this attempt did."""
        return self.outcome in {None, Outcome.UNKNOWN, Outcome.PENDING}

    @property
    def waits(self) -> bool:
        """Nobody knows yet what this attempt did: it is open, unknown or pending, and bears no verdict."""
        return self.verdict is None and self.is_doubtful


@dataclass(frozen=True, slots=True)
class Decided:
    """The newest decision of a person that was not refused."""

    action: Action
    by: str
    note: str
    provider_reference: str | None = None

    @property
    def why(self) -> str:
        """Who decided it, and why, with long numbers hidden: whoever may read Temporal reads it. The ledger has the note whole."""
        return f"by {self.by}: {mask_text(self.note)}"

    @property
    def ends_it(self) -> bool:
        """The record becomes final by it, and nothing is sent any more."""
        return self.action in {Action.SKIP, Action.CHARGED}

    @property
    def holds_it(self) -> bool:
        """Nothing is sent until a person decides anew."""
        return self.action is Action.HOLD


class ObstacleKind(StrEnum):
    """What stands in the way of a record that was never sent. A person who lets it pass has seen this one, and no other."""

    TWIN = "twin"
    """Another source brought the same content."""
    DUPLICATE = "duplicate"
    """Another record made the same request."""
    STALE = "stale"
    """It is older than it may be when it is sent."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a record that was never sent may not be sent. `state` is where that leads: `rejected`, or `held` until a person decides."""

    kind: ObstacleKind
    state: State
    said: str


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What a provider promises that ignores a repetition under the same idempotency key, and how long one call takes."""

    lifetime_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything in the ledger that bears on one record, read under the lock of its row. Times are MySQL's."""

    state: State
    attempts: Sequence[AttemptFacts] = ()
    decided: Decided | None = None
    lookup: LookupAnswer | None = None
    """The newest readable answer of the provider's look-up since the newest attempt was opened."""
    obstacles: Sequence[Obstacle] = ()
    """Everything that stands in the way of sending it, the weightiest first."""
    shown: Collection[ObstacleKind] = ()
    """The obstacles for which it was put on hold already, each by a hold of its own that only a person's decision ends."""
    now: datetime | None = None
    reason: str | None = None
    provider_reference: str | None = None
    status: int | None = None
    resolved_by: ResolvedBy | None = None
    """What made the record final, where it is, with its reason, reference and status."""


def judge(facts: Facts, keys: KeyRules | None = None) -> Finding:
    """Tell where the facts lead. The state `sending` means: a call may leave, and it is the only finding that does.

    The order of the rules is the order of their strength: what is final stays final, a person's decision stands (but for a skip of
    what the provider answered to have carried out), an answer outranks a hold, a hold outranks waiting, and a doubt outranks every
    wish to send again. `keys` are the provider's, where it promises to ignore a repetition; then a doubt may be sent again while
    the key lives.
    """
    count = len(facts.attempts)
    if facts.state in FINAL_STATES:
        return Finding(
            facts.state,
            f"final already: {facts.state}",
            count,
            facts.status,
            facts.reason,
            facts.provider_reference,
            resolved_by=facts.resolved_by,
            is_recorded=True,
        )
    return (
        _decided(facts)
        or _answered(facts)
        or _held(facts)
        or _waiting(facts, keys)
        or _hindered(facts)
        or Finding(State.SENDING, "nothing sent so far was carried out", count)
    )


def _decided(facts: Facts) -> Finding | None:
    decided = facts.decided
    if decided is None or not decided.ends_it:
        return None
    if decided.action is Action.SKIP:
        if any(attempt.was_charged_by_the_provider for attempt in facts.attempts):
            return None  # Its word came after the decision and before that took effect: money that moved is never told as skipped.
        reason = f"skipped {decided.why}"
        return Finding(State.SKIPPED, reason, len(facts.attempts), reason=reason, resolved_by=ResolvedBy.PERSON)
    return Finding(
        State.SUCCEEDED,
        f"carried out, {decided.why}",
        len(facts.attempts),
        provider_reference=decided.provider_reference,
        resolved_by=ResolvedBy.PERSON,
    )


def _held(facts: Facts) -> Finding | None:
    decided = facts.decided
    if decided is None or not is_on_hold(facts):
        return None
    return Finding(State.HELD, f"on hold {decided.why}", len(facts.attempts))


def _hindered(facts: Facts) -> Finding | None:
    obstacle = unreleased_obstacle(facts)
    if obstacle is None:
        return None
    if obstacle.state is State.REJECTED:
        count = len(facts.attempts)
        return Finding(State.REJECTED, obstacle.said, count, reason=obstacle.said, resolved_by=ResolvedBy.INTAKE)
    return Finding(State.HELD, obstacle.said, len(facts.attempts))


def unreleased_obstacle(facts: Facts) -> Obstacle | None:
    """The obstacle that nobody let pass; None where there is none, or where the record is on hold anyway.

    The hold for an obstacle is the newest decision until a person makes another one. So where that is no hold any more, every
    obstacle that was shown was decided about, and any other one is still to be shown: releasing the record from a hold that had
    another reason, a cancellation for example, says nothing about it.
    """
    if is_on_hold(facts):
        return None
    return next((obstacle for obstacle in facts.obstacles if obstacle.kind not in facts.shown), None)


def is_on_hold(facts: Facts) -> bool:
    """Tell whether the newest decision holds the record."""
    return facts.decided is not None and facts.decided.holds_it


def _answered(facts: Facts) -> Finding | None:
    for state in (State.SUCCEEDED, State.REJECTED):  # money that moved outranks the refusal of a repetition
        for attempt in facts.attempts:
            if attempt.final_state is state:
                return _from_attempt(state, attempt, facts)
    return None


def _from_attempt(state: State, attempt: AttemptFacts, facts: Facts) -> Finding:
    if attempt.late_charge:
        by = ResolvedBy.LATE_ANSWER
    elif attempt.verdict is not None:
        by = ResolvedBy.LOOKUP if attempt.verdict_by == LOOKUP_VERDICT else ResolvedBy.PERSON
    else:
        by = ResolvedBy.LATE_ANSWER if attempt.late else ResolvedBy.ANSWER
    reason = attempt.error if state is State.REJECTED else None
    said = f"attempt {attempt.number} {'was carried out' if state is State.SUCCEEDED else 'was refused'}: {attempt.error or by}"
    return Finding(state, said, len(facts.attempts), attempt.status, reason, attempt.provider_reference, resolved_by=by)


def _waiting(facts: Facts, keys: KeyRules | None) -> Finding | None:
    waiting = [attempt for attempt in facts.attempts if attempt.waits]
    if not waiting:
        return None
    newest = waiting[-1]
    count = len(facts.attempts)
    if facts.lookup is LookupAnswer.REFUSED:
        said = "the provider's look-up says that it was refused"
        return Finding(State.REJECTED, said, count, newest.status, said, resolved_by=ResolvedBy.LOOKUP)
    said = newest.error or "no answer was recorded"
    if any(attempt.outcome is Outcome.PENDING for attempt in waiting):
        return Finding(
            State.PENDING, f"attempt {newest.number} is pending at the provider: {said}", count, newest.status
        )
    if keys is not None and _key_lives(facts, keys):
        return Finding(
            State.SENDING, f"attempt {newest.number} is sent again under its key: {said}", count, newest.status
        )
    return Finding(State.IN_DOUBT, f"attempt {newest.number} may have been carried out: {said}", count, newest.status)


def _key_lives(facts: Facts, keys: KeyRules) -> bool:
    """Tell whether the provider still promises to ignore a repetition, and no answer to one has put that into doubt."""
    maybe_sent = [
        attempt for attempt in facts.attempts if attempt.outcome in MAY_HAVE_BEEN_SENT or attempt.outcome is None
    ]
    if _a_repetition_was_turned_away(maybe_sent):
        return False
    first_at = maybe_sent[0].opened_at
    if first_at is None or facts.now is None:
        return False
    return facts.now < first_at + timedelta(seconds=keys.lifetime_s - keys.timeout_s - limits.KEY_MARGIN_S)


def _a_repetition_was_turned_away(maybe_sent: Sequence[AttemptFacts]) -> bool:
    """A 3xx or 4xx to a repetition speaks of the repetition, not of the recharge; nothing more can be learnt by repeating it."""
    return any(attempt.status is not None and 300 <= attempt.status < 500 for attempt in maybe_sent[1:])  # noqa: PLR2004


def frees_its_claim(state: State, attempts: Sequence[AttemptFacts]) -> bool:
    """Tell whether a record ended without anything carried out, so that another one may be sent for the same request.

    A skipped record may have been carried out where one of its attempts is not known to have done nothing. A rejected one was, where a
    late answer says so.
    """
    match state:
        case State.REJECTED | State.INVALID:
            return not any(attempt.late_charge for attempt in attempts)
        case State.SKIPPED:
            return all(attempt.did_nothing for attempt in attempts)
        case State.SENDING | State.RETRYING | State.PENDING | State.IN_DOUBT | State.HELD | State.SUCCEEDED:
            return False
        case _:
            assert_never(state)
