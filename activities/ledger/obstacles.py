"""Why a record may not be sent although nobody ever sent it: it repeats another one, or it is stale.

A record that was sent already is past these questions: its attempts speak.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects import mysql

from activities.ledger.connection import LedgerConnection
from activities.ledger.rows import NOW
from activities.ledger.tables import attempts, recharges, request_claims
from recharge.contract import DuplicateRequests, RecordInput
from recharge.late_evidence import is_late_charge
from recharge.outcome import Outcome, State, Verdict, is_retried
from recharge.privacy import phone_digits
from recharge.sending import AttemptFacts, Obstacle, ObstacleKind, frees_its_claim

OwnerOf = Callable[[LedgerConnection, RecordInput], Awaitable[str | None]]
"""Tells who else owns what a record claims."""

CLAIM = insert(request_claims).values(claimed_at=NOW)
# A plain insert that is refused leaves a shared lock behind, and of several such at once each would wait for the others to lock it alone.
_CLAIM_OR_LOCK = (
    mysql.insert(request_claims).values(claimed_at=NOW).on_duplicate_key_update(claim=request_claims.c.claim)
)
SEEN_TWIN = (
    select(recharges.c.workflow_id)
    .where(recharges.c.content_digest == bindparam("same_digest"), recharges.c.source != bindparam("own_source"))
    .limit(1)
)
# By an index of both columns, which leads past all that has the same content under the record's own source: to lock each of those would
# let such records that come at once wait for each other, and look at all that ever came. Hence the hint, and no order but the index's.
TWIN = SEEN_TWIN.with_hint(recharges, "FORCE INDEX (ix_recharges_content)", "mysql").with_for_update(read=True)


def claims_of(record: RecordInput) -> list[str]:
    """What the record claims for itself: its requestId with both numbers, and the record that it repeats by an operator's wish."""
    wanted = record.transfer
    texts = []
    if wanted is not None and wanted.request_id and record.duplicate_requests is not DuplicateRequests.ALLOW:
        numbers = (phone_digits(wanted.donor), phone_digits(wanted.receiver))
        texts.append("\0".join(("request", wanted.request_id, *numbers)))
    if record.redrive_of is not None:
        texts.append(f"redrive\0{record.redrive_of}")
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


async def claim(connection: LedgerConnection, record: RecordInput) -> str | None:
    """Claim what the record claims, in the transaction that would open its first attempt, and return another owner where there is one.

    A claim whose owner ended without anything carried out is taken over.
    """
    for claimed in claims_of(record):
        await connection.execute(_CLAIM_OR_LOCK, {"claim": claimed, "workflow_id": record.workflow_id})
        owner = await _owner(connection, claimed)
        if owner not in {None, record.workflow_id} and not await _taken_over(connection, claimed, owner, record):
            return owner
    return None


async def _taken_over(connection: LedgerConnection, claimed: str, owner: str, record: RecordInput) -> bool:
    """Take a claim from an owner that ended without effect; False where it did not."""
    if not await _ended_without_effect(connection, owner):
        return False
    which = (request_claims.c.claim == claimed, request_claims.c.workflow_id == owner)
    await connection.execute(
        update(request_claims).where(*which).values(workflow_id=record.workflow_id, claimed_at=NOW)
    )
    return True


async def other_owner(connection: LedgerConnection, record: RecordInput) -> str | None:
    """The record that owns what this one claims, where that is another one from which it could not be taken over."""
    for claimed in claims_of(record):
        owner = await _owner(connection, claimed)
        if owner not in {None, record.workflow_id} and not await _ended_without_effect(connection, owner):
            return owner
    return None


async def _owner(connection: LedgerConnection, claimed: str) -> str | None:
    query = select(request_claims.c.workflow_id).where(request_claims.c.claim == claimed).with_for_update()
    owner: str | None = await connection.scalar(query)
    return owner


async def _ended_without_effect(connection: LedgerConnection, workflow_id: str) -> bool:
    """Tell whether a record ended and surely carried nothing out."""
    state = await connection.scalar(
        select(recharges.c.state).where(recharges.c.workflow_id == workflow_id).with_for_update(read=True)
    )
    if state is None:
        return False
    columns = (attempts.c.number, attempts.c.outcome, attempts.c.verdict, attempts.c.late_outcome)
    rows = (await connection.execute(select(*columns).where(attempts.c.workflow_id == workflow_id))).all()
    facts = [
        AttemptFacts(
            number, outcome and Outcome(outcome), verdict and Verdict(verdict), late_charge=is_late_charge(late)
        )
        for number, outcome, verdict, late in rows
    ]
    return frees_its_claim(State(state), facts)


async def find_obstacles(
    connection: LedgerConnection,
    record: RecordInput,
    facts: Sequence[AttemptFacts],
    now: datetime | None,
    owner_of: OwnerOf,
) -> list[Obstacle]:
    """What stands in the way of a record's first sending, or of a further one that has become stale.

    `owner_of` claims what the record claims, or only asks, and tells who else owns it.
    """
    found = []
    if not facts:
        # What the old source had done must not be done again: so this comes first. It also waits for others that have just begun, who
        # may wait for the claim: so nobody may hold that meanwhile.
        twin = await _twin(connection, record)
        owner = await owner_of(connection, record)
        if twin is not None:
            said = f"the same content stands in the ledger as {twin}, under another source"
            found.append(Obstacle(ObstacleKind.TWIN, State.HELD, said))
        # That it repeats the request of a twin is no news. Whoever lets the twin pass has decided about that request as well.
        if owner is not None and (twin is None or not await _is_twin(connection, record, owner)):
            state = State.HELD if record.duplicate_requests is DuplicateRequests.HOLD else State.REJECTED
            said = f"duplicate of {owner}: the same request was made there"
            found.append(Obstacle(ObstacleKind.DUPLICATE, state, said))
    if all(attempt.outcome is not None and is_retried(attempt.outcome) for attempt in facts):
        old = stale(record, now)
        if old is not None:
            found.append(old)
    return found


async def _twin(connection: LedgerConnection, record: RecordInput) -> str | None:
    """A record of another source with the same key and value. Our own row stands already, so that of two at once one sees the other."""
    which = {"same_digest": record.content_digest, "own_source": record.source}
    twin: str | None = await connection.scalar(TWIN, which)
    return twin


async def _is_twin(connection: LedgerConnection, record: RecordInput, workflow_id: str) -> bool:
    """Tell whether this other record is one that `_twin` could have found."""
    query = select(recharges.c.content_digest, recharges.c.source).where(recharges.c.workflow_id == workflow_id)
    row = (await connection.execute(query.with_for_update(read=True))).one_or_none()
    return row is not None and row.content_digest == record.content_digest and row.source != record.source


def stale(record: RecordInput, now: datetime | None) -> Obstacle | None:
    """What stands in the way of a record that is older than it may be when it is sent."""
    if record.stale_after_s is None or record.timestamp_ms < 0 or now is None:
        return None
    age_s = now.replace(tzinfo=UTC).timestamp() - record.timestamp_ms / 1000
    if age_s <= record.stale_after_s:
        return None
    return Obstacle(
        ObstacleKind.STALE,
        State.HELD,
        f"stale: the record is {age_s:.0f} s old, more than the {record.stale_after_s:.0f} s that are allowed",
    )
