"""The ledger as the audit reads it: row by row in the order of the positions, each with all that bears on it, in bounded memory.

Nothing here writes or locks. Each page of rows is read with its attempts, look-ups and decisions in one snapshot, so that what belongs
together was true at one moment.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, case, func, literal, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.ledger.audited import AuditedAction, AuditedAttempt, AuditedLookup, AuditedRow
from activities.ledger.errors import LedgerContradiction
from activities.ledger.gaps import read_accepted
from activities.ledger.orphans import Orphans
from activities.ledger.rows import read_now
from activities.ledger.tables import attempts, lookups, operator_actions, recharges, request_claims
from recharge import limits
from recharge.contract import Ordering
from recharge.outcome import Outcome, State, Verdict

_PAGE_ROWS = 2000
_PASSED_OFFSETS = 20_000
"""Offsets that one query passes, where hardly any of their rows are wanted."""
_CONNECTIONS = 2
_KEY_DIGEST_CHARS = 32
_DECODER = json.JSONDecoder(parse_float=Decimal)


class AuditReader(Orphans):
    """One audit's view of the ledger. It needs the right to SELECT and no other."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connections_max=_CONNECTIONS)
        # All statements of one transaction see one snapshot, so a row and its attempts never contradict each other by a moment.
        self._engine = self._engine.execution_options(isolation_level="REPEATABLE READ")

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

        async def work(connection: AsyncConnection) -> list[tuple[int, int, int]]:
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
            while page := await following:
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

        async def work(connection: AsyncConnection) -> tuple[int, datetime] | None:
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
        async def work(connection: AsyncConnection) -> list[AuditedRow]:
            query = select(recharges.c.record_offset, _packed(*_ROW)).where(which).order_by(recharges.c.record_offset)
            rows = (await connection.execute(query.limit(count_max))).all()
            if not rows:
                return []
            page = which & recharges.c.record_offset.between(rows[0][0], rows[-1][0])
            attempts_of = await _children(connection, attempts, _ATTEMPT, page)
            lookups_of = await _children(connection, lookups, _LOOKUP, page)
            actions_of = await _children(connection, operator_actions, _ACTION, page)
            try:
                return [
                    _row(
                        _unpacked(text),
                        tuple(_attempt(each) for each in attempts_of.get(offset, ())),
                        tuple(AuditedLookup(*each) for each in lookups_of.get(offset, ())),
                        tuple(_action(*each) for each in actions_of.get(offset, ())),
                    )
                    for offset, text in rows
                ]
            except ValueError as error:  # an enumeration's
                raise LedgerContradiction(
                    f"the ledger holds a word that this release does not know: {error}"
                ) from error

        return await self.transact(work)


# The same text as `claims_of` in obstacles.py: an integration test holds the two together.
_REQUEST = func.concat_ws(
    literal("\0"),
    literal("request"),
    recharges.c.request_id,
    func.trim(literal_column("LEADING '+' FROM account_donor")),
    func.trim(literal_column("LEADING '+' FROM account_receiver")),
)
_REQUEST_OF = (
    select(request_claims.c.workflow_id)
    .where(recharges.c.request_id.is_not(None), request_claims.c.claim == func.sha2(_REQUEST, 256))
    .correlate(recharges)
    .scalar_subquery()
)
_KEY_DIGEST = func.left(func.sha2(recharges.c.raw_key, 256), _KEY_DIGEST_CHARS)
_ROW = (
    *(
        recharges.c[name]
        for name in (
            *(
                "partition_id",
                "record_offset",
                "workflow_id",
                "state",
                "fingerprint",
                "ordering",
                "record_timestamp_ms",
            ),
            *(
                "created_at",
                "final_at",
                "amount",
                "resolved_by",
                "account_donor",
                "account_receiver",
                "size_bytes",
                "redacted_at",
            ),
        )
    ),
    case((recharges.c.ordering == Ordering.KEY, _KEY_DIGEST)),
    recharges.c.provider_reference,
    _REQUEST_OF,
)
_ATTEMPT = (
    *("number", "opened_at", "closed_at", "outcome", "verdict", "verdict_by", "verdict_at", "late_outcome", "late_at"),
)
_LOOKUP = ("attempt_number", "answer")
_ACTION = ("action", "decided_by", "note", "refused_because")


def _packed(*columns: ColumnElement[Any]) -> ColumnElement[str]:
    """Columns as one: the driver takes rows apart in Python, column by column, and that was half of an audit's time."""
    return func.json_array(*columns)


def _unpacked(packed: str) -> list[Any]:
    """The columns again. Amounts are exact decimals, and times still texts."""
    fields: list[Any] = _DECODER.decode(packed)
    return fields


def _within(source: str, topic: str, partition: int) -> ColumnElement[bool]:
    return and_(recharges.c.source == source, recharges.c.topic == topic, recharges.c.partition_id == partition)


async def _children(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], page: ColumnElement[bool]
) -> dict[int, list[list[Any]]]:
    """The rows of another table that belong to the records of a page, oldest first, by offset."""
    query = (
        select(recharges.c.record_offset, _packed(*(table.c[name] for name in columns)))
        .join(table, table.c.workflow_id == recharges.c.workflow_id)
        .where(page)
        .order_by(table.c.id)
    )
    found: dict[int, list[list[Any]]] = {}
    for offset, text in (await connection.execute(query)).all():
        found.setdefault(offset, []).append(_unpacked(text))
    return found


def _row(
    fields: list[Any],
    attempts_: tuple[AuditedAttempt, ...],
    lookups_: tuple[AuditedLookup, ...],
    actions: tuple[AuditedAction, ...],
) -> AuditedRow:
    partition, offset, workflow_id, state, fingerprint, ordering, timestamp_ms, *rest = fields
    created_at, final_at, amount, resolved_by, donor, receiver, size_bytes, redacted_at, key_digest, *outside = rest
    provider_reference, request_of = outside
    return AuditedRow(
        partition=partition,
        offset=offset,
        workflow_id=workflow_id,
        state=State(state),
        fingerprint=fingerprint,
        ordering=Ordering(ordering),
        timestamp_ms=timestamp_ms,
        created_at=datetime.fromisoformat(created_at),
        final_at=_moment(final_at),
        amount=amount,
        resolved_by=resolved_by,
        donor=donor,
        receiver=receiver,
        key_digest=key_digest,
        provider_reference=provider_reference,
        request_of=request_of,
        key_is_cut=size_bytes > limits.RECORD_BYTES_MAX or redacted_at is not None,
        attempts=tuple(sorted(attempts_, key=lambda attempt: attempt.number)),
        lookups=lookups_,
        actions=actions,
    )


def _attempt(fields: list[Any]) -> AuditedAttempt:
    number, opened_at, closed_at, outcome, verdict, verdict_by, verdict_at, late_outcome, late_at = fields
    return AuditedAttempt(
        number=number,
        opened_at=datetime.fromisoformat(opened_at),
        closed_at=_moment(closed_at),
        outcome=_outcome(outcome),
        verdict=None if verdict is None else Verdict(verdict),
        verdict_by=verdict_by,
        verdict_at=_moment(verdict_at),
        late_outcome=_outcome(late_outcome),
        late_at=_moment(late_at),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _outcome(value: str | None) -> Outcome | None:
    return None if value is None else Outcome(value)


def _action(action: str, by: str, note: str, refused_because: str | None) -> AuditedAction:
    return AuditedAction(action, by, note, refused=refused_because is not None)
