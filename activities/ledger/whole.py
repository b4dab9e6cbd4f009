"""All that the ledger has about one record: its row, and the rows that belong to it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Table, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.tables import attempts, lookups, operator_actions


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything about one record. The rows are as they stand, oldest first; times are MySQL's, in UTC."""

    record: Mapping[str, Any]
    attempts: Sequence[Mapping[str, Any]]
    lookups: Sequence[Mapping[str, Any]]
    decisions: Sequence[Mapping[str, Any]]


async def read_wholes(connection: LedgerConnection, records: Sequence[RowMapping]) -> list[Whole]:
    """The records of these rows, each with what belongs to it, in the same order."""
    ids = [record["workflow_id"] for record in records]
    tried, asked, decided = [await _rows(connection, table, ids) for table in (attempts, lookups, operator_actions)]
    return [
        Whole(dict(record), tried[each], asked[each], decided[each]) for each, record in zip(ids, records, strict=True)
    ]


async def _rows(
    connection: LedgerConnection, table: Table, workflow_ids: Sequence[str]
) -> Mapping[str, list[Mapping[str, Any]]]:
    query = select(table).where(table.c.workflow_id.in_(workflow_ids)).order_by(table.c.id)
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row["workflow_id"]].append(dict(row))
    return found
