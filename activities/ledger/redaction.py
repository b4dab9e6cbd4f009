"""Numbers and bytes of records that have been final for long are blanked. What proves the promises stays: position, fingerprint, content
digest, amount, state, attempts and decisions.

A run works through the records in small transactions, in the order in which they became final, by MySQL's clock. It may be interrupted
at any point and run again: what is blanked stays so, and a run that ended says from where the next has to look. Where a run archives, what
it is about to blank is kept elsewhere first, and what attempts and look-ups say beyond their outcome is blanked besides.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, text, tuple_, update

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from activities.ledger.rows import NOW, cut, cut_reason
from activities.ledger.tables import attempts, lookups, recharges, redactions
from activities.ledger.whole import Whole, read_wholes
from recharge import limits
from recharge.outcome import FINAL_STATES, State

_BLANKED = dict.fromkeys(("account_donor", "account_receiver", "raw_key", "raw_value"))
_SAID_BLANKED = "blanked"
"""In place of what a look-up said, a column that cannot be null. Nothing is decided by it: the answer and its status stay."""


@dataclass(frozen=True, slots=True)
class Span:
    """The records that a run is about: final before `until`, and not before `since`, since an earlier run has seen to those."""

    since: datetime | None
    until: datetime


Keep = Callable[[Sequence[Whole]], None]
"""Keeps records where they outlive this process and this machine's power. Its return means that they do; a run that is begun
again may give it a record a second time."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One run that blanks."""

    token: str
    keep: Keep | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run stands among the records of one state."""

    at: datetime
    id: int


class Redactions(LedgerEngine):
    """The ledger, as it forgets."""

    async def span(self, older_than_days: int) -> Span:
        """What a run would be about now, in MySQL's time."""

        async def work(connection: LedgerConnection) -> Span:
            until: datetime = await connection.scalar(
                select(func.date_sub(NOW, text(f"INTERVAL {older_than_days:d} DAY")))  # a checked whole number
            )
            since = await connection.scalar(
                select(func.max(redactions.c.final_before)).where(redactions.c.ended_at.is_not(None))
            )
            return Span(since, until)

        return await self.transact(work)

    async def count(self, span: Span) -> AsyncIterator[int]:
        """How many records a run would blank, part by part. Nothing is changed."""
        async for found, _ in self._parts(span, None):
            yield found

    async def run(self, span: Span, *, by: str, note: str, keep: Keep | None = None) -> AsyncIterator[int]:
        """Write down who and why, then blank the records part by part, and yield how many each part had.

        Args:
            span: the records it is about.
            by: who wants it.
            note: why.
            keep: is given the records of a part before that part is blanked.

        Raises:
            Exception: what `keep` raises; what it did not keep is not blanked.
        """
        run = _Run(secrets.token_hex(16), keep)
        await self.transact(lambda connection: _begin(connection, span, run.token, by=by, note=note))
        async for blanked, _ in self._parts(span, run):
            yield blanked
        ended = update(redactions).where(redactions.c.token == run.token).values(ended_at=NOW)
        await self.transact(lambda connection: connection.execute(ended))

    async def _parts(self, span: Span, run: _Run | None) -> AsyncIterator[tuple[int, _Place]]:
        for state in sorted(FINAL_STATES):
            place: _Place | None = None
            while (part := await self._part(span, state, place, run)) is not None:
                yield part
                place = part[1]

    async def _part(
        self, span: Span, state: State, place: _Place | None, run: _Run | None
    ) -> tuple[int, _Place] | None:
        count = limits.REDACTED_AT_A_TIME if run is None or run.keep is None else limits.ARCHIVED_AT_A_TIME

        async def work(connection: LedgerConnection) -> tuple[int, _Place] | None:
            # `updated_at` of a final record is when it became final, and is what the index has.
            query = select(recharges.c.id, recharges.c.updated_at, recharges.c.redacted_at).where(
                recharges.c.state == state.value, recharges.c.updated_at < span.until
            )
            if span.since is not None:
                query = query.where(recharges.c.updated_at >= span.since)
            if place is not None:
                query = query.where(
                    recharges.c.updated_at >= place.at,
                    tuple_(recharges.c.updated_at, recharges.c.id) > tuple_(place.at, place.id),
                )
            query = query.order_by(recharges.c.updated_at, recharges.c.id).limit(count)
            rows = (await connection.execute(query)).all()
            if not rows:
                return None
            ids = [row.id for row in rows if row.redacted_at is None]
            if run is not None and ids:
                await _blank(connection, ids, state, run)
            return len(ids), _Place(rows[-1].updated_at, rows[-1].id)

        return await self.transact(work)


async def _begin(connection: LedgerConnection, span: Span, token: str, *, by: str, note: str) -> None:
    # Our own row is there where only the reply to its COMMIT was lost.
    if await connection.scalar(select(redactions.c.id).where(redactions.c.token == token)) is None:
        await connection.execute(
            insert(redactions).values(
                final_before=span.until,
                redacted_by=cut(by, limits.NAME_CHARS_MAX),
                note=cut_reason(note),
                began_at=NOW,
                records=0,
                token=token,
            )
        )


async def _blank(connection: LedgerConnection, ids: list[int], state: State, run: _Run) -> None:
    if run.keep is not None:
        await _archive(connection, ids, run.keep)
    await connection.execute(
        update(recharges)
        .where(recharges.c.id.in_(ids), recharges.c.state == state.value, recharges.c.redacted_at.is_(None))
        .values(**_BLANKED, redacted_at=NOW)
    )
    await connection.execute(
        update(redactions).where(redactions.c.token == run.token).values(records=redactions.c.records + len(ids))
    )


async def _archive(connection: LedgerConnection, ids: list[int], keep: Keep) -> None:
    """Keep the records, locked meanwhile, then blank what their attempts and look-ups say beyond outcome, answer and status."""
    query = select(recharges).where(recharges.c.id.in_(ids), recharges.c.redacted_at.is_(None))
    records = (await connection.execute(query.order_by(recharges.c.id).with_for_update())).mappings().all()
    keep(await read_wholes(connection, records))
    workflow_ids = [record["workflow_id"] for record in records]
    await connection.execute(
        update(attempts)
        .where(attempts.c.workflow_id.in_(workflow_ids), attempts.c.error.is_not(None))
        .values(error=None)
    )
    await connection.execute(update(lookups).where(lookups.c.workflow_id.in_(workflow_ids)).values(said=_SAID_BLANKED))
