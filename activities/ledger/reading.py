"""What the ledger knows about one record, gathered under the lock of its row for `recharge.sending.judge`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, RowMapping, Select, and_, bindparam, literal, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.obstacles import OwnerOf, find_obstacles, other_owner
from activities.ledger.rows import AT_POSITION, ROW_COLUMNS, position_of, read_now, refuse_another
from activities.ledger.tables import attempts, lookups, operator_actions, recharges
from recharge.contract import RecordInput
from recharge.late_evidence import is_late_charge
from recharge.outcome import FINAL_STATES, Action, LookupAnswer, Outcome, ResolvedBy, State, Verdict
from recharge.sending import AttemptFacts, Decided, Facts, ObstacleKind


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt with its times and its token, beside the facts that decide."""

    facts: AttemptFacts
    token: str
    opened_at: datetime
    deadline_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """A record's row, its attempts (oldest first), the newest decision about it and the obstacles that had it held.

    All are read and locked by one statement.
    """

    row: RowMapping
    attempts: list[AttemptRow]
    decided: Decided | None
    shown: frozenset[ObstacleKind]


_DECISION = (
    operator_actions.c.refused_because.is_(None),
    operator_actions.c.action.in_([literal(action.value) for action in Action]),
)
_ATTEMPT_COLUMNS = tuple(column.label(f"attempt_{column.name}") for column in attempts.c)
_DECIDED_COLUMNS = tuple(column.label(f"decided_{column.name}") for column in operator_actions.c)
# Built once: to compose a statement costs more than to run it. The record's row comes first in it and so is locked first, as everywhere.
KNOWN = (
    select(*ROW_COLUMNS, *_ATTEMPT_COLUMNS, *_DECIDED_COLUMNS)
    .select_from(
        recharges.outerjoin(attempts, attempts.c.workflow_id == recharges.c.workflow_id).outerjoin(
            operator_actions, and_(operator_actions.c.workflow_id == recharges.c.workflow_id, *_DECISION)
        )
    )
    .where(*AT_POSITION)
    .with_for_update()
)


def obstacle_token(kind: ObstacleKind) -> str:
    """The token of the hold that shows a record's obstacle to people. Those of their own decisions are random and have no colon."""
    return f"obstacle:{kind}"


async def read_known(connection: LedgerConnection, record: RecordInput) -> Known | None:
    """Lock and read everything that a decision about the record rests on; None where it has no row.

    Raises FingerprintMismatch where the row belongs to another record of the same position.
    """
    found = (await connection.execute(KNOWN, position_of(record))).mappings().all()
    if not found:
        return None
    refuse_another(record, found[0])
    by_number = {row["attempt_number"]: _attempt(row, "attempt_") for row in found if row["attempt_id"] is not None}
    decisions = {row["decided_id"]: row for row in found if row["decided_id"] is not None}
    tokens = {row["decided_token"] for row in decisions.values()}
    return Known(
        found[0],
        [by_number[number] for number in sorted(by_number)],
        _decided(decisions[max(decisions)], "decided_") if decisions else None,
        frozenset(kind for kind in ObstacleKind if obstacle_token(kind) in tokens),
    )


async def read_attempts(connection: LedgerConnection, workflow_id: str) -> list[AttemptRow]:
    """All attempts of a record, oldest first, by a locking read."""
    query = select(attempts).where(attempts.c.workflow_id == workflow_id).order_by(attempts.c.number).with_for_update()
    return [_attempt(row) for row in (await connection.execute(query)).mappings()]


def _attempt(row: RowMapping, prefix: str = "") -> AttemptRow:
    def value(name: str) -> Any:  # noqa: ANN401  # a column's value
        return row[prefix + name]

    return AttemptRow(
        facts=AttemptFacts(
            number=value("number"),
            outcome=None if value("outcome") is None else Outcome(value("outcome")),
            verdict=None if value("verdict") is None else Verdict(value("verdict")),
            verdict_by=value("verdict_by"),
            status=value("status"),
            error=value("error"),
            provider_reference=value("provider_reference"),
            opened_at=value("opened_at"),
            late=value("late_at") is not None,
            late_charge=is_late_charge(value("late_outcome")),
        ),
        token=value("token"),
        opened_at=value("opened_at"),
        deadline_at=value("deadline_at"),
        closed_at=value("closed_at"),
    )


def _decided(row: RowMapping, prefix: str = "") -> Decided:
    return Decided(
        Action(row[f"{prefix}action"]),
        row[f"{prefix}decided_by"],
        row[f"{prefix}note"],
        row[f"{prefix}provider_reference"],
    )


def newest_decision(workflow_id: str | BindParameter[str]) -> Select[Any]:
    """The query for the newest decision of a person that was not refused."""
    return (
        select(operator_actions)
        .where(operator_actions.c.workflow_id == workflow_id, *_DECISION)
        .order_by(operator_actions.c.id.desc())
        .limit(1)
    )


_NEWEST = newest_decision(bindparam("decided_id")).with_for_update()


NEWEST_DECISION_ID = newest_decision(bindparam("decided_id")).with_only_columns(operator_actions.c.id).with_for_update()


async def read_decided(connection: LedgerConnection, workflow_id: str) -> Decided | None:
    """The newest decision of a person that was not refused, by a locking read."""
    row = (await connection.execute(_NEWEST, {"decided_id": workflow_id})).mappings().one_or_none()
    return None if row is None else _decided(row)


async def read_facts(
    connection: LedgerConnection, record: RecordInput, known: Known, *, owner_of: OwnerOf = other_owner
) -> Facts:
    """Gather what `recharge.sending.judge` needs, under the lock of the record's row; `owner_of` as in `find_obstacles`."""
    row, rows = known.row, known.attempts
    state = State(row["state"])
    if state in FINAL_STATES:
        return Facts(
            state,
            [attempt.facts for attempt in rows],
            reason=row["reason"],
            provider_reference=row["provider_reference"],
            status=row["status"],
            resolved_by=row["resolved_by"] and ResolvedBy(row["resolved_by"]),
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
    now = await read_now(connection) if asks_time else None
    attempt_facts = [attempt.facts for attempt in rows]
    return Facts(
        state=state,
        attempts=attempt_facts,
        decided=known.decided,
        lookup=None if lookup is None else LookupAnswer(lookup),
        obstacles=await find_obstacles(connection, record, attempt_facts, now, owner_of),
        shown=known.shown,
        now=now,
    )
