"""The ledger as the audit reads it: row by row in the order of the positions, each with all that bears on it, in bounded memory.

Nothing here writes or locks. Each page of rows is read with its attempts, look-ups and decisions in one snapshot, so that what belongs
together was true at one moment.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.ledger.engine import LedgerEngine
from activities.ledger.rows import NOW
from activities.ledger.tables import attempts, lookups, operator_actions, recharges
from recharge import limits
from recharge.contract import Ordering
from recharge.outcome import Outcome, State, Verdict

_PAGE_ROWS = 2000
_ORPHAN_PAGE_IDS = 50_000
_CONNECTIONS = 2
_KEY_DIGEST_CHARS = 32


@dataclass(frozen=True, slots=True)
class AuditedAttempt:
    """One attempt, as far as the audit judges it. Times are MySQL's, in UTC."""

    number: int
    opened_at: datetime
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    verdict_by: str | None = None
    verdict_at: datetime | None = None
    late_outcome: Outcome | None = None
    late_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditedLookup:
    """One answer of the provider's look-up."""

    attempt_number: int
    answer: str


@dataclass(frozen=True, slots=True)
class AuditedAction:
    """What a person decided about a record, or was refused."""

    action: str
    by: str
    note: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class AuditedRow:
    """One record's row and everything that belongs to it, as it stood at one moment."""

    partition: int
    offset: int
    workflow_id: str
    state: State
    fingerprint: str
    ordering: Ordering
    timestamp_ms: int
    created_at: datetime
    final_at: datetime | None = None
    amount: Decimal | None = None
    resolved_by: str | None = None
    donor: str | None = None
    receiver: str | None = None
    key_digest: str | None = None
    """Kafka's key, hashed, under the order `key`; None where the record has no key."""
    key_is_cut: bool = False
    """The ledger holds only the beginning of the key, so it names no lane."""
    attempts: tuple[AuditedAttempt, ...] = ()
    lookups: tuple[AuditedLookup, ...] = ()
    actions: tuple[AuditedAction, ...] = ()
    """Oldest first."""


class AuditReader(LedgerEngine):
    """One audit's view of the ledger. It needs the right to SELECT and no other."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connections_max=_CONNECTIONS)
        # All statements of one transaction see one snapshot, so a row and its attempts never contradict each other by a moment.
        self._engine = self._engine.execution_options(isolation_level="REPEATABLE READ")

    async def now(self) -> datetime:
        """MySQL's time, in UTC."""

        async def work(connection: AsyncConnection) -> datetime:
            now: datetime = (await connection.execute(select(NOW))).scalar_one()
            return now

        return await self.transact(work)

    async def partitions(self, source: str, topic: str) -> list[int]:
        """The partitions of which the ledger has a row."""

        async def work(connection: AsyncConnection) -> list[int]:
            query = select(recharges.c.partition_id).distinct()
            found = await connection.scalars(
                query.where(recharges.c.source == source, recharges.c.topic == topic).order_by(recharges.c.partition_id)
            )
            return list(found)

        return await self.transact(work)

    async def accepted_gaps(self, source: str, topic: str) -> list[tuple[int, int, int]]:
        """The offsets that a person has accepted as lost: partition, first and last offset, both included.

        Nobody can accept any yet: the table comes with `recharge accept-gap`.
        """
        del source, topic
        return []

    async def rows(self, source: str, topic: str, partition: int) -> AsyncIterator[AuditedRow]:
        """Every row of one partition in the order of the offsets, read page by page."""
        last = -1
        while True:
            page = await self._read(
                _within(source, topic, partition) & (recharges.c.record_offset > last), count_max=_PAGE_ROWS
            )
            for row in page:
                yield row
            if len(page) < _PAGE_ROWS:
                return
            last = page[-1].offset

    async def rows_at(self, source: str, topic: str, partition: int, offsets: Collection[int]) -> list[AuditedRow]:
        """The rows at these offsets, as they stand now."""
        if not offsets:
            return []
        which = _within(source, topic, partition) & recharges.c.record_offset.in_(sorted(offsets))
        return await self._read(which, count_max=len(offsets))

    async def attempts_without_row(self, source: str, topic: str) -> AsyncIterator[str]:
        """The workflow ids of attempts whose record has no row. An attempt and its row are written together, so there is none."""
        prefix, beyond = f"{source}:{topic}:", f"{source}:{topic};"  # the semicolon follows the colon
        last_id = await self._last_attempt_id()
        for first in range(0, last_id, _ORPHAN_PAGE_IDS):
            page = and_(attempts.c.id > first, attempts.c.id <= min(first + _ORPHAN_PAGE_IDS, last_id))
            own = and_(attempts.c.workflow_id >= prefix, attempts.c.workflow_id < beyond)
            query = (
                select(attempts.c.workflow_id)
                .distinct()
                .outerjoin(recharges, recharges.c.workflow_id == attempts.c.workflow_id)
                .where(page, own, recharges.c.id.is_(None))
            )
            for workflow_id in await self._scalars(query):
                yield workflow_id

    async def _last_attempt_id(self) -> int:
        (last,) = await self._scalars(select(func.coalesce(func.max(attempts.c.id), 0)))
        return int(last)

    async def _scalars(self, query: Any) -> list[Any]:  # noqa: ANN401  # any query of one column
        async def work(connection: AsyncConnection) -> list[Any]:
            return list(await connection.scalars(query))

        return await self.transact(work)

    async def _read(self, which: ColumnElement[bool], *, count_max: int) -> list[AuditedRow]:
        async def work(connection: AsyncConnection) -> list[AuditedRow]:
            query = select(*_ROW_COLUMNS).where(which).order_by(recharges.c.record_offset).limit(count_max)
            rows = (await connection.execute(query)).mappings().all()
            if not rows:
                return []
            ids = which & recharges.c.record_offset.between(rows[0]["record_offset"], rows[-1]["record_offset"])
            attempts_of = await _children(connection, attempts, _ATTEMPT_COLUMNS, ids)
            lookups_of = await _children(connection, lookups, ("attempt_number", "answer"), ids)
            actions_of = await _children(connection, operator_actions, _ACTION_COLUMNS, ids)
            return [
                _row(
                    row,
                    tuple(_attempt(each) for each in attempts_of[row["workflow_id"]]),
                    tuple(
                        AuditedLookup(each["attempt_number"], each["answer"]) for each in lookups_of[row["workflow_id"]]
                    ),
                    tuple(_action(each) for each in actions_of[row["workflow_id"]]),
                )
                for row in rows
            ]

        return await self.transact(work)


_KEY_DIGEST = case(
    (recharges.c.ordering == Ordering.KEY, func.left(func.sha2(recharges.c.raw_key, 256), _KEY_DIGEST_CHARS))
)
_ROW_COLUMNS = (
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
            *("created_at", "final_at", "amount", "resolved_by", "account_donor", "account_receiver", "size_bytes"),
        )
    ),
    _KEY_DIGEST.label("key_digest"),
)
_ATTEMPT_COLUMNS = (
    *("number", "opened_at", "closed_at", "outcome", "verdict", "verdict_by", "verdict_at", "late_outcome", "late_at"),
)
_ACTION_COLUMNS = ("action", "decided_by", "note", "refused_because")


def _within(source: str, topic: str, partition: int) -> ColumnElement[bool]:
    return and_(recharges.c.source == source, recharges.c.topic == topic, recharges.c.partition_id == partition)


async def _children(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], which: ColumnElement[bool]
) -> defaultdict[str, list[RowMapping]]:
    """The rows of another table that belong to these records, oldest first, by workflow id."""
    query = (
        select(recharges.c.workflow_id, *(table.c[name] for name in columns))
        .join(table, table.c.workflow_id == recharges.c.workflow_id)
        .where(which)
        .order_by(table.c.id)
    )
    found: defaultdict[str, list[RowMapping]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row["workflow_id"]].append(row)
    return found


def _row(
    row: RowMapping,
    attempts_: tuple[AuditedAttempt, ...],
    lookups_: tuple[AuditedLookup, ...],
    actions: tuple[AuditedAction, ...],
) -> AuditedRow:
    return AuditedRow(
        partition=row["partition_id"],
        offset=row["record_offset"],
        workflow_id=row["workflow_id"],
        state=State(row["state"]),
        fingerprint=row["fingerprint"],
        ordering=Ordering(row["ordering"]),
        timestamp_ms=row["record_timestamp_ms"],
        created_at=row["created_at"],
        final_at=row["final_at"],
        amount=row["amount"],
        resolved_by=row["resolved_by"],
        donor=row["account_donor"],
        receiver=row["account_receiver"],
        key_digest=row["key_digest"],
        key_is_cut=row["size_bytes"] > limits.RECORD_BYTES_MAX,
        attempts=tuple(sorted(attempts_, key=lambda attempt: attempt.number)),
        lookups=lookups_,
        actions=actions,
    )


def _attempt(row: RowMapping) -> AuditedAttempt:
    return AuditedAttempt(
        number=row["number"],
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        outcome=_outcome(row["outcome"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        verdict_by=row["verdict_by"],
        verdict_at=row["verdict_at"],
        late_outcome=_outcome(row["late_outcome"]),
        late_at=row["late_at"],
    )


def _outcome(value: str | None) -> Outcome | None:
    return None if value is None else Outcome(value)


def _action(row: RowMapping) -> AuditedAction:
    return AuditedAction(row["action"], row["decided_by"], row["note"], refused=row["refused_because"] is not None)
