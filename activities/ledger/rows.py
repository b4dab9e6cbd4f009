"""Reading and moving the rows of one record: the statements that every operation of the ledger shares."""

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, select, text, update
from sqlalchemy.dialects.mysql import insert

from activities.ledger.connection import LedgerConnection
from activities.ledger.errors import FingerprintMismatch, LedgerContradiction
from activities.ledger.tables import attempts, recharges
from recharge import limits
from recharge.contract import RecordInput
from recharge.outcome import FINAL_STATES, PREDECESSORS, State

NOW = func.utc_timestamp(6)


async def read_now(connection: LedgerConnection) -> datetime:
    """MySQL's time, the one clock that decides anything."""
    now: datetime = (await connection.execute(select(NOW))).scalar_one()
    return now


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
        "redrive_of": record.redrive_of,
    }


# The statements of every record's way are built once, with parameters: to compose one costs more than to run it.
_INSERT = insert(recharges).values(begun=1, created_at=NOW, updated_at=NOW)
INSERT_OPEN = _INSERT.on_duplicate_key_update(begun=recharges.c.begun + 1)
_INSERT_FINAL = _INSERT.values(final_at=NOW).on_duplicate_key_update(begun=recharges.c.begun + 1)
_MOVE = (
    update(recharges)
    .where(
        recharges.c.workflow_id == bindparam("moved_id"),
        recharges.c.state.in_(bindparam("predecessors", expanding=True)),
    )
    .values(updated_at=NOW)
)
_MOVE_FINAL = _MOVE.values(final_at=NOW)
INSERT_ATTEMPT = insert(attempts).values(
    opened_at=NOW, deadline_at=text("UTC_TIMESTAMP(6) + INTERVAL :timeout_us MICROSECOND")
)


def timeout_us(timeout_s: float) -> int:
    """The time that an attempt has, as INSERT_ATTEMPT takes it."""
    return round(timeout_s * 1_000_000)


async def insert_row(connection: LedgerConnection, row: dict[str, Any]) -> bool:
    """Insert a record's row, or lock the one that its position has already; False in that case, and the row is counted as begun once more.

    A plain insert that fails would leave a shared lock, and two of those wait for each other as soon as both want to write. This form locks
    exclusively at once. The count is what tells the cases apart: MySQL reports one row for an insert, two for a row that was changed.
    """
    result = await connection.execute(_INSERT_FINAL if row["state"] in FINAL_STATES else INSERT_OPEN, row)
    return result.rowcount == 1


BEGUN_COLUMNS = tuple(
    column.name
    for column in recharges.c
    if column.name
    not in {
        *("id", "begun", "created_at", "updated_at", "final_at", "redacted_at"),
        *("reason", "provider_reference", "status", "resolved_by"),
    }
)
"""What `new_row` gives a value to."""

ROW_COLUMNS = (
    recharges.c.state,
    recharges.c.fingerprint,
    recharges.c.reason,
    recharges.c.provider_reference,
    recharges.c.status,
    recharges.c.resolved_by,
)
"""What a decision about a record needs of its row."""

AT_POSITION = (
    recharges.c.source == bindparam("at_source"),
    recharges.c.topic == bindparam("at_topic"),
    recharges.c.partition_id == bindparam("at_partition"),
    recharges.c.record_offset == bindparam("at_offset"),
)
"""The row of one position, whose values `position_of` gives."""

_LOCKED_ROW = select(*ROW_COLUMNS).where(*AT_POSITION).with_for_update()


def position_of(record: RecordInput) -> dict[str, Any]:
    """The values of AT_POSITION."""
    return {
        "at_source": record.source,
        "at_topic": record.topic,
        "at_partition": record.partition,
        "at_offset": record.offset,
    }


async def lock_row(connection: LedgerConnection, record: RecordInput) -> RowMapping | None:
    """Lock the record's row and return it, or None where there is none.

    Raises FingerprintMismatch where the row belongs to another record of the same position.
    """
    row = (await connection.execute(_LOCKED_ROW, position_of(record))).mappings().one_or_none()
    if row is not None:
        refuse_another(record, row)
    return row


def refuse_another(record: RecordInput, row: RowMapping) -> None:
    """Raise FingerprintMismatch where the row belongs to another record of the same position."""
    if row["fingerprint"] != record.fingerprint:
        raise FingerprintMismatch(
            f"{record.workflow_id}: the ledger holds another record at this position (fingerprint {row['fingerprint']}, this one "
            f"{record.fingerprint}); the topic was re-created or truncated: give it a new RECHARGE_KAFKA__SOURCE"
        )


async def move(connection: LedgerConnection, record: RecordInput, state: State, **columns: Any) -> None:  # noqa: ANN401  # columns of the row
    """Carry out one transition of the table of states, by compare-and-set.

    Raises LedgerContradiction where the row is not in a state that may be followed by `state`: never a repair.
    """
    which = {"moved_id": record.workflow_id, "predecessors": _states_before(state)}
    statement = _MOVE_FINAL if state in FINAL_STATES else _MOVE
    result = await connection.execute(statement, which | columns | {"state": state})
    if result.rowcount != 1:
        raise LedgerContradiction(f"{record.workflow_id}: no transition leads from its state in the ledger to {state}")


def _states_before(state: State) -> list[State]:
    """The states that `state` may follow."""
    return sorted(PREDECESSORS[state])


def cut_reason(value: str | None) -> str | None:
    """A reason that fits its column."""
    return cut(value, limits.REASON_CHARS_MAX)
