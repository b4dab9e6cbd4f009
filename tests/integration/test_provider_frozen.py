"""A client process that is frozen between its connect and its request, and thawed when the call's time is over."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activities.provider import boottime_s
from recharge import limits
from recharge.outcome import Outcome
from tests.support.peer import Certificates, Peer, serving, until

DRIVER = Path(__file__).with_name("provider_driver.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("version", "frozen_at", "timers"),
    [
        (ssl.TLSVersion.TLSv1_2, "accept", "no-timers"),
        (ssl.TLSVersion.TLSv1_2, "last flight", "no-timers"),
        (ssl.TLSVersion.TLSv1_2, "last flight", "timers"),
        (ssl.TLSVersion.TLSv1_3, "accept", "no-timers"),
        (ssl.TLSVersion.TLSv1_3, "last flight", "no-timers"),
        (ssl.TLSVersion.TLSv1_3, "last flight", "timers"),
    ],
)
async def test_a_process_frozen_past_the_deadline_sends_nothing(
    certificates: Certificates, version: ssl.TLSVersion, frozen_at: str, timers: str
) -> None:
    frozen = await _freeze(certificates, version, frozen_at, timers, past_deadline=True)
    assert frozen.answer["outcome"] == Outcome.NOT_SENT, frozen.answer
    assert frozen.request == b""
    if frozen_at == "last flight":
        assert frozen.wire_after == b"", "not even its own side of the handshake leaves after the deadline"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_process_thawed_in_time_sends_its_call(certificates: Certificates, version: ssl.TLSVersion) -> None:
    frozen = await _freeze(certificates, version, "last flight", "timers", past_deadline=False)
    assert frozen.answer["outcome"] == Outcome.CHARGED, frozen.answer
    assert b'{"amount":1}' in frozen.request


@dataclass
class Frozen:
    """What a frozen process said and sent: its answer, the request as decrypted, and the wire's bytes after it was thawed."""

    answer: dict[str, object] = field(default_factory=dict)
    request: bytearray = field(default_factory=bytearray)
    wire_after: bytearray = field(default_factory=bytearray)


async def _freeze(
    certificates: Certificates, version: ssl.TLSVersion, frozen_at: str, timers: str, *, past_deadline: bool
) -> Frozen:
    """Run the driver against a server that freezes it, finishes its own side of the handshake, and thaws it."""
    context = certificates.server_context()
    context.minimum_version = context.maximum_version = version
    freezer = Freezer(context, frozen_at, past_deadline=past_deadline)
    async with serving(freezer.serve, None) as server:
        time_s = "1.2" if past_deadline else "20"
        with _driver(server.url, certificates, time_s, timers) as process:
            freezer.pid_and_deadline.set_result((process.pid, float(await _line(process))))
            freezer.result.answer = json.loads(await _line(process))
    assert server.connections == 1
    return freezer.result


@contextlib.contextmanager
def _driver(url: str, certificates: Certificates, time_s: str, *how: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The process that sends one call. It says its deadline in one line and its answer in another."""
    command = [sys.executable, str(DRIVER), url, str(certificates.ca_file), time_s, *how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


async def _line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    return await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)


async def _stop(pid: int) -> None:
    """Stop a process in its tracks, and wait until it stands."""
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")


class Freezer:
    """The provider that stops the client's process at a chosen point of the handshake."""

    def __init__(self, context: ssl.SSLContext, frozen_at: str, *, past_deadline: bool) -> None:
        self.context = context
        self.frozen_at = frozen_at
        self.past_deadline = past_deadline
        self.result = Frozen()
        self.pid_and_deadline: asyncio.Future[tuple[int, float]] = asyncio.get_running_loop().create_future()

    async def serve(self, peer: Peer) -> None:
        tls = ServerTls(self.context, peer)
        if self.frozen_at == "accept":
            await self._freeze(tls)
        else:
            await self._freeze_before_the_last_flight(tls)
        tls.wire = self.result.wire_after
        await tls.finish_handshake()
        while not self.result.request.endswith(b'{"amount":1}'):
            self.result.request += await tls.read()
        tls.object.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await tls.flush()

    async def _freeze_before_the_last_flight(self, tls: "ServerTls") -> None:
        """Hold back what the client waits for last: the server's first flight under TLS 1.3, its last one under 1.2."""
        if self.context.maximum_version is ssl.TLSVersion.TLSv1_3:
            await tls.receive()
            tls.shake_hands()
        else:
            while not tls.shake_hands():
                await tls.flush()
                await tls.receive()
        await self._freeze(tls)

    async def _freeze(self, tls: "ServerTls") -> None:
        """Stop the client, let everything that it waits for arrive, and let it go on when its time is over (or at once)."""
        pid, deadline_boottime_s = await self.pid_and_deadline
        await _stop(pid)
        await tls.flush()
        await until(lambda: not self.past_deadline or boottime_s() > deadline_boottime_s)
        os.kill(pid, signal.SIGCONT)


class ServerTls:
    """The server's side of a TLS connection, step by step. `wire` collects what comes in, still encrypted."""

    def __init__(self, context: ssl.SSLContext, peer: Peer) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.peer = peer
        self.wire = bytearray()

    def shake_hands(self) -> bool:
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def finish_handshake(self) -> None:
        while not self.shake_hands():
            await self.flush()
            await self.receive()
        await self.flush()

    async def flush(self) -> None:
        await self.peer.say(self.outgoing.read())

    async def receive(self) -> None:
        data = await self.peer.reader.read(65536)
        if not data:
            raise EOFError
        self.wire += data
        self.incoming.write(data)

    async def read(self) -> bytes:
        while True:
            try:
                return self.object.read(65536)
            except ssl.SSLWantReadError:
                await self.receive()


# --- Without TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timers", ["no-timers", "timers"])
async def test_a_process_frozen_past_the_deadline_sends_nothing_over_plain_http_either(
    certificates: Certificates, timers: str
) -> None:
    frozen = await _freeze_while_connecting(certificates, timers, past_deadline=True)
    assert frozen.answer["outcome"] == Outcome.NOT_SENT, frozen.answer
    assert frozen.request == b""


async def test_a_process_thawed_in_time_sends_its_call_over_plain_http(certificates: Certificates) -> None:
    frozen = await _freeze_while_connecting(certificates, "timers", past_deadline=False)
    assert frozen.answer["outcome"] == Outcome.CHARGED, frozen.answer
    assert frozen.request.endswith(b'{"amount":1}')


async def _freeze_while_connecting(certificates: Certificates, timers: str, *, past_deadline: bool) -> Frozen:
    """Freeze the client in its connect, which nothing but a full queue at the server holds up, and let that succeed meanwhile."""
    frozen = Frozen()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as queued:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        queued.settimeout(0)
        await asyncio.get_running_loop().sock_connect(queued, ("127.0.0.1", port))
        # The kernel asks again for a connection after a second, so it is there before this deadline.
        time_s = "3" if past_deadline else "20"
        with _driver(f"http://127.0.0.1:{port}/recharges", certificates, time_s, timers) as process:
            deadline_boottime_s = float(await _line(process))
            await until(lambda: _is_connecting(port))
            await _stop(process.pid)
            (await _accept(listener)).close()
            with await _accept(listener) as connection:
                await until(lambda: not past_deadline or boottime_s() > deadline_boottime_s)
                os.kill(process.pid, signal.SIGCONT)
                await _answer_plainly(connection, frozen.request)
            frozen.answer = json.loads(await _line(process))
    return frozen


def _is_connecting(port: int) -> bool:
    """Tell whether a connection to this port has been asked for and is not there yet."""
    syn_sent = "02"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(remote.split(":")[1], 16) == port and state == syn_sent for _, _, remote, state, *_ in rows)


async def _accept(listener: socket.socket) -> socket.socket:
    connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 30)
    return connection


async def _answer_plainly(connection: socket.socket, request: bytearray) -> None:
    """Collect the request; answer it where it comes."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionResetError):  # how a client leaves that sends nothing
        while data := await asyncio.wait_for(loop.sock_recv(connection, 65536), 30):
            request += data
            if request.endswith(b'{"amount":1}'):
                await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def test_what_a_frozen_process_had_handed_over_is_given_up_by_its_kernel_at_the_deadline(
    certificates: Certificates,
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/recharges"
        with _driver(url, certificates, "2", "timers", "large") as process:
            deadline_boottime_s = float(await _line(process))
            with await _accept(listener) as connection:
                # The request stands in the two kernels, for the most part in the client's.
                await until(lambda: _waiting_bytes(connection) > 0)
                await _stop(process.pid)
                # The kernel looks at the clock when it asks for room again, more and more seldom.
                await until(lambda: boottime_s() > deadline_boottime_s + 2)
                arrived = 0
                with contextlib.suppress(ConnectionResetError, TimeoutError):
                    while data := await asyncio.wait_for(loop.sock_recv(connection, 65536), 2):
                        arrived += len(data)
            os.kill(process.pid, signal.SIGCONT)
            answer = json.loads(await _line(process))
    assert 0 < arrived < limits.RECORD_BYTES_MAX
    assert answer["outcome"] == Outcome.UNKNOWN, answer


def _waiting_bytes(connection: socket.socket) -> int:
    """How many bytes have arrived and were not read."""
    with contextlib.suppress(BlockingIOError):
        return len(connection.recv(65536, socket.MSG_PEEK))
    return 0
