"""The service's event loop ends what a peer leaves open."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from pathlib import Path

from recharge import limits
from tests.support.peer import Certificates


async def test_a_tls_connection_that_the_peer_never_closes_is_given_up_and_not_waited_for(tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path)
    trusting = ssl.create_default_context(cafile=certificates.ca_file)
    over = threading.Event()

    def shake_hands_and_no_more(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with certificates.server.wrap_socket(connection, server_side=True):
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = asyncio.create_task(asyncio.to_thread(shake_hands_and_no_more, listener))
        try:
            port = listener.getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            writer.close()
            async with asyncio.timeout(10 * limits.TLS_CLOSE_TIMEOUT_S):
                with contextlib.suppress(OSError):  # it is told that the connection was given up
                    await writer.wait_closed()
        finally:
            over.set()
            await peer


async def test_what_is_written_to_a_lost_connection_goes_nowhere_and_raises_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        assert reader.at_eof() or reader.exception()
        writer.write(b"too late")
        writer.close()
