"""What the ledger tells people: one record's whole story, what waits for a person, and how many are in each state.

Nothing here writes or locks, so looking never gets into the way of a recharge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from sqlalchemy import RowMapping, Table, and_, func, or_, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.counts import StateCounts
from activities.ledger.decisions import Decisions
from activities.ledger.obstacles import SEEN_TWIN
from activities.ledger.reading import newest_decision
from activities.ledger.rows import read_now
from activities.ledger.tables import attempts, lookups, recharges
from activities.ledger.trouble import ProviderTrouble
from activities.ledger.whole import Whole, read_wholes
from recharge.outcome import FINAL_STATES, Action, State, Verdict

WAITS_FOR_A_PERSON = (State.IN_DOUBT, State.PENDING, State.HELD)
"""The states in which only certainty or a person's decision goes on."""

_OPEN_STATES = tuple(state.value for state in State if state not in FINAL_STATES)


@dataclass(frozen=True, slots=True)
class Story(Whole):
    """One record as it stands now, and among others."""

    twin: str | None
    """A record of another source with the same content, for which this one is held."""
    first_open_offset: int | None
    """The lowest offset of the record's partition that is not final, as far as its records have been started."""
    now: datetime

    @property
    def state(self) -> State:
        """The record's state."""
        return State(self.record["state"])


@dataclass(frozen=True, slots=True)
class Waiting:
    """One record that waits for certainty or for a person."""

    workflow_id: str
    state: State
    reason: str
    """Why it waits."""
    call_said: str | None
    """What became of its newest call, in the provider's words where there are any."""
    lookup_said: str | None
    """What the provider said to its newest look-up; None where none was answered."""
    operation_type: str | None
    donor: str | None
    receiver: str | None
    amount: Decimal | None
    currency: str | None
    created_at: datetime
    waits_since: datetime
    waits_s: float

    @property
    def last_said(self) -> str | None:
        """What the provider last said about it, to a look-up or to the call."""
        return self.call_said if self.lookup_said is None else self.lookup_said


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one record stands, how long ago it was started, and how long ago it was final, where it is."""

    state: State
    age_s: float
    final_s: float | None = None


class Reports(ProviderTrouble, StateCounts):
    """The ledger, as people read it."""

    async def story(self, workflow_id: str) -> Story | None:
        """Everything about one record, or None where the ledger has none of this id."""

        async def work(connection: LedgerConnection) -> Story | None:
            query = select(recharges).where(recharges.c.workflow_id == workflow_id)
            record = (await connection.execute(query)).mappings().one_or_none()
            if record is None:
                return None
            (whole,) = await read_wholes(connection, [record])
            return Story(
                whole.record,
                whole.attempts,
                whole.lookups,
                whole.decisions,
                twin=await _twin(connection, record),
                first_open_offset=await _first_open_offset(connection, record),
                now=await read_now(connection),
            )

        return await self.transact(work)

    async def waiting(self, *, count_max: int) -> list[Waiting]:
        """What waits for a person, that which has waited longest first, at most `count_max` of them."""

        async def work(connection: LedgerConnection) -> list[Waiting]:
            query = (
                select(recharges)
                .where(recharges.c.state.in_([state.value for state in WAITS_FOR_A_PERSON]))
                .order_by(recharges.c.updated_at, recharges.c.id)
                .limit(count_max)
            )
            rows = (await connection.execute(query)).mappings().all()
            now = await read_now(connection)
            return [await _waiting(connection, row, now) for row in rows]

        return await self.transact(work)

    async def standing_at(self, source: str, topic: str, offsets: Mapping[int, int]) -> dict[int, Standing]:
        """Where the record at one offset of each partition stands, for those that the ledger has."""
        if not offsets:
            return {}

        async def work(connection: LedgerConnection) -> dict[int, Standing]:
            at = [
                and_(recharges.c.partition_id == partition, recharges.c.record_offset == offset)
                for partition, offset in offsets.items()
            ]
            columns = (recharges.c.partition_id, recharges.c.state, recharges.c.created_at, recharges.c.final_at)
            query = select(*columns).where(recharges.c.source == source, recharges.c.topic == topic, or_(*at))
            rows = (await connection.execute(query)).all()
            now = await read_now(connection)
            return {
                partition: Standing(
                    State(state),
                    (now - created_at).total_seconds(),
                    None if final_at is None else (now - final_at).total_seconds(),
                )
                for partition, state, created_at, final_at in rows
            }

        return await self.transact(work)

    async def final_distances(self, source: str, topic: str, commit_offsets: Mapping[int, int]) -> dict[int, int]:
        """For each partition, how many offsets lie between its commit offset and its highest final record; 0 where none is beyond it."""

        async def work(connection: LedgerConnection) -> dict[int, int]:
            distances: dict[int, int] = {}
            for partition, offset in commit_offsets.items():
                # The highest started records are read from the end of an index, and nearly all of them are final.
                query = (
                    select(recharges.c.record_offset)
                    .where(
                        recharges.c.source == source,
                        recharges.c.topic == topic,
                        recharges.c.partition_id == partition,
                        recharges.c.record_offset > offset,
                        recharges.c.state.in_([state.value for state in FINAL_STATES]),
                    )
                    .order_by(recharges.c.record_offset.desc())
                    .limit(1)
                )
                highest = await connection.scalar(query)
                distances[partition] = 0 if highest is None else highest - offset
            return distances

        return await self.transact(work)


class OperatorLedger(Decisions, Reports):
    """The ledger as a person's commands use it: one pool for what they read and what they decide."""


async def _twin(connection: LedgerConnection, record: RowMapping) -> str | None:
    which = {"same_digest": record["content_digest"], "own_source": record["source"]}
    twin: str | None = await connection.scalar(SEEN_TWIN, which)
    return twin


async def _first_open_offset(connection: LedgerConnection, record: RowMapping) -> int | None:
    # Few records are open at any time, so this is quick by the index over states however large the ledger is.
    query = select(func.min(recharges.c.record_offset)).where(
        recharges.c.source == record["source"],
        recharges.c.topic == record["topic"],
        recharges.c.partition_id == record["partition_id"],
        recharges.c.state.in_(_OPEN_STATES),
    )
    offset: int | None = await connection.scalar(query)
    return offset


async def _waiting(connection: LedgerConnection, row: RowMapping, now: datetime) -> Waiting:
    workflow_id = row["workflow_id"]
    attempt = await _newest(connection, attempts, workflow_id)
    lookup = await _newest(connection, lookups, workflow_id)
    return Waiting(
        workflow_id=workflow_id,
        state=State(row["state"]),
        reason=await _reason(connection, row, attempt),
        call_said=None if attempt is None else attempt["error"],
        lookup_said=None if lookup is None else lookup["said"],
        operation_type=row["operation_type"],
        donor=row["account_donor"],
        receiver=row["account_receiver"],
        amount=row["amount"],
        currency=row["currency"],
        created_at=row["created_at"],
        waits_since=row["updated_at"],
        waits_s=(now - row["updated_at"]).total_seconds(),
    )


async def _newest(connection: LedgerConnection, table: Table, workflow_id: str) -> RowMapping | None:
    query = select(table).where(table.c.workflow_id == workflow_id).order_by(table.c.id.desc()).limit(1)
    return (await connection.execute(query)).mappings().one_or_none()


async def _reason(connection: LedgerConnection, row: RowMapping, attempt: RowMapping | None) -> str:
    """Why a record waits, from the rows alone."""
    query = newest_decision(row["workflow_id"])
    action = (await connection.execute(query)).mappings().one_or_none()
    if action is not None and _is_not_applied(action, row, attempt):
        told = f"{action['action']}, by {action['decided_by']}: {action['note']}"
        return f"it is decided ({told}), and no worker has taken that yet"
    if row["state"] == State.HELD:
        return await _why_held(connection, row, action)
    if attempt is None:
        return "no attempt was recorded"
    if row["state"] == State.PENDING:
        return f"attempt {attempt['number']} was accepted and has no final answer yet"
    return f"nobody knows whether attempt {attempt['number']} was carried out"


def _is_not_applied(action: RowMapping, row: RowMapping, attempt: RowMapping | None) -> bool:
    """Tell whether a decision stands whose effect the record does not show yet."""
    match Action(action["action"]):
        case Action.HOLD:
            return False
        case Action.SKIP | Action.CHARGED:
            return True
        case Action.NOT_CHARGED:
            is_judged: bool = attempt is not None and attempt["verdict"] == Verdict.NOT_CHARGED
            return is_judged or bool(row["state"] == State.HELD)
        case unknown:
            assert_never(unknown)


async def _why_held(connection: LedgerConnection, row: RowMapping, action: RowMapping | None) -> str:
    if action is not None and action["action"] == Action.HOLD:
        return f"on hold by {action['decided_by']}: {action['note']}"
    twin = await _twin(connection, row)
    if twin is not None:
        return f"the same content stands in the ledger as {twin}, under another source"
    return row["reason"] or "held before it was sent"
