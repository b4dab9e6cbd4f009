"""A provider that does what a test tells it, down to the socket, and the client that is sent against it."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import trustme

from activities.provider import Answer, Call, Provider, boottime_s
from recharge.settings import ProviderSettings

BODY = b'{"operationType":"OneShotTransfer","amount":12.50}'
REFERENCE = "source:topic:0:7"
CHARGED = b'{"status":"charged","providerReference":"P-1"}'


@dataclass(frozen=True)
class Certificates:
    ca: trustme.CA
    ca_file: Path
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        return cls(ca, folder / "ca.pem", folder)

    @cached_property
    def server(self) -> ssl.SSLContext:
        """The context of a server that asks for no client certificate."""
        return self.server_context()

    def server_context(self, *, wants_client_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if wants_client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context


@dataclass
class Peer:
    """The provider's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: bytearray

    async def request(self) -> bytes:
        """Read one whole request and return it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.seen += head
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        body = await self.reader.readexactly(length)
        self.seen += body
        return head + body

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        await self.request()
        await self.say("\r\n".join(lines).encode() + body)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """A provider that does what a test tells it; it counts connections and what arrived of requests, decrypted."""

    port: int = 0
    connections: int = 0
    seen: bytearray = field(default_factory=bytearray)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/recharges"


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour, context: ssl.SSLContext | None, *, port: int = 0) -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        peer = Peer(reader, writer, server.seen)
        try:
            await behaviour(peer)
            server.seen += await reader.read()
        except (OSError, EOFError):
            pass  # The client went away; what it sent before is counted.
        except Exception as error:  # noqa: BLE001  # told by the test, which would otherwise only see a time-out
            server.failures.append(error)
        finally:
            writer.transport.abort()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)

    listener = await asyncio.start_server(start, "127.0.0.1", port, ssl=context, limit=2**21)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        _, pending = await asyncio.wait(tasks, timeout=2) if tasks else (set(), set())
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()
    assert not server.failures


async def send(
    url: str, certificates: Certificates, *, time_s: float = 10.0, body: bytes = BODY, **settings: object
) -> Answer:
    provider = Provider(ProviderSettings.model_validate({"url": url, "ca_file": certificates.ca_file, **settings}))
    return await provider.send(call(time_s, body))


def call(time_s: float = 10.0, body: bytes = BODY, traceparent: str | None = None) -> Call:
    return Call(REFERENCE, body, traceparent, boottime_s() + time_s, after_unknown=False)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    end_s = boottime_s() + within_s
    while not condition():
        assert boottime_s() < end_s, "the condition did not come true in time"
        await asyncio.sleep(0.005)
