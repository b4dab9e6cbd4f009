"""Do a record's attempts bear out that nothing was sent on a guess? Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from activities.ledger import AuditedAttempt, AuditedRow
from operations.audit.findings import Kind
from recharge.outcome import Outcome, Verdict
from recharge.sending import KeyRules

Problem = tuple[Kind, str]


def check_attempts(row: AuditedRow, keys: KeyRules | None) -> Iterator[Problem]:
    """Everything that is wrong with the attempts of one record. `keys` are the provider's, where it ignores repetitions."""
    numbers = [attempt.number for attempt in row.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield (
            Kind.ATTEMPTS_INCOMPLETE,
            f"its attempts are numbered {', '.join(map(str, numbers))}, so some are not there any more",
        )
    for position, attempt in enumerate(row.attempts):
        if row.final_at is not None and attempt.opened_at > row.final_at:
            yield Kind.SENT_AFTER_FINAL, f"attempt {attempt.number} was opened after the record was {row.state}"
        yield from _why_opened(row.attempts[:position], attempt, keys)
    if keys is None and sum(map(_was_charged, row.attempts)) > 1:
        told = " and ".join(str(attempt.number) for attempt in row.attempts if _was_charged(attempt))
        yield Kind.ANSWERED_CHARGED_TWICE, f"the provider answered to attempts {told} that it carried them out"


def _why_opened(
    earlier: tuple[AuditedAttempt, ...], attempt: AuditedAttempt, keys: KeyRules | None
) -> Iterator[Problem]:
    """What was wrong with opening an attempt, by what was known of those before it at that moment. The first is told."""
    at, number = attempt.opened_at, attempt.number
    doubtful = [one for one in earlier if not (_is_known(one, at) and carried_nothing_out(one))]
    for one in doubtful:
        if _is_known(one, at) and carried_out(one):
            yield Kind.SENT_AFTER_CHARGED, f"attempt {number} was opened after attempt {one.number} was carried out"
            return
        if _is_known(one, at) and one.outcome is Outcome.REFUSED:
            yield Kind.SENT_AFTER_REFUSED, f"attempt {number} was opened after attempt {one.number} was refused"
            return
    if doubtful and not _key_lived(doubtful[0], at, keys):
        one = doubtful[0]
        yield Kind.SENT_IN_DOUBT, f"attempt {number} was opened while attempt {one.number} may have been carried out"


def _is_known(attempt: AuditedAttempt, at: datetime) -> bool:
    known_at = _known_at(attempt)
    return known_at is not None and known_at <= at


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


def _was_charged(attempt: AuditedAttempt) -> bool:
    """The provider itself answered that it carried this attempt out, in time or late."""
    return Outcome.CHARGED in {attempt.outcome, attempt.late_outcome}


def late_answers(row: AuditedRow) -> Iterator[str]:
    """Answers that came after something else was decided, and were kept beside it."""
    for attempt in row.attempts:
        if attempt.late_outcome is not None and attempt.late_outcome is not attempt.outcome:
            yield (
                f"attempt {attempt.number} was answered {attempt.late_outcome} at {attempt.late_at} UTC, "
                f"after something else was decided; the record is {row.state}"
            )
