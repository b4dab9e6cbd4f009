"""The connection under the provider's client: nothing of a request leaves after its deadline, and we know if any did.

An event loop runs ready sockets before timers, so a time-out alone does not keep a process that was frozen after its
connect, and thawed much later, from sending. Here every write to the socket is one system call right after a look at
the clock that goes on while a machine sleeps. The request is collected whole, encrypted whole, and handed to the kernel
in one piece: either none of it left, which is safe to try again, or it may have arrived, and nobody on this side can
know. Between the look and the system call a freeze cannot be excluded.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpcore

from activities.tls import Tls
from activities.transmission import Transmission, TransportError, boottime_s

_T = TypeVar("_T")

JUDGEMENT_S = 1.0
"""How long a TLS 1.3 server gets to refuse our certificate, which it judges when our side of the handshake is done.
Most say at once that they took it, by a session ticket; only one that issues none costs this time."""

READ_BYTES_MAX = 64 * 1024
SEND_BUFFER_MARGIN_BYTES = 64 * 1024
"""What the kernel's own bookkeeping may take of a send buffer, beside twice the request."""


@dataclass(frozen=True, slots=True)
class Head:
    """The parts of an HTTP request before its body, as bytes on the wire."""

    method: bytes
    scheme: bytes
    host: bytes
    port: int | None
    target: bytes
    headers: list[tuple[bytes, bytes]]


async def exchange(transmission: Transmission, tls: Tls, head: Head, body: AsyncIterable[bytes]) -> httpcore.Response:
    """Send one request over a connection of its own, by HTTP/1.1, and return the answer, its body still to be read.

    The connection is the transmission's and is closed with it. There are no retries, no proxies and no reuse.

    Raises:
        TransportError: the connection failed, or the deadline passed.
        httpcore.ProtocolError: the answer is not HTTP.
    """
    url = httpcore.URL(scheme=head.scheme, host=head.host, port=head.port, target=head.target)
    host = head.host.decode("ascii")
    sock = await _in_time(
        transmission, _connect(transmission, host, url.origin.port), f"{host} did not take the connection"
    )
    stream = _Stream(transmission, sock)
    connection = httpcore.AsyncHTTP11Connection(url.origin, stream, keepalive_expiry=0.0)
    request = httpcore.Request(head.method, url, headers=head.headers, content=body)
    if head.scheme != b"https":
        return await connection.handle_async_request(request)
    peer, begun_boottime_s = (host, url.origin.port), boottime_s()
    try:
        encrypted = stream.encrypt(tls.context, host, tls.session(peer, begun_boottime_s))
        secured = await _in_time(transmission, encrypted, f"the TLS handshake with {host} did not end")
        if tls.has_client_certificate:
            await stream.await_judgement()
        answer = await connection.handle_async_request(request)
    except BaseException:
        tls.forget(peer)
        raise
    tls.keep(peer, secured, begun_boottime_s)
    return answer


async def _in_time(transmission: Transmission, step: Awaitable[_T], problem: str) -> _T:
    try:
        async with asyncio.timeout(transmission.connect_left_s()):
            return await step
    except TimeoutError:
        raise TransportError(f"{problem} in time") from None


async def _connect(transmission: Transmission, host: str, port: int) -> socket.socket:
    """Try the host's addresses one after another, each with its share of the time."""
    try:
        addresses = await _resolve(host, port)
    except OSError as error:
        raise TransportError(f"{host} cannot be resolved: {_reason(error)}") from error
    problem = "it has no address"
    for index, (family, _, _, _, address) in enumerate(addresses):
        transmission.check_deadline()
        sock = transmission.open_socket(family)
        try:
            async with asyncio.timeout(transmission.connect_left_s() / (len(addresses) - index)):
                await _reach(sock, address)
        except OSError as error:  # TimeoutError is one
            problem = _reason(error)
        else:
            return sock
    raise TransportError(f"no connection to {host}: {problem}")


async def _reach(sock: socket.socket, address: Any) -> None:  # noqa: ANN401  # of the socket's family
    """Connect to this very address, which a loop's own way might resolve again. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        sock.connect(address)
    except (BlockingIOError, InterruptedError):  # it is under way
        await _ready(sock, loop.add_writer, loop.remove_writer)
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code)) from None


class _Stream(httpcore.AsyncNetworkStream):
    """One connection for one request: what httpcore writes is collected, and handed over whole when it comes to read."""

    def __init__(self, transmission: Transmission, sock: socket.socket) -> None:
        self._transmission = transmission
        self._socket = sock
        self._request = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    async def encrypt(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> ssl.SSLObject:
        """Shake hands, with the provider's certificate and name checked, unless it goes on with a session in which they were."""
        self._tls = tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush_tls()
                await self._feed()
            except ssl.SSLError as error:
                await self._flush_tls()  # the alert, which tells the provider's side why
                raise TransportError(f"the TLS handshake failed: {_reason(error)}") from error
            else:
                await self._flush_tls()
                return tls

    async def await_judgement(self) -> None:
        """Give a server that judges our certificate after our side of the handshake the time to refuse it."""
        if self._tls is None or self._tls.version() != "TLSv1.3":
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(JUDGEMENT_S, self._transmission.left_s() / 4)):
                await _ready(self._socket, loop.add_reader, loop.remove_reader)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002
        if buffer and self._transmission.handed_over:
            raise TransportError("a connection carries one request; a second one was refused")
        self._request += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109, ARG002
        if self._request:
            # Taken out before anything can fail, so that nothing is ever handed over a second time.
            request, self._request = bytes(self._request), bytearray()
            self._refuse_a_peer_that_left()
            self._hand_over(self._seal(request))
        if self._tls is None:
            return await self._receive()
        while True:
            try:
                return self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                await self._flush_tls()
                await self._feed()
            except ssl.SSLError as error:
                raise TransportError(f"the TLS connection broke: {_reason(error)}") from error

    async def aclose(self) -> None:
        """Leave the closing to the transmission, which alone knows whether the answer was whole."""

    def _seal(self, request: bytes) -> bytes:
        """Encrypt the whole request, so that nothing is left to do between the look at the clock and the system call."""
        if self._tls is None:
            return request
        rest = memoryview(request)
        while rest:
            rest = rest[self._tls.write(rest) :]
        return self._outgoing.read()

    def _hand_over(self, data: bytes) -> None:
        """Hand the request to the kernel in one piece. This is the only place from which a byte of it can leave."""
        self._make_room(len(data))
        self._transmission.limit_retransmission(self._socket)
        self._transmission.check_deadline()
        # Told before it happens, and taken back where the kernel says that it took nothing.
        self._transmission.handed_over = True
        try:
            sent_bytes = self._socket.send(data)
        except OSError as error:
            self._transmission.handed_over = False
            raise TransportError(f"the connection took nothing: {_reason(error)}") from error
        if sent_bytes < len(data):
            self._transmission.close()  # by a reset: the rest is never sent
            raise TransportError(f"the connection took only {sent_bytes} of {len(data)} bytes; the rest was not sent")

    def _make_room(self, size_bytes: int) -> None:
        """See to it that the kernel can take the request in one piece, before it gets any of it."""
        needed_bytes = 2 * size_bytes + SEND_BUFFER_MARGIN_BYTES
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < needed_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, needed_bytes)
        room_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        if room_bytes < needed_bytes:
            raise TransportError(
                f"a request of {size_bytes} bytes does not fit into the send buffer of {room_bytes}; "
                f"set the host's net.core.wmem_max to {needed_bytes} or more"
            )

    def _refuse_a_peer_that_left(self) -> None:
        """Send nothing to a provider that closed, refused our certificate or spoke before it was asked."""
        while True:
            self._look_for_a_refusal()
            try:
                data = self._socket.recv(READ_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                raise TransportError(f"the connection broke before the request: {_reason(error)}") from error
            if data == b"" or self._tls is None:
                raise TransportError("the provider closed the connection, or spoke, before the request")
            self._incoming.write(data)

    def _look_for_a_refusal(self) -> None:
        if self._tls is None:
            return
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise TransportError(f"the provider refused the TLS connection: {_reason(error)}") from error
        raise TransportError("the provider closed the TLS connection, or spoke, before the request")

    async def _flush_tls(self) -> None:
        """Send what TLS itself has to say. A sealed request is never in this buffer (see `_seal`)."""
        loop = asyncio.get_running_loop()
        data = self._outgoing.read()
        while data:
            self._transmission.check_deadline()
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                await _ready(self._socket, loop.add_writer, loop.remove_writer)
            except OSError as error:
                raise TransportError(f"the connection broke: {_reason(error)}") from error

    async def _feed(self) -> None:
        data = await self._receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _receive(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return self._socket.recv(READ_BYTES_MAX)
            except BlockingIOError:
                await _ready(self._socket, loop.add_reader, loop.remove_reader)
            except OSError as error:
                raise TransportError(f"the connection broke: {_reason(error)}") from error


async def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        # An address needs no thread, of which there are few and which a slow name server may hold.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _ready(sock: socket.socket, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    """Wait until the socket can be read (or written). It is left as it is, so that a cancellation loses no byte."""
    ready = asyncio.Event()
    add(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock.fileno())


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the provider's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    # A time-out alone has no number.
    return os.strerror(error.errno) if error.errno else str(error) or "it took too long"
