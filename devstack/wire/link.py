"""One connection of the service with the one to the server behind it, and how they end."""

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from devstack.wire.proxy import Hop

_RESET_WHEN_CLOSED: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: what one side did by a reset must not look like an orderly end to the other."""


class Link:
    """One connection of the service, and the one to the server behind it."""

    def __init__(self, hop: "Hop", *writers: asyncio.StreamWriter) -> None:
        self.hop = hop
        self.is_muted = False
        self.is_cut = False
        self._writers = writers

    def cut(self) -> None:
        """End both connections; what was passed on before is still delivered."""
        self.is_cut = True
        for writer in self._writers:
            writer.close()

    async def close(self) -> None:
        """End both connections and wait until they have ended."""
        self.cut()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as its other half ended: by a reset."""
    # A connection with TLS that has ended has no socket any more, and asking for it raises an error of asyncio's own.
    if not writer.is_closing():
        connection = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
    writer.transport.abort()
