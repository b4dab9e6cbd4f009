"""Offsets that an operator gave up: Kafka deleted their records before they were carried out, and somebody said that this is known."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, func, insert, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from activities.ledger.rows import NOW, cut, cut_reason
from activities.ledger.tables import accepted_gaps, recharges
from recharge import limits
from recharge.outcome import FINAL_STATES, State


@dataclass(frozen=True, slots=True)
class Gap:
    """Neighbouring offsets of one partition, the first and the last included."""

    source: str
    topic: str
    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.partition}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class AcceptedGap:
    """A gap with who accepted it, when (MySQL's time, in UTC) and why."""

    gap: Gap
    by: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenInGap:
    """Records in a gap that the ledger has and that are not final: the first of them, and how many there are."""

    workflow_id: str
    state: State
    count: int


class Gaps(LedgerEngine):
    """The ledger, as it knows what was lost."""

    async def accepted(self, source: str, topic: str) -> Sequence[AcceptedGap]:
        """The gaps that were accepted, in the order of partition and offset. They may overlap."""

        async def work(connection: LedgerConnection) -> Sequence[AcceptedGap]:
            return await read_accepted(connection, source, topic)

        return await self.transact(work)

    async def accept(self, gap: Gap, *, by: str, note: str) -> OpenInGap | AcceptedGap | None:
        """Write down that these offsets are lost.

        Returns:
            What stands against it, and then nothing is written: a record in the gap that is open, or the same gap accepted before. None
            where it is written.
        """
        token = secrets.token_hex(16)

        async def work(connection: LedgerConnection) -> OpenInGap | AcceptedGap | None:
            before = await _accepted_before(connection, gap)
            if before is not None:
                # Our own row is there where only the reply to its COMMIT was lost.
                return None if before["token"] == token else _accepted(gap, before)
            found = await _open_in(connection, gap)
            if found is None:
                await connection.execute(
                    insert(accepted_gaps).values(
                        source=gap.source,
                        topic=gap.topic,
                        partition_id=gap.partition,
                        first_offset=gap.first,
                        last_offset=gap.last,
                        accepted_by=cut(by, limits.NAME_CHARS_MAX),
                        note=cut_reason(note),
                        accepted_at=NOW,
                        token=token,
                    )
                )
            return found

        return await self.transact(work)


async def read_accepted(connection: LedgerConnection, source: str, topic: str) -> Sequence[AcceptedGap]:
    """The gaps that were accepted, in the order of partition and offset."""
    query = (
        select(accepted_gaps)
        .where(accepted_gaps.c.source == source, accepted_gaps.c.topic == topic)
        .order_by(accepted_gaps.c.partition_id, accepted_gaps.c.first_offset, accepted_gaps.c.id)
    )
    return [
        _accepted(Gap(source, topic, row["partition_id"], row["first_offset"], row["last_offset"]), row)
        for row in (await connection.execute(query)).mappings()
    ]


async def _accepted_before(connection: LedgerConnection, gap: Gap) -> RowMapping | None:
    query = select(accepted_gaps).where(
        accepted_gaps.c.source == gap.source,
        accepted_gaps.c.topic == gap.topic,
        accepted_gaps.c.partition_id == gap.partition,
        accepted_gaps.c.first_offset == gap.first,
        accepted_gaps.c.last_offset == gap.last,
    )
    return (await connection.execute(query)).mappings().one_or_none()


def _accepted(gap: Gap, row: RowMapping) -> AcceptedGap:
    return AcceptedGap(gap, row["accepted_by"], row["note"], row["accepted_at"])


async def _open_in(connection: LedgerConnection, gap: Gap) -> OpenInGap | None:
    open_in_gap = (
        recharges.c.source == gap.source,
        recharges.c.topic == gap.topic,
        recharges.c.partition_id == gap.partition,
        recharges.c.record_offset.between(gap.first, gap.last),
        recharges.c.state.not_in([state.value for state in FINAL_STATES]),
    )
    first = (
        select(recharges.c.workflow_id, recharges.c.state)
        .where(*open_in_gap)
        .order_by(recharges.c.record_offset)
        .limit(1)
    )
    row = (await connection.execute(first)).one_or_none()
    if row is None:
        return None
    count = await connection.scalar(select(func.count()).where(*open_in_gap))
    return OpenInGap(row.workflow_id, State(row.state), int(count or 0))
