"""One connection and what can be done to it: HTTP/1.1 is parsed by h11 and written by hand, so that it can be wrong.

Every connection carries one request: each answer says `Connection: close`.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

REQUEST_TIMEOUT_S = 60.0
BODY_SIZE_BYTES_MAX = 2 * 1024 * 1024
TLS_HANDSHAKE_TIMEOUT_S = 10.0
TLS_SHUTDOWN_TIMEOUT_S = 2.0
BACKLOG_CONNECTIONS_MAX = 1024
_CHUNK_SIZE_BYTES = 65536
_REASONS = {int(status): status.phrase for status in HTTPStatus}


class BadRequestError(Exception):
    """What arrived is not a request that can be read; the message says why."""


def complain(text: str) -> None:
    """Tell the person who runs the simulator, in one line on stderr."""
    sys.stderr.write(f"simulator: {text}\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read whole. Header names are in lower case; path and query are decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, content_length_bytes: int | None = None) -> bytes:
        """The status line and headers, which promise the body's true length unless told another."""
        reason = _REASONS.get(self.status, "Chosen By The Test")
        lines = [f"HTTP/1.1 {self.status} {reason}", "Connection: close"]
        if self.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            length = len(self.body) if content_length_bytes is None else content_length_bytes
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def encode(self) -> bytes:
        """The whole answer."""
        return self.head() + self.body


class Peer:
    """The other end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.remote_port: int = writer.get_extra_info("peername")[1]
        self.local_port: int = writer.get_extra_info("sockname")[1]

    async def read_request(self) -> Request | None:
        """The request, or None where the client went away before it was whole.

        Raises BadRequestError where it is not HTTP or too large, and TimeoutError after REQUEST_TIMEOUT_S.
        """
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await self._read_request()
        except (ConnectionError, ssl.SSLError):
            return None
        except h11.RemoteProtocolError as error:
            raise BadRequestError(f"this is not a request of HTTP/1.1: {error}") from error

    async def _read_request(self) -> Request | None:
        connection = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(_CHUNK_SIZE_BYTES)
                if not data:
                    return None
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_SIZE_BYTES_MAX:
                    raise BadRequestError(f"the body is larger than {BODY_SIZE_BYTES_MAX} bytes")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def write(self, data: bytes) -> bool:
        """Send bytes; False where the client has gone, which stops nothing: a provider goes on with its work."""
        if self._writer.is_closing():
            return False
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (ConnectionError, ssl.SSLError):
            return False
        return True

    async def wait_until_gone(self) -> None:
        """Return when the client has closed the connection, or its process has died."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self._reader.read(_CHUNK_SIZE_BYTES):
                pass

    def close(self) -> None:
        """End the connection as HTTP does: what was written is delivered, then FIN."""
        self._writer.close()

    def reset(self) -> None:
        """End the connection by RST; what was not yet delivered is lost. Does nothing where it has ended already."""
        if self._writer.is_closing():
            return
        _linger_zero(self._writer.get_extra_info("socket"))
        self._writer.transport.abort()


def reset_socket(connection: socket.socket) -> None:
    """End a connection that has no streams yet by RST."""
    _linger_zero(connection)
    connection.close()


def _linger_zero(connection: Any) -> None:  # noqa: ANN401 (a socket or asyncio's view of one)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _request(head: h11.Request, body: bytes) -> Request:
    url = urlsplit(head.target.decode("ascii"))
    return Request(
        method=head.method.decode("ascii"),
        path=unquote(url.path),
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers={name.decode("ascii").lower(): value.decode("latin-1") for name, value in head.headers},
        body=body,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError where the port is taken."""
    listener = socket.create_server((host, port), backlog=BACKLOG_CONNECTIONS_MAX)
    listener.settimeout(0.0)
    return listener


async def open_peer(connection: socket.socket, tls: ssl.SSLContext | None) -> Peer:
    """The streams over an accepted connection, after the TLS handshake. Raises OSError where that fails."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK_SIZE_BYTES, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol,
        connection,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else TLS_HANDSHAKE_TIMEOUT_S,
        ssl_shutdown_timeout=None if tls is None else TLS_SHUTDOWN_TIMEOUT_S,
    )
    return Peer(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


async def serve(listener: socket.socket, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Hand each accepted connection to `handle`, each in a task of its own, until cancelled."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError as error:
            complain(f"a connection could not be accepted: {error}")
            await asyncio.sleep(0.1)  # out of file descriptors, most likely: give others time to end
            continue
        task = asyncio.create_task(_handle(connection, handle))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _handle(connection: socket.socket, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
    try:
        await handle(connection)
    except Exception as error:  # noqa: BLE001 (one connection's failure is told and must not end the others)
        complain(f"a connection ended with {type(error).__name__}: {error}")
