"""How an attempt is opened, where that is not the usual way: what is known about a record that is new, and the attempt's row."""

from collections.abc import Sequence

from activities.ledger.connection import LedgerConnection
from activities.ledger.obstacles import claim, find_obstacles
from activities.ledger.reading import AttemptRow, read_decided
from activities.ledger.rows import INSERT_ATTEMPT, read_now, timeout_us
from activities.ledger.usual import Opened
from recharge.contract import RecordInput
from recharge.outcome import State
from recharge.sending import Facts


async def facts_of_new(connection: LedgerConnection, record: RecordInput) -> Facts:
    """What is known about a record whose row was just inserted, in as few questions as that takes."""
    now = await read_now(connection) if record.stale_after_s is not None else None
    # Looked for after the row was inserted: a decision about a record that was not begun is written before the row is looked for.
    decided = await read_decided(connection, record.workflow_id)
    return Facts(State.SENDING, decided=decided, obstacles=await find_obstacles(connection, record, (), now, claim))


def own_opening(rows: Sequence[AttemptRow], token: str) -> Opened | None:
    """The attempt that an earlier try of the same opening wrote, where only the reply to its COMMIT was lost."""
    if not rows or rows[-1].token != token:
        return None
    return Opened(rows[-1].facts.number, token, _after_unknown(rows[:-1]))


async def insert_attempt(
    connection: LedgerConnection, record: RecordInput, token: str, timeout_s: float, before: Sequence[AttemptRow]
) -> Opened:
    """Write down the intention to send, as the attempt after those before it."""
    number = before[-1].facts.number + 1 if before else 1
    attempt = {"workflow_id": record.workflow_id, "number": number, "token": token}
    await connection.execute(INSERT_ATTEMPT, attempt | {"timeout_us": timeout_us(timeout_s)})
    return Opened(number, token, _after_unknown(before))


def _after_unknown(before: Sequence[AttemptRow]) -> bool:
    return any(attempt.facts.is_doubtful for attempt in before)
