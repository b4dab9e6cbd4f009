"""SQLAlchemy's Core from coroutines: the connection and the pool as far as the ledger uses them.

SQLAlchemy's own asyncio extension has the same and more. It brings the ORM with it, whose loading alone is a tenth of the time in which a
process starts, and each step of a transaction is a greenlet of its own there, where `Pool.transact` needs one for all of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, ScalarResult
from sqlalchemy.util.concurrency import greenlet_spawn

T = TypeVar("T")

Values = Mapping[str, Any]


class LedgerConnection:
    """A connection taken out of the pool. Every result is read whole before it is returned."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, values: Values | None = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement."""
        return await greenlet_spawn(self._connection.execute, statement, values)

    async def scalar(self, statement: Executable, values: Values | None = None) -> Any:  # noqa: ANN401  # whatever the column holds
        """The first column of a statement's first row; None where there is no row."""
        return await greenlet_spawn(self._connection.scalar, statement, values)

    async def scalars(self, statement: Executable, values: Values | None = None) -> ScalarResult[Any]:
        """The first column of each row of a statement."""
        return await greenlet_spawn(self._connection.scalars, statement, values)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Run a function that knows nothing of coroutines."""
        return await greenlet_spawn(work, self._connection)

    async def commit(self) -> None:
        """Commit what was done since the last commit."""
        await greenlet_spawn(self._connection.commit)

    async def close(self) -> None:
        """Give it back, after a roll-back of what is not committed."""
        await greenlet_spawn(self._connection.close)


class Pool:
    """The pool of an engine whose driver is one of coroutines."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def isolated(self, level: str) -> Self:
        """The same pool, for transactions of this isolation level."""
        return type(self)(self._engine.execution_options(isolation_level=level))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[LedgerConnection]:
        """A connection, which is given back at the end, after a roll-back of what is not committed."""
        connection = LedgerConnection(await greenlet_spawn(self._engine.connect))
        try:
            yield connection
        finally:
            # Given back also where this task is cancelled once more meanwhile.
            await asyncio.shield(asyncio.create_task(connection.close()))

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[LedgerConnection]:
        """A connection in a transaction, which is committed at the end, and rolled back where anything was raised in it."""
        async with self.connect() as connection:
            yield connection
            await connection.commit()

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run a function that knows nothing of coroutines in a transaction, which is ended as `begin` ends it."""
        return await greenlet_spawn(self._transact, work)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    async def dispose(self) -> None:
        """Close the connections that nobody has taken out."""
        await greenlet_spawn(self._engine.dispose)
