"""Asking again: what was told by two moments may only have been a moment's, so both are read anew before it counts."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from activities.ledger import AuditedRow, AuditReader
from operations.audit import workflows
from operations.audit.copies import check_copies
from operations.audit.facts import Terms, Workflow
from operations.audit.findings import Kind, Note, Violation
from operations.audit.order import order_problem
from operations.audit.partition import ChargeSuspect, OrderSuspect, WorkflowSuspect
from operations.audit.temporal import TemporalBook
from recharge import limits

_QUESTIONS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class CopySuspect:
    """A record and its copies, of which several may have been carried out, as far as the rows told when they were read."""

    partition: int
    first: str
    """The workflow id of the record that they repeat."""
    offsets: tuple[int, ...]
    """All of them in this partition, the record itself included."""


Suspect = OrderSuspect | WorkflowSuspect | ChargeSuspect | CopySuspect
Place = tuple[int, int]
"""Partition and offset."""


class Recheck:
    """The records that have to be read again, AUDIT_RECHECK_COUNT at most at a time."""

    def __init__(self, ledger: AuditReader, temporal: TemporalBook, terms: Terms) -> None:
        self._ledger = ledger
        self._temporal = temporal
        self._terms = terms
        self._suspects: list[Suspect] = []
        self.count = 0
        """How many were read again so far."""

    @property
    def is_full(self) -> bool:
        """Whether it is time to settle what has gathered."""
        return len(self._suspects) >= limits.AUDIT_RECHECK_COUNT

    def add(self, suspect: Suspect) -> None:
        """Put one more aside."""
        self._suspects.append(suspect)

    async def settle(self) -> list[Violation | Note]:
        """Read again what was put aside, and tell what is still wrong.

        The workflow is asked first and the row after it, since a row becomes final before its workflow completes.
        """
        suspects, self._suspects = self._suspects, []
        self.count += len(suspects)
        runs = await self._runs([each for each in suspects if isinstance(each, WorkflowSuspect)])
        rows = await self._rows(suspects)
        return [finding for each in suspects for finding in self._settled(each, runs, rows)]

    async def _runs(self, suspects: Sequence[WorkflowSuspect]) -> dict[Place, Workflow]:
        slots = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def ask(suspect: WorkflowSuspect) -> Workflow:
            async with slots:
                return await self._temporal.newest(suspect.partition, suspect.offset)

        runs = await asyncio.gather(*map(ask, suspects))
        return {(each.partition, each.offset): run for each, run in zip(suspects, runs, strict=True)}

    async def _rows(self, suspects: Sequence[Suspect]) -> dict[Place, AuditedRow]:
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for each in suspects:
            wanted[each.partition].update(_offsets(each))
        found: dict[Place, AuditedRow] = {}
        for partition, offsets in wanted.items():
            for row in await self._ledger.rows_at(self._terms.source, self._terms.topic, partition, offsets):
                found[partition, row.offset] = row
        return found

    def _settled(
        self, suspect: Suspect, runs: dict[Place, Workflow], rows: dict[Place, AuditedRow]
    ) -> Sequence[Violation | Note]:
        match suspect:
            case OrderSuspect():
                earlier, later = (rows.get((suspect.partition, offset)) for offset in (suspect.earlier, suspect.later))
                problem = None if earlier is None or later is None else order_problem(earlier, later)
                workflow_id = self._terms.workflow_id(suspect.partition, suspect.later)
                return () if problem is None else (Violation(Kind.OUT_OF_ORDER, workflow_id, problem),)
            case ChargeSuspect():
                return () if (suspect.partition, suspect.offset) in rows else suspect.without_row
            case CopySuspect():
                found = [rows[suspect.partition, each] for each in suspect.offsets if (suspect.partition, each) in rows]
                return tuple(check_copies(suspect.first, found))
            case WorkflowSuspect():
                return self._settled_workflow(suspect, runs, rows)
            case _:
                assert_never(suspect)

    def _settled_workflow(
        self, suspect: WorkflowSuspect, runs: dict[Place, Workflow], rows: dict[Place, AuditedRow]
    ) -> Sequence[Violation | Note]:
        place = (suspect.partition, suspect.offset)
        row = rows.get(place)
        judged = workflows.judge(None if row is None else row.state, runs[place], is_committed=suspect.is_committed)
        if judged is None:
            return ()
        kind, told = judged
        workflow_id = self._terms.workflow_id(*place)
        return (Violation(kind, workflow_id, told) if isinstance(kind, Kind) else Note(kind, workflow_id, told),)


def _offsets(suspect: Suspect) -> Sequence[int]:
    """The offsets of the rows that have to be read again."""
    match suspect:
        case OrderSuspect():
            return (suspect.earlier, suspect.later)
        case CopySuspect():
            return suspect.offsets
        case ChargeSuspect() | WorkflowSuspect():
            return (suspect.offset,)
        case _:
            assert_never(suspect)
