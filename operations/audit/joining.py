"""The five books of one partition laid beside each other: what each says about one position, in the order of the positions."""

from collections.abc import AsyncIterator, Iterator
from typing import Generic, Protocol, TypeVar

from activities.ledger import AuditedRow
from operations.audit.facts import Case, Charges, Letters, LoggedRecord, Workflow
from recharge.problem import Problem


class _Placed(Protocol):
    @property
    def offset(self) -> int:
        """Where it stands in the partition."""


P = TypeVar("P", bound=_Placed)


class OrderProblem(Problem):
    """What was read does not come in the order of the offsets, or an offset stands twice. Its text is one line."""


class _Book(Generic[P]):
    """One book, open at its next entry."""

    def __init__(self, name: str, entries: AsyncIterator[P]) -> None:
        self._name = name
        self._entries = entries
        self.entry: P | None = None

    async def turn(self) -> None:
        """Go on to the next entry; `entry` is None behind the last."""
        before = self.entry
        self.entry = await anext(self._entries, None)
        if before is not None and self.entry is not None and self.entry.offset <= before.offset:
            raise OrderProblem(
                f"{self._name}: offset {self.entry.offset} came after offset {before.offset}, which must not be; "
                "are the ledger's unique keys in place"
            )

    async def take(self, offset: int) -> P | None:
        """The entry at this offset, if there is one."""
        entry = self.entry
        if entry is None or entry.offset != offset:
            return None
        await self.turn()
        return entry


async def side_by_side(
    records: AsyncIterator[LoggedRecord],
    rows: AsyncIterator[AuditedRow],
    charges: Iterator[Charges],
    workflows: Iterator[Workflow],
    letters: Iterator[Letters],
) -> AsyncIterator[Case]:
    """Every position that at least one of the books knows. Of each book only the next entry is in memory.

    Raises:
        OrderProblem: a book is not in the order of the offsets.
    """
    topic, ledger = _Book("topic", records), _Book("ledger", rows)
    statement, temporal = _Book("statement", _slowly(charges)), _Book("Temporal", _slowly(workflows))
    dead = _Book("dead letters", _slowly(letters))
    for book in (topic, ledger, statement, temporal, dead):
        await book.turn()
    while True:
        entries = (topic.entry, ledger.entry, statement.entry, temporal.entry, dead.entry)
        offset = min((entry.offset for entry in entries if entry is not None), default=None)
        if offset is None:
            return
        yield Case(
            offset,
            record=await topic.take(offset),
            row=await ledger.take(offset),
            charges=await statement.take(offset),
            workflow=await temporal.take(offset),
            letters=await dead.take(offset),
        )


async def _slowly(entries: Iterator[P]) -> AsyncIterator[P]:
    for entry in entries:
        yield entry
