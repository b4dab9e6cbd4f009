"""What the ledger knows about one record, gathered under the lock of its row for `recharge.sending.judge`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.ledger.obstacles import find_obstacle, other_owner
from activities.ledger.rows import NOW
from activities.ledger.tables import attempts, lookups, operator_actions
from recharge.contract import RecordInput
from recharge.outcome import FINAL_STATES, Action, LookupAnswer, Outcome, State, Verdict
from recharge.sending import AttemptFacts, Decided, Facts


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt with its times and its token, beside the facts that decide."""

    facts: AttemptFacts
    token: str
    opened_at: datetime
    deadline_at: datetime
    closed_at: datetime | None


async def read_attempts(connection: AsyncConnection, workflow_id: str, *, lock: bool) -> list[AttemptRow]:
    """All attempts of a record, oldest first; locked where a decision to send rests on them."""
    query = select(attempts).where(attempts.c.workflow_id == workflow_id).order_by(attempts.c.number)
    rows = (await connection.execute(query.with_for_update() if lock else query)).mappings().all()
    return [
        AttemptRow(
            facts=AttemptFacts(
                number=row["number"],
                outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
                verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
                verdict_by=row["verdict_by"],
                status=row["status"],
                error=row["error"],
                provider_reference=row["provider_reference"],
                opened_at=row["opened_at"],
                late=row["late_at"] is not None,
            ),
            token=row["token"],
            opened_at=row["opened_at"],
            deadline_at=row["deadline_at"],
            closed_at=row["closed_at"],
        )
        for row in rows
    ]


def newest_decision(workflow_id: str) -> Select[Any]:
    """The query for the newest decision of a person that was not refused."""
    return (
        select(operator_actions)
        .where(
            operator_actions.c.workflow_id == workflow_id,
            operator_actions.c.refused_because.is_(None),
            operator_actions.c.action.in_([action.value for action in Action]),
        )
        .order_by(operator_actions.c.id.desc())
        .limit(1)
    )


async def read_decided(connection: AsyncConnection, workflow_id: str) -> Decided | None:
    """The newest decision of a person that was not refused, by a locking read."""
    query = newest_decision(workflow_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    return Decided(Action(row["action"]), row["decided_by"], row["note"], row["provider_reference"])


async def read_facts(
    connection: AsyncConnection, record: RecordInput, row: RowMapping, rows: list[AttemptRow]
) -> Facts:
    """Gather what `recharge.sending.judge` needs, under the lock of the record's row."""
    state = State(row["state"])
    if state in FINAL_STATES:
        return Facts(
            state,
            [attempt.facts for attempt in rows],
            reason=row["reason"],
            provider_reference=row["provider_reference"],
            status=row["status"],
        )
    lookup = None
    if rows and rows[-1].facts.waits:
        lookup = await connection.scalar(
            select(lookups.c.answer)
            .where(
                lookups.c.workflow_id == record.workflow_id,
                lookups.c.attempt_number == rows[-1].facts.number,
                lookups.c.answer != LookupAnswer.UNREADABLE,
            )
            .order_by(lookups.c.id.desc())
            .limit(1)
            .with_for_update()
        )
    # The time matters to doubts and to stale records alone; the usual way does without the question.
    asks_time = record.stale_after_s is not None or any(attempt.facts.waits for attempt in rows)
    now = (await connection.execute(select(NOW))).scalar_one() if asks_time else None
    attempt_facts = [attempt.facts for attempt in rows]
    owner = None if rows else await other_owner(connection, record)
    return Facts(
        state=state,
        attempts=attempt_facts,
        decided=await read_decided(connection, record.workflow_id),
        lookup=None if lookup is None else LookupAnswer(lookup),
        obstacle=await find_obstacle(connection, record, attempt_facts, now, owner),
        now=now,
    )
