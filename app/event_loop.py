"""The event loop of the service's processes: uvloop, with connections that end as the clients of Kafka and MySQL know it from asyncio."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from recharge import limits

T = TypeVar("T")


class EventLoop(uvloop.Loop):
    """uvloop waits half a minute for a peer to close a TLS connection that this side has closed, and raises RuntimeError where something
    is written to a connection that is lost already. asyncio does neither, and aiokafka and aiomysql are written for that.
    """

    async def create_connection(self, *target: Any, **options: Any) -> tuple[Any, Any]:  # noqa: ANN401  # asyncio's own arguments
        """As asyncio's, by which those clients open their connections."""
        is_tls = bool(options.get("ssl"))
        if is_tls:
            options.setdefault("ssl_shutdown_timeout", limits.TLS_CLOSE_TIMEOUT_S)
        connected: tuple[Any, Any] = await super().create_connection(*target, **options)
        transport, protocol = connected
        return transport if is_tls else _PlainTransport(transport), protocol


class _PlainTransport:
    """A connection without TLS. What is written when it is lost goes nowhere: that it is lost is found by reading."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


def run(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`, as asyncio.run would give it."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(main)
