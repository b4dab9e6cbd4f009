"""Reading and moving the rows of one record: the statements that every operation of the ledger shares."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.ledger.engine import is_duplicate
from activities.ledger.errors import FingerprintMismatch, LedgerContradiction
from activities.ledger.tables import attempts, lookups, operator_actions, recharges
from recharge import limits
from recharge.contract import RecordInput
from recharge.outcome import PREDECESSORS, Action, LookupAnswer, Outcome, State, Verdict
from recharge.sending import AttemptFacts, Facts

NOW = func.utc_timestamp(6)


def cut(value: str | None, chars_max: int) -> str | None:
    """The text, or its beginning where it is longer than its column."""
    return value if value is None or len(value) <= chars_max else value[: chars_max - 1] + "…"


def new_row(record: RecordInput, state: State) -> dict[str, Any]:
    """The columns of a record's row, as it is first inserted."""
    transfer = record.transfer
    return {
        "source": record.source,
        "topic": record.topic,
        "partition_id": record.partition,
        "record_offset": record.offset,
        "workflow_id": record.workflow_id,
        "state": state,
        "fingerprint": record.fingerprint,
        "content_digest": record.content_digest,
        "ordering": record.ordering,
        "operation_type": transfer and transfer.operation_type,
        "account_donor": transfer and transfer.donor,
        "account_receiver": transfer and transfer.receiver,
        "amount": transfer and transfer.amount,
        "currency": transfer and transfer.currency,
        "request_id": transfer and transfer.request_id,
        "raw_key": record.raw_key,
        "raw_value": record.raw_value,
        "size_bytes": record.size_bytes,
        "record_timestamp_ms": record.timestamp_ms,
        "created_at": NOW,
        "updated_at": NOW,
    }


async def insert_row(connection: AsyncConnection, row: dict[str, Any]) -> bool:
    """Insert a record's row; False where its position has one already. Inserting before locking spares the deadlocks of the other order."""
    try:
        await connection.execute(insert(recharges).values(row))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return False
    return True


async def lock_row(connection: AsyncConnection, record: RecordInput) -> RowMapping | None:
    """Lock the record's row and return it, or None where there is none.

    Raises FingerprintMismatch where the row belongs to another record of the same position.
    """
    columns = (
        recharges.c.state,
        recharges.c.fingerprint,
        recharges.c.reason,
        recharges.c.provider_reference,
        recharges.c.status,
    )
    query = (
        select(*columns)
        .where(
            recharges.c.source == record.source,
            recharges.c.topic == record.topic,
            recharges.c.partition_id == record.partition,
            recharges.c.record_offset == record.offset,
        )
        .with_for_update()
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is not None and row["fingerprint"] != record.fingerprint:
        raise FingerprintMismatch(
            f"{record.workflow_id}: the ledger holds another record at this position (fingerprint {row['fingerprint']}, this one "
            f"{record.fingerprint}); the topic was re-created or truncated: give it a new RECHARGE_KAFKA__SOURCE"
        )
    return row


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
                late=row["late_at"] is not None,
            ),
            token=row["token"],
            opened_at=row["opened_at"],
            deadline_at=row["deadline_at"],
            closed_at=row["closed_at"],
        )
        for row in rows
    ]


async def read_facts(
    connection: AsyncConnection, record: RecordInput, row: RowMapping, rows: list[AttemptRow]
) -> Facts:
    """Gather what `recharge.sending.judge` needs: the newest decision of a person and the newest look-up beside row and attempts."""
    action = await connection.scalar(
        select(operator_actions.c.action)
        .where(operator_actions.c.workflow_id == record.workflow_id, operator_actions.c.refused_because.is_(None))
        .order_by(operator_actions.c.id.desc())
        .limit(1)
        .with_for_update()
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
    return Facts(
        state=State(row["state"]),
        attempts=[attempt.facts for attempt in rows],
        action=None if action is None else Action(action),
        lookup=None if lookup is None else LookupAnswer(lookup),
        reason=row["reason"],
        provider_reference=row["provider_reference"],
        status=row["status"],
    )


async def move(connection: AsyncConnection, record: RecordInput, state: State, **columns: Any) -> None:  # noqa: ANN401  # columns of the row
    """Carry out one transition of the table of states, by compare-and-set.

    Raises LedgerContradiction where the row is not in a state that may be followed by `state`: never a repair.
    """
    result = await connection.execute(
        update(recharges)
        .where(recharges.c.workflow_id == record.workflow_id, recharges.c.state.in_(sorted(PREDECESSORS[state])))
        .values(state=state, updated_at=NOW, **columns)
    )
    if result.rowcount != 1:
        raise LedgerContradiction(f"{record.workflow_id}: no transition leads from its state in the ledger to {state}")


def after(seconds: float) -> Any:  # noqa: ANN401  # an SQL expression
    """MySQL's time that many seconds from now."""
    return text(f"UTC_TIMESTAMP(6) + INTERVAL {round(seconds * 1_000_000)} MICROSECOND")


def cut_reason(value: str | None) -> str | None:
    """A reason that fits its column."""
    return cut(value, limits.REASON_CHARS_MAX)
