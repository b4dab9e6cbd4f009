"""The ledger as the audit reads it: row by row in the order of the positions, each with all that bears on it, in bounded memory.

Nothing here writes or locks. Each page of rows is read with its attempts, look-ups and decisions in one snapshot, so that what belongs
together was true at one moment.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select

from activities.ledger.audit_page import read_page
from activities.ledger.audited import AuditedRow
from activities.ledger.connection import LedgerConnection
from activities.ledger.gaps import read_accepted
from activities.ledger.orphans import Orphans
from activities.ledger.rows import read_now
from activities.ledger.tables import recharges

_PAGE_ROWS = 2000
_PASSED_OFFSETS = 20_000
"""Offsets that one query passes, where hardly any of their rows are wanted."""
_CONNECTIONS = 2


class AuditReader(Orphans):
    """One audit's view of the ledger. It needs the right to SELECT and no other."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connections_max=_CONNECTIONS)
        # All statements of one transaction see one snapshot, so a row and its attempts never contradict each other by a moment.
        self._pool = self._pool.isolated("REPEATABLE READ")

    async def now(self) -> datetime:
        """MySQL's time, in UTC."""
        return await self.transact(read_now)

    async def partitions(self, source: str, topic: str) -> list[int]:
        """The partitions of which the ledger has a row. Each is looked up behind the one before: DISTINCT reads the index of all rows."""
        found = [-1]
        while True:
            behind = select(recharges.c.partition_id).where(
                recharges.c.source == source, recharges.c.topic == topic, recharges.c.partition_id > found[-1]
            )
            following = await self._scalars(behind.order_by(recharges.c.partition_id).limit(1))
            if not following:
                return found[1:]
            found += following

    async def accepted_gaps(self, source: str, topic: str) -> list[tuple[int, int, int]]:
        """The offsets that a person has accepted as lost: partition, first and last offset, both included."""

        async def work(connection: LedgerConnection) -> list[tuple[int, int, int]]:
            found = await read_accepted(connection, source, topic)
            return [(each.gap.partition, each.gap.first, each.gap.last) for each in found]

        return await self.transact(work)

    async def rows(self, source: str, topic: str, partition: int, *, first: int = 0) -> AsyncIterator[AuditedRow]:
        """Every row of one partition from an offset on, in the order of the offsets. While one page is judged, the next one is read."""

        def reading(behind: int) -> "asyncio.Task[list[AuditedRow]]":
            which = _within(source, topic, partition) & (recharges.c.record_offset > behind)
            return asyncio.create_task(self._read(which, count_max=_PAGE_ROWS))

        following = reading(first - 1)
        try:
            is_last = False
            while not is_last:
                page = await following
                is_last = len(page) < _PAGE_ROWS
                if not is_last:
                    following = reading(page[-1].offset)
                for row in page:
                    yield row
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def rows_open_at(
        self, source: str, topic: str, partition: int, offsets: range, at: datetime
    ) -> AsyncIterator[AuditedRow]:
        """The rows at these offsets that were not final yet at a moment of MySQL's time, in the order of the offsets."""
        was_open = or_(recharges.c.final_at.is_(None), recharges.c.final_at >= at)
        for first in range(offsets.start, offsets.stop, _PASSED_OFFSETS):
            last = min(first + _PASSED_OFFSETS, offsets.stop) - 1
            here = recharges.c.record_offset.between(first, last)
            for row in await self._read(_within(source, topic, partition) & here & was_open, count_max=_PASSED_OFFSETS):
                yield row

    async def first_begun_since(self, source: str, topic: str, partition: int, since: datetime) -> int:
        """An offset before which every record came to the topic before a moment of MySQL's time; by halves, so it costs some 30 look-ups.

        A record is in the topic before its row is begun, and so is every record before it. So one row that was begun before the moment
        speaks for all offsets below it, whatever became of those.
        """
        low, high = -1, await self._end(source, topic, partition)
        while high - low > 1:
            middle = (low + high) // 2
            found = await self._begun(source, topic, partition, range(middle, high))
            if found is not None and found[1] < since:
                low = found[0]
            else:
                high = middle
        return low + 1

    async def _end(self, source: str, topic: str, partition: int) -> int:
        """The offset after the last row's."""
        newest = select(recharges.c.record_offset).where(_within(source, topic, partition))
        return 1 + max(await self._scalars(newest.order_by(recharges.c.record_offset.desc()).limit(1)), default=-1)

    async def _begun(self, source: str, topic: str, partition: int, offsets: range) -> tuple[int, datetime] | None:
        """The first row at these offsets, and when it was begun."""

        async def work(connection: LedgerConnection) -> tuple[int, datetime] | None:
            here = recharges.c.record_offset.between(offsets.start, offsets.stop - 1)
            query = select(recharges.c.record_offset, recharges.c.created_at).where(
                _within(source, topic, partition), here
            )
            row = (await connection.execute(query.order_by(recharges.c.record_offset).limit(1))).one_or_none()
            return None if row is None else (row[0], row[1])

        return await self.transact(work)

    async def rows_at(self, source: str, topic: str, partition: int, offsets: Collection[int]) -> list[AuditedRow]:
        """The rows at these offsets, as they stand now."""
        if not offsets:
            return []
        which = _within(source, topic, partition) & recharges.c.record_offset.in_(sorted(offsets))
        return await self._read(which, count_max=len(offsets))

    async def _read(self, which: ColumnElement[bool], *, count_max: int) -> list[AuditedRow]:
        return await self.transact(lambda connection: read_page(connection, which, count_max=count_max))


def _within(source: str, topic: str, partition: int) -> ColumnElement[bool]:
    return and_(recharges.c.source == source, recharges.c.topic == topic, recharges.c.partition_id == partition)
