"""A server behind a wire, and a client before it, for the tests of the proxy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

from devstack.ports import release_port, reserve_port
from devstack.wire.proxy import Hop, Wire

_Wire = TypeVar("_Wire", bound=Wire)
TIMEOUT_S = 10.0
LOOP_TURNS = 100
"""More than a message on loopback needs to come through a proxy that lets it."""


def record(number: int) -> bytes:
    """A TLS record that carries a number."""
    return b"\x17\x03\x03\x00\x02" + number.to_bytes(2, "big")


class Server:
    """A server that keeps what it is sent, and answers each record with the same."""

    def __init__(self) -> None:
        self.received = b""
        self.grown = asyncio.Condition()
        self.connections_ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                self.received += data
                writer.write(data)
                async with self.grown:
                    self.grown.notify_all()
        writer.close()
        self.connections_ended += 1
        async with self.grown:
            self.grown.notify_all()

    async def until_ended(self, count: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), self.grown:
            await self.grown.wait_for(lambda: self.connections_ended == count)


@contextlib.asynccontextmanager
async def serving(wire_type: type[_Wire]) -> AsyncIterator[tuple[Server, _Wire]]:
    """A server with a wire of this type before it, which takes it for the provider."""
    port = reserve_port()
    behind = Server()
    listener = await asyncio.start_server(behind.serve, "127.0.0.1", port)
    async with wire_type({Hop.PROVIDER: port}) as wire:
        yield behind, wire
    listener.close()
    release_port(port)


@contextlib.asynccontextmanager
async def connected(wire: Wire) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection through the wire."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.ports[Hop.PROVIDER])
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readexactly(len(record(0))), TIMEOUT_S)
