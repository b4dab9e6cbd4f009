"""TLS before the Temporal server, which has none of its own in development: a forwarder, with or without client certificates."""

import asyncio
import contextlib
import ssl
from types import TracebackType
from typing import Final, Self

from devstack.certificates import Certificates
from devstack.ports import release_port, reserve_port

_READ_BYTES: Final = 64 * 1024


class TemporalTls:
    """Listens with TLS on a port of 127.0.0.1 and passes what comes on to a port without, for the time of an `async with`.

    Args:
        port: of the server on 127.0.0.1.
        certificates: the server's, and the authority that clients' certificates have to come from.
        mutual: whether a client without a certificate is refused.
    """

    def __init__(self, port: int, certificates: Certificates, *, mutual: bool) -> None:
        self._server_port = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.cert_file, certificates.key_file)
        self._context.set_alpn_protocols(["h2"])
        if mutual:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(certificates.ca_file)
        self._port = reserve_port()
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.received = bytearray()
        """What clients sent, as it was inside TLS."""

    @property
    def address(self) -> str:
        """Host and port of the listener."""
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every connection, and give the port back."""
        assert self._listener is not None  # noqa: S101  # it was entered
        self._listener.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        release_port(self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None  # noqa: S101  # asyncio runs it in one
        self._links.add(link)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
            await asyncio.gather(self._pass_on(reader, server_writer, heard=True), self._pass_on(server_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone, or the test is over: both connections end below
        finally:
            self._links.discard(link)
            writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, heard: bool = False
    ) -> None:
        try:
            while part := await reader.read(_READ_BYTES):
                if heard:
                    self.received += part
                writer.write(part)
                await writer.drain()
        finally:
            with contextlib.suppress(OSError):
                writer.close()
