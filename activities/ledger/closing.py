"""What an answer does to its attempt's row, in time or late."""

from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import bindparam, func, update

from activities.ledger.connection import LedgerConnection
from activities.ledger.errors import LedgerContradiction
from activities.ledger.reading import AttemptRow
from activities.ledger.rows import NOW, cut_reason
from activities.ledger.tables import attempts
from activities.profile import Answer
from recharge import instruments, telemetry
from recharge.contract import RecordInput
from recharge.late_evidence import late_answer_contradicts
from recharge.outcome import Outcome, State
from recharge.sending import AttemptFacts

log = structlog.get_logger(__name__)

_CLOSE = (
    update(attempts)
    .where(
        attempts.c.workflow_id == bindparam("closed_id"),
        attempts.c.number == bindparam("closed_number"),
        attempts.c.token == bindparam("closed_token"),
    )
    .values(closed_at=func.coalesce(attempts.c.closed_at, NOW), verdict=None, verdict_by=None, verdict_at=None)
)
CLOSE_OPEN = _CLOSE.where(attempts.c.closed_at.is_(None), attempts.c.outcome.is_(None))
"""Closes an attempt that is open still."""
_CLOSE_LATE = _CLOSE.values(late_at=NOW)


def closing_of(record: RecordInput, number: int, token: str, answer: Answer) -> dict[str, Any]:
    """The values by which an answer closes its attempt."""
    return {
        "closed_id": record.workflow_id,
        "closed_number": number,
        "closed_token": token,
        "outcome": answer.outcome,
        "status": answer.status,
        "error": cut_reason(answer.said),
        "provider_reference": answer.provider_reference,
    }


async def keep_beside(
    connection: LedgerConnection, record: RecordInput, mine: AttemptRow, late_outcome: Outcome
) -> None:
    """Write down what came of an attempt beside what was decided about it, which stays."""
    await connection.execute(
        update(attempts)
        .where(attempts.c.token == mine.token, attempts.c.workflow_id == record.workflow_id)
        .values(late_outcome=late_outcome, late_at=NOW)
    )


def alarm(record: RecordInput, mine: AttemptRow, late_outcome: Outcome, before: State, said: str) -> None:
    """Tell people that the provider says other than what was decided."""
    telemetry.count(instruments.CONTRADICTIONS)
    log.error(
        "an answer came after another decision and contradicts it",
        workflow_id=record.workflow_id,
        attempt=mine.facts.number,
        late_outcome=late_outcome,
        state=before,
        said=said,
    )


async def close(
    connection: LedgerConnection,
    record: RecordInput,
    mine: AttemptRow,
    answer: Answer,
    before: State,
    *,
    later_attempt: bool,
) -> AttemptFacts:
    """Write an answer into its attempt's row, and return the attempt as it stands then. `before` is what was decided, as a state.

    An attempt that was given up is closed by its late answer where nothing else was decided, or where the answer agrees
    with what was; else the answer is kept beside the decision, and where it contradicts that, it is an alarm.
    """
    facts = mine.facts
    if facts.outcome is answer.outcome:
        return facts  # Our own closing, repeated after a lost reply; or a doubt that was given up as the doubt it is.
    given_up = mine.closed_at is not None
    contradicts = late_answer_contradicts(answer.outcome, before, later_attempt=later_attempt)
    if contradicts or later_attempt:
        await keep_beside(connection, record, mine, answer.outcome)
        if contradicts:
            alarm(record, mine, answer.outcome, before, answer.said)
        return replace(facts, late_charge=facts.late_charge or answer.outcome is Outcome.CHARGED)
    result = await connection.execute(
        _CLOSE_LATE if given_up else _CLOSE,
        closing_of(record, facts.number, mine.token, answer) | ({"late_outcome": answer.outcome} if given_up else {}),
    )
    if result.rowcount != 1:
        raise LedgerContradiction(
            f"{record.workflow_id}: attempt {facts.number} could not be closed although its row was locked"
        )
    return AttemptFacts(
        number=facts.number,
        outcome=answer.outcome,
        status=answer.status,
        error=answer.said,
        provider_reference=answer.provider_reference,
        opened_at=facts.opened_at,
        late=given_up,
    )
