"""How many records wait for certainty or for a person, and for how long: what an alarm needs to know."""

from dataclasses import dataclass

from sqlalchemy import func, select, text

from activities.ledger.connection import LedgerConnection
from activities.ledger.counts import StateCounts
from activities.ledger.rows import NOW
from activities.ledger.tables import attempts, recharges
from activities.ledger.trouble import ProviderTrouble
from recharge.outcome import State

WAITING_STATES = (State.IN_DOUBT, State.PENDING, State.HELD, State.RETRYING)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The records of one state: how many, and for how long the oldest has been in it."""

    count: int
    oldest_s: float


class WaitingRecords(ProviderTrouble, StateCounts):
    """The ledger, as the alarms read it."""

    async def by_state(self) -> dict[State, Waiting]:
        """Every waiting state, those without a record included."""

        async def work(connection: LedgerConnection) -> dict[State, Waiting]:
            age_s = func.timestampdiff(text("SECOND"), func.min(recharges.c.updated_at), NOW)
            query = (
                select(recharges.c.state, func.count(), age_s)
                .where(recharges.c.state.in_([state.value for state in WAITING_STATES]))
                .group_by(recharges.c.state)
            )
            found = {
                State(state): Waiting(count, float(age))
                for state, count, age in (await connection.execute(query)).all()
            }
            return {state: found.get(state, Waiting(0, 0.0)) for state in WAITING_STATES}

        return await self.transact(work)

    async def oldest_doubt_s(self) -> float:
        """The age of the oldest attempt of a record that waits for certainty, since its opening: keys and references end by it."""

        async def work(connection: LedgerConnection) -> float:
            query = (
                select(func.timestampdiff(text("SECOND"), func.min(attempts.c.opened_at), NOW))
                .join(recharges, recharges.c.workflow_id == attempts.c.workflow_id)
                .where(recharges.c.state.in_([State.IN_DOUBT, State.PENDING]))
            )
            return float(await connection.scalar(query) or 0.0)

        return await self.transact(work)
