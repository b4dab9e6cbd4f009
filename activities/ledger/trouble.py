"""How many records the provider carries nothing out for: a dead provider and an expired token show in many records, not in one."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from activities.ledger.tables import attempts, recharges
from recharge.outcome import Outcome, State, is_retried

RETRIED_OUTCOMES = tuple(outcome for outcome in Outcome if is_retried(outcome))

_BETWEEN_OR_IN_A_TRY = (State.RETRYING.value, State.SENDING.value)
"""A record whose next try is under way is `sending`. A provider that takes half a minute to refuse a connection keeps it there."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Records whose newest answered attempt ended alike, and is tried again."""

    outcome: Outcome
    status: int | None
    records: int
    newest: str
    """What was said about the newest of these attempts."""


class ProviderTrouble(LedgerEngine):
    """The ledger, as it speaks of the provider."""

    async def provider_trouble(self) -> Sequence[Trouble]:
        """The records that are being retried, by outcome and status of their newest answered attempt, those of most records first."""
        newest = (
            select(func.max(attempts.c.id).label("id"))
            .join(recharges, recharges.c.workflow_id == attempts.c.workflow_id)
            .where(recharges.c.state.in_(_BETWEEN_OR_IN_A_TRY), attempts.c.outcome.is_not(None))
            .group_by(attempts.c.workflow_id)
            .subquery()
        )
        last = func.max(attempts.c.id).label("last_id")
        groups = (
            select(attempts.c.outcome, attempts.c.status, func.count().label("records"), last)
            .join(newest, newest.c.id == attempts.c.id)
            .where(attempts.c.outcome.in_([outcome.value for outcome in RETRIED_OUTCOMES]))
            .group_by(attempts.c.outcome, attempts.c.status)
            .subquery()
        )
        query = (
            select(groups.c.outcome, groups.c.status, groups.c.records, attempts.c.error)
            .join(attempts, attempts.c.id == groups.c.last_id)
            .order_by(groups.c.records.desc(), groups.c.outcome)
        )

        async def work(connection: LedgerConnection) -> Sequence[Trouble]:
            rows = (await connection.execute(query)).all()
            return [Trouble(Outcome(outcome), status, records, error or "") for outcome, status, records, error in rows]

        return await self.transact(work)
