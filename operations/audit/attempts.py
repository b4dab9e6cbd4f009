"""Do a record's attempts bear out that nothing was sent on a guess? Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from activities.ledger import AuditedAttempt, AuditedRow
from operations.audit.findings import Kind
from recharge.late_evidence import is_late_charge
from recharge.outcome import Outcome, Verdict
from recharge.sending import KeyRules

Problem = tuple[Kind, str]

_NEVER = datetime.max  # noqa: DTZ901  # MySQL's times carry no zone


def check_attempts(row: AuditedRow, keys: KeyRules | None) -> Iterator[Problem]:
    """Everything that is wrong with the attempts of one record. `keys` are the provider's, where it ignores repetitions."""
    numbers = [attempt.number for attempt in row.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield (
            Kind.ATTEMPTS_INCOMPLETE,
            f"its attempts are numbered {', '.join(map(str, numbers))}, so some are not there any more",
        )
    earlier = _Earlier()
    for attempt in row.attempts:
        if row.final_at is not None and attempt.opened_at > row.final_at:
            yield Kind.SENT_AFTER_FINAL, f"attempt {attempt.number} was opened after the record was {row.state}"
        yield from _why_opened(earlier, attempt, keys)
        earlier.add(attempt)
    if keys is None and sum(map(was_charged, row.attempts)) > 1:
        told = " and ".join(str(attempt.number) for attempt in row.attempts if was_charged(attempt))
        yield Kind.ANSWERED_CHARGED_TWICE, f"the provider answered to attempts {told} that it carried them out"


class _Earlier:
    """The attempts of a record so far, for the two questions that each further one asks of them.

    A record that was retried for a week has thousands. So of each question only those attempts are kept that may be the first answer
    to it at some moment, oldest first; for them the moments are in order, too, and the answer is found by halves.
    """

    def __init__(self) -> None:
        self._ending: list[tuple[datetime, AuditedAttempt]] = []
        """What forbids every further attempt from the moment on at which it is known; each was known earlier than those before it."""
        self._doubtful: list[tuple[datetime, AuditedAttempt]] = []
        """What is no reason to send again until the moment at which that is known; each was so for longer than those before it."""

    def add(self, attempt: AuditedAttempt) -> None:
        """Go on to the next attempt."""
        known_at = _known_at(attempt)
        did_nothing = carried_nothing_out(attempt)
        ends_it = not did_nothing and (carried_out(attempt) or attempt.outcome is Outcome.REFUSED)
        if ends_it and known_at is not None and (not self._ending or known_at < self._ending[-1][0]):
            self._ending.append((known_at, attempt))
        until = known_at if known_at is not None and did_nothing else _NEVER
        if not self._doubtful or until > self._doubtful[-1][0]:
            self._doubtful.append((until, attempt))

    def ending(self, at: datetime) -> AuditedAttempt | None:
        """The first of them that was known at this moment to have been carried out or refused."""
        return _first(self._ending, lambda known_at: known_at <= at)

    def doubtful(self, at: datetime) -> AuditedAttempt | None:
        """The first of them of which it was not known at this moment that it carried nothing out."""
        return _first(self._doubtful, lambda until: until > at)


def _first(attempts: list[tuple[datetime, AuditedAttempt]], holds: Callable[[datetime], bool]) -> AuditedAttempt | None:
    """The first one whose moment answers a question that all those behind it answer as well."""
    index = bisect_left(attempts, True, key=lambda each: holds(each[0]))  # noqa: FBT003  # False comes before True
    return attempts[index][1] if index < len(attempts) else None


def _why_opened(earlier: _Earlier, attempt: AuditedAttempt, keys: KeyRules | None) -> Iterator[Problem]:
    """What was wrong with opening an attempt, by what was known of those before it at that moment. The first is told."""
    at, number = attempt.opened_at, attempt.number
    ended = earlier.ending(at)
    if ended is not None and carried_out(ended):
        yield Kind.SENT_AFTER_CHARGED, f"attempt {number} was opened after attempt {ended.number} was carried out"
        return
    if ended is not None:
        yield Kind.SENT_AFTER_REFUSED, f"attempt {number} was opened after attempt {ended.number} was refused"
        return
    one = earlier.doubtful(at)
    if one is not None and not _key_lived(one, at, keys):
        yield Kind.SENT_IN_DOUBT, f"attempt {number} was opened while attempt {one.number} may have been carried out"


def _key_lived(first: AuditedAttempt, at: datetime, keys: KeyRules | None) -> bool:
    """Tell whether the provider promised at that moment to ignore a repetition of this attempt."""
    return keys is not None and at < first.opened_at + timedelta(seconds=keys.lifetime_s - keys.timeout_s)


def _known_at(attempt: AuditedAttempt) -> datetime | None:
    """When it was known what became of an attempt: by its answer, by a late one, or by a verdict."""
    if attempt.verdict is not None:
        return attempt.verdict_at
    if attempt.late_outcome is not None and attempt.late_outcome is attempt.outcome:
        return attempt.late_at
    return attempt.closed_at


def carried_out(attempt: AuditedAttempt) -> bool:
    """The provider, a look-up or a person said that this attempt was carried out."""
    return attempt.outcome is Outcome.CHARGED or attempt.verdict is Verdict.CHARGED


def carried_nothing_out(attempt: AuditedAttempt) -> bool:
    """It is known, by its answer or by a verdict, that this attempt did nothing and that the record may be sent again."""
    return attempt.outcome in {Outcome.NOT_SENT, Outcome.NOT_CHARGED} or attempt.verdict is Verdict.NOT_CHARGED


def was_charged(attempt: AuditedAttempt) -> bool:
    """The provider itself answered that it carried this attempt out, in time or late."""
    return attempt.outcome is Outcome.CHARGED or is_late_charge(attempt.late_outcome)


def late_answers(row: AuditedRow) -> Iterator[str]:
    """Answers that came after something else was decided, and were kept beside it."""
    for attempt in row.attempts:
        if attempt.late_outcome is not None and attempt.late_outcome is not attempt.outcome:
            yield (
                f"attempt {attempt.number} was answered {attempt.late_outcome} at {attempt.late_at} UTC, "
                f"after something else was decided; the record is {row.state}"
            )
