"""The driver's connection, as far as it has to be another one for us."""

import contextlib
from typing import Any

import aiomysql


class Connection(aiomysql.Connection):  # type: ignore[misc]  # the driver has no types
    """The driver's connection, which says good-bye only to a server that is still there."""

    async def ensure_closed(self) -> None:
        """End the connection. One that MySQL has ended for its silence ends as well, and is no error that anybody has to read."""
        with contextlib.suppress(OSError):
            await super().ensure_closed()
        self.close()


async def connect(*args: Any, **kwargs: Any) -> Connection:  # noqa: ANN401  # the driver's own arguments
    """Open a connection."""
    return await opened(Connection(*args, **kwargs))


async def opened(connection: Connection) -> Connection:
    """What the driver's own `connect` does with its own class."""
    await connection._connect()  # noqa: SLF001
    return connection
