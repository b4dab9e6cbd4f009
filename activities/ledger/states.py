"""How a record's row follows what was found about it: its open state, a hold, and the final state. All under the lock of that row."""

from activities.ledger.connection import LedgerConnection
from activities.ledger.decisions import Wish, insert_action
from activities.ledger.errors import LedgerContradiction
from activities.ledger.reading import Known, obstacle_token, read_known
from activities.ledger.rows import cut_reason, insert_row, lock_row, move, new_row
from recharge.contract import THE_SERVICE, Finding, RechargeResult, RecordInput
from recharge.outcome import FINAL_STATES, Action, ResolvedBy, State
from recharge.sending import Facts, unreleased_obstacle


async def known_of(connection: LedgerConnection, record: RecordInput) -> Known:
    """Lock and read what is known of a record that was worked on. Raises LedgerContradiction where it has no row."""
    known = await read_known(connection, record)
    if known is None:
        raise LedgerContradiction(
            f"{record.workflow_id}: it has no row in the ledger although it was worked on; rows are never deleted"
        )
    return known


async def follow(connection: LedgerConnection, record: RecordInput, facts: Facts, finding: Finding) -> None:
    """Let the open state follow what was found. A hold stays, and a final state is for `record_result` alone to write."""
    if finding.state is State.HELD:
        await hold(connection, record, facts, finding)
    elif finding.state not in FINAL_STATES and facts.state not in FINAL_STATES | {State.HELD, finding.state}:
        await move(connection, record, finding.state)


async def hold(connection: LedgerConnection, record: RecordInput, facts: Facts, finding: Finding) -> None:
    """Hold the record. Where an obstacle does it, that is a hold of its own, so that a person who decides has seen this very obstacle."""
    obstacle = unreleased_obstacle(facts)
    if obstacle is not None:
        shown = Wish(record.workflow_id, Action.HOLD, THE_SERVICE, obstacle.said)
        await insert_action(connection, shown, token=obstacle_token(obstacle.kind))
    if obstacle is not None or facts.state is not State.HELD:
        await move(connection, record, State.HELD, reason=cut_reason(finding.said))


async def record_invalid(connection: LedgerConnection, record: RecordInput, finding: Finding) -> RechargeResult:
    """Write the one row of a record that cannot be carried out. Raises LedgerContradiction where another row stands there."""
    reason = cut_reason(record.invalid_reason or finding.said)
    row = new_row(record, State.INVALID) | {"reason": reason, "resolved_by": ResolvedBy.INTAKE}
    if not await insert_row(connection, row):
        known = await lock_row(connection, record)
        if known is None or State(known["state"]) is not State.INVALID:
            raise LedgerContradiction(
                f"{record.workflow_id}: it is invalid, but the ledger has it as {known and known['state']}"
            )
    return RechargeResult(State.INVALID, record.fingerprint, reason)


async def finalise(connection: LedgerConnection, record: RecordInput, judged: Finding) -> None:
    """Write the final state, with what made it final."""
    await move(
        connection,
        record,
        judged.state,
        provider_reference=judged.provider_reference,
        reason=cut_reason(judged.reason),
        status=judged.status,
        resolved_by=judged.resolved_by,
    )
