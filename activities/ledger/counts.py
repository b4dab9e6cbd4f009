"""How many records are in each state, also where there are a billion of them.

The few open ones are counted by an index. The final ones are counted once: a final record stays as it is, so a total up to some time stays
true, and only what became final after that time is counted anew.
"""

from datetime import datetime, timedelta

from sqlalchemy import Select, and_, func, literal, or_, select, text, union_all, update

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from activities.ledger.tables import final_counts, recharges
from recharge import limits
from recharge.outcome import FINAL_STATES, State

_FINAL = sorted(state.value for state in FINAL_STATES)
_OPEN = sorted(state.value for state in State if state not in FINAL_STATES)
# A record's row is written last when it becomes final, so `updated_at` is the time of that, and the index over states has it.
_SINCE = recharges.c.updated_at
_COUNTED_TO = select(final_counts.c.counted_to).where(final_counts.c.the_only_row == 1).scalar_subquery()
_SETTLED = text(f"UTC_TIMESTAMP(6) - INTERVAL {limits.FINAL_COUNT_MARGIN_S} SECOND")


class StateCounts(LedgerEngine):
    """The ledger, counted."""

    async def counts(self) -> dict[State, int]:
        """How many records of the whole ledger are in each state, those states included that have none."""
        # One statement, and so one view of the ledger: between two of them the total might have been moved on.
        query = union_all(_counted_now(), *(_counted_before(state) for state in _FINAL))

        async def work(connection: LedgerConnection) -> dict[State, int]:
            found = dict.fromkeys(State, 0)
            for state, count in (await connection.execute(query)).all():
                found[State(state)] += int(count)
            return found

        return await self.transact(work)

    async def count_final(self) -> bool:
        """Add the records that became final in the next hour to the total; True where there are more to be added.

        Only what is older than FINAL_COUNT_MARGIN_S is added: a transaction that began before has ended by then.
        """

        async def work(connection: LedgerConnection) -> bool:
            locked = select(final_counts).where(final_counts.c.the_only_row == 1).with_for_update()
            total = (await connection.execute(locked)).mappings().one()
            settled: datetime = (await connection.execute(select(_SETTLED))).scalar_one()
            first = await connection.scalar(_first_final(total["counted_to"]))
            if first is None or first >= settled:
                return False
            to: datetime = min(first + timedelta(seconds=limits.FINAL_COUNT_STEP_S), settled)
            query = (
                select(recharges.c.state, func.count())
                .where(recharges.c.state.in_(_FINAL), total["counted_to"] <= _SINCE, to > _SINCE)
                .group_by(recharges.c.state)
            )
            more = {state: total[state] + count for state, count in (await connection.execute(query)).all()}
            await connection.execute(
                update(final_counts).where(final_counts.c.the_only_row == 1).values(counted_to=to, **more)
            )
            return to < settled

        return await self.transact(work)


def _counted_now() -> Select[str, int]:
    return (
        select(recharges.c.state, func.count().label("records"))
        .where(
            or_(
                recharges.c.state.in_(_OPEN),
                and_(recharges.c.state.in_(_FINAL), _SINCE >= _COUNTED_TO),
            )
        )
        .group_by(recharges.c.state)
    )


def _counted_before(state: str) -> Select[str, int]:
    return select(literal(state), final_counts.c[state]).where(final_counts.c.the_only_row == 1)


def _first_final(counted_to: datetime) -> Select[datetime | None]:
    """When the next record became final: the earliest over the states, each read from the start of its part of the index."""
    each = union_all(
        *(
            select(func.min(_SINCE).label("first")).where(recharges.c.state == state, counted_to <= _SINCE)
            for state in _FINAL
        )
    ).subquery()
    return select(func.min(each.c.first))
