"""The provider's look-up in the ledger: each question with its answer, and the verdict that an answer passes on an attempt."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, insert, select, update

from activities.ledger.closing import alarm, keep_beside
from activities.ledger.connection import LedgerConnection
from activities.ledger.reading import AttemptRow, Known
from activities.ledger.rows import NOW, cut, cut_reason
from activities.ledger.tables import attempts, lookups
from activities.profile import LookupReading
from recharge import limits
from recharge.contract import RecordInput
from recharge.late_evidence import NotFoundRules, not_found_counts
from recharge.outcome import FINAL_STATES, LookupAnswer, Outcome, State, Verdict
from recharge.sending import LOOKUP_VERDICT

_ACKNOWLEDGING_STATUSES = frozenset({202, 409})
"""Answers by which the provider showed that it knows the reference; 'not found' is a contradiction after them."""


async def history(connection: LedgerConnection, workflow_id: str, attempt_number: int) -> tuple[int, datetime | None]:
    """How often the provider was asked about this attempt, and when it last answered."""
    query = select(func.count(), func.max(lookups.c.answered_at)).where(
        lookups.c.workflow_id == workflow_id, lookups.c.attempt_number == attempt_number
    )
    count, answered_at = (await connection.execute(query)).one()
    return count, answered_at


async def insert_lookup(
    connection: LedgerConnection, workflow_id: str, attempt_number: int, reading: LookupReading, asked_at: datetime
) -> None:
    """Add one question and its answer."""
    await connection.execute(
        insert(lookups).values(
            workflow_id=workflow_id,
            attempt_number=attempt_number,
            asked_at=asked_at,
            answered_at=NOW,
            answer=reading.answer,
            status=reading.status,
            said=cut_reason(reading.said),
            provider_reference=cut(reading.provider_reference, limits.REFERENCE_CHARS_MAX),
        )
    )


async def acknowledged(connection: LedgerConnection, workflow_id: str, rows: Sequence[AttemptRow]) -> bool:
    """Tell whether the provider ever showed that it knows this reference."""
    if any(row.facts.outcome is Outcome.PENDING or row.facts.status in _ACKNOWLEDGING_STATUSES for row in rows):
        return True
    known = (LookupAnswer.CHARGED, LookupAnswer.REFUSED, LookupAnswer.PENDING)
    query = select(func.count()).where(lookups.c.workflow_id == workflow_id, lookups.c.answer.in_(known))
    return bool(await connection.scalar(query))


def counts(rows: Sequence[AttemptRow], rules: NotFoundRules, asked_at: datetime) -> bool:
    """Tell whether a 'not found' is a verdict: at the right time for every attempt that it would judge, and only once a record."""
    if counted_before(rows):
        return False
    judged = [row for row in rows if row.facts.waits] or rows[-1:]
    opened_at, deadline_at = min(row.opened_at for row in judged), max(row.deadline_at for row in judged)
    return not_found_counts(rules, asked_at=asked_at, opened_at=opened_at, deadline_at=deadline_at)


def is_newest(attempt: AttemptRow, rows: Sequence[AttemptRow]) -> bool:
    """Tell whether a question was asked about the attempt that is the newest now: a verdict judges no other, but for a charge."""
    return bool(rows) and rows[-1].token == attempt.token


def counted_before(rows: Sequence[AttemptRow]) -> bool:
    """Tell whether a 'not found' has paid for an attempt of this record already. A provider that is wrong once may be wrong again."""
    return any(row.facts.verdict_by == LOOKUP_VERDICT and row.facts.verdict is Verdict.NOT_CHARGED for row in rows)


async def take_charge(
    connection: LedgerConnection, record: RecordInput, asked_about: AttemptRow, known: Known, reading: LookupReading
) -> None:
    """Take the look-up's word that the record was carried out, which holds for its reference and so for all of its attempts.

    It stops every further sending, whatever was decided or sent since the question was asked. It judges the attempts that wait, and
    replaces a verdict on the newest one, as a late answer does. Where there is none to judge, it stands beside the one that was asked
    about, with an alarm: another word had been taken for the truth.
    """
    rows, state = known.attempts, State(known.row["state"])
    judged = [row for row in rows if row.facts.waits or (row is rows[-1] and row.facts.is_doubtful)]
    if judged and state not in FINAL_STATES:
        for row in judged:
            await judge_attempt(
                connection, record.workflow_id, row, Verdict.CHARGED, LOOKUP_VERDICT, reading.provider_reference
            )
    elif state is not State.SUCCEEDED and not any(row.facts.was_charged_by_the_provider for row in rows):
        await keep_beside(connection, record, asked_about, Outcome.CHARGED)
        alarm(record, asked_about, Outcome.CHARGED, state, reading.said)


async def pass_verdict(
    connection: LedgerConnection, workflow_id: str, rows: Sequence[AttemptRow], answer: LookupAnswer, *, counts: bool
) -> None:
    """Judge the attempts that wait by a look-up that tells of no charge; an open one is given up as unknown in the same transaction.

    They share one reference, so one word speaks of all of them. `counts` tells whether 'not found' is a verdict. 'refused' passes
    none: the record becomes final by the look-up's row itself.
    """
    if answer is LookupAnswer.NOT_FOUND and counts:
        verdict = Verdict.NOT_CHARGED
    elif answer is LookupAnswer.REFUSED:
        verdict = None
    else:
        return
    for row in rows:
        if row.facts.waits:
            await judge_attempt(connection, workflow_id, row, verdict, LOOKUP_VERDICT, None)


async def judge_attempt(
    connection: LedgerConnection,
    workflow_id: str,
    row: AttemptRow,
    verdict: Verdict | None,
    by: str,
    provider_reference: str | None,
) -> None:
    """Write a verdict into an attempt's row, and give an open attempt up as unknown."""
    values: dict[str, object] = {}
    if row.closed_at is None:
        values |= {
            "closed_at": NOW,
            "outcome": Outcome.UNKNOWN,
            "error": "no answer was recorded; given up by a verdict",
        }
    if verdict is not None:
        values |= {"verdict": verdict, "verdict_by": cut(by, limits.NAME_CHARS_MAX), "verdict_at": NOW}
    if verdict is Verdict.CHARGED and provider_reference is not None:
        values["provider_reference"] = cut(provider_reference, limits.REFERENCE_CHARS_MAX)
    if values:
        which = (attempts.c.workflow_id == workflow_id, attempts.c.number == row.facts.number)
        await connection.execute(update(attempts).where(*which).values(**values))
