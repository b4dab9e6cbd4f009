"""What the ledger has of records without a row: there must be none, since it is written together with the row."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from activities.ledger.tables import attempts, recharges, request_claims

_PAGE_IDS = 50_000


class Orphans(LedgerEngine):
    """Looks for what has no row, page by page."""

    async def attempts_without_row(
        self, source: str, topic: str, *, since: datetime | None = None
    ) -> AsyncIterator[str]:
        """The workflow ids of attempts whose record has no row; of those opened since a moment of MySQL's time, where one is named."""
        prefix, beyond = f"{source}:{topic}:", f"{source}:{topic};"  # the semicolon follows the colon
        last_id = await self._last_attempt_id()
        first_id = 0 if since is None else await self._last_id_before(since, last_id)
        for first in range(first_id, last_id, _PAGE_IDS):
            page = and_(attempts.c.id > first, attempts.c.id <= min(first + _PAGE_IDS, last_id))
            own = and_(attempts.c.workflow_id >= prefix, attempts.c.workflow_id < beyond)
            query = (
                select(attempts.c.workflow_id)
                .distinct()
                .outerjoin(recharges, recharges.c.workflow_id == attempts.c.workflow_id)
                .where(page, own, recharges.c.id.is_(None))
            )
            for workflow_id in await self._scalars(query):
                yield workflow_id

    async def claims_without_row(self, source: str, topic: str) -> AsyncIterator[str]:
        """The workflow ids of claims whose record has no row. A claim is written in the transaction that writes the row."""
        last, beyond = f"{source}:{topic}:", f"{source}:{topic};"  # the semicolon follows the colon
        while last < beyond:
            own = and_(request_claims.c.workflow_id > last, request_claims.c.workflow_id < beyond)
            following = select(request_claims.c.workflow_id).where(own).order_by(request_claims.c.workflow_id)
            end = next(iter(await self._scalars(following.offset(_PAGE_IDS).limit(1))), beyond)
            query = (
                select(request_claims.c.workflow_id)
                .distinct()
                .outerjoin(recharges, recharges.c.workflow_id == request_claims.c.workflow_id)
                .where(own, request_claims.c.workflow_id <= end, recharges.c.id.is_(None))
            )
            for workflow_id in await self._scalars(query):
                yield workflow_id
            last = end

    async def _last_attempt_id(self) -> int:
        (last,) = await self._scalars(select(func.coalesce(func.max(attempts.c.id), 0)))
        return int(last)

    async def _last_id_before(self, since: datetime, last_id: int) -> int:
        """The number of an attempt that was opened before a moment, found by halves; they are numbered as they are opened."""
        low, high = 0, last_id + 1
        while high - low > 1:
            middle = (low + high) // 2
            opened = select(attempts.c.opened_at).where(attempts.c.id >= middle).order_by(attempts.c.id).limit(1)
            found = await self._scalars(opened)
            if found and found[0] < since:
                low = middle
            else:
                high = middle
        return low

    async def _scalars(self, query: Any) -> list[Any]:  # noqa: ANN401  # any query of one column
        async def work(connection: LedgerConnection) -> list[Any]:
            return list(await connection.scalars(query))

        return await self.transact(work)
