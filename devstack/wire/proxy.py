"""A proxy before each server of one service: it counts the messages that it passes on, and acts between two of them.

All of it runs in one event loop, and a message is counted and passed on without giving way in between. So when the chosen message comes,
everything counted before it has been handed to the kernel and nothing after it, on any connection: that is the state of the world at one
boundary, and nothing moves while the action runs.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Final, Self, assert_never

from devstack.errors import DevstackError
from devstack.ports import release_port, reserve_port
from devstack.wire.framing import Cutter, FramingError, Http2Cutter, Message, MySQLCutter, TlsCutter
from devstack.wire.link import Link, reset
from devstack.wire.opened import Opened

_READ_BYTES: Final = 64 * 1024


class Hop(StrEnum):
    """The servers that the service talks to, each with a listener of its own."""

    KAFKA = "kafka"
    TEMPORAL = "temporal"
    MYSQL = "mysql"
    PROVIDER = "provider"


class Fate(StrEnum):
    """What becomes of the held message, and of the connections."""

    PASS = "pass"  # noqa: S105  # no password: it is passed on, and everything goes on as if there had only been a delay
    CUT = "cut"  # it is dropped, and every connection there is ends; new ones are passed on
    CUT_HOP = "cut hop"  # the same, but only the connections of its own hop end
    SWALLOW_HOP = "swallow hop"  # it is dropped, and so is whatever comes on its hop's connections, which stay open


@dataclass(frozen=True, slots=True)
class Boundary:
    """The place before the `number`-th message (from 1 on) that a hop carries in the window, both directions together."""

    hop: Hop
    number: int

    def __str__(self) -> str:
        """As the sweep's journal names it."""
        return f"{self.hop} {self.number}"


Action = Callable[[], Awaitable[Fate]]
"""What happens at a boundary while the message is held."""


@dataclass(frozen=True, slots=True)
class _Trap:
    boundary: Boundary
    action: Action
    sprung: "asyncio.Future[None]"


class Wire:
    """The proxies of one service, for the time of an `async with`.

    Args:
        servers: the port of 127.0.0.1 of each server behind a proxy.
        ports: where the proxies listen, for those that cannot be anywhere: Kafka's brokers tell clients their own address.
        opened: the hops whose TLS the proxy opens. The others carry theirs from end to end.
    """

    def __init__(
        self,
        servers: Mapping[Hop, int],
        ports: Mapping[Hop, int] | None = None,
        opened: Mapping[Hop, Opened] | None = None,
    ) -> None:
        self._servers = dict(servers)
        self._opened = dict(opened or {})
        self._given_ports = dict(ports or {})
        self.ports: dict[Hop, int] = {}
        self._listeners: list[asyncio.Server] = []
        self._links: dict[asyncio.Task[None], Link] = {}
        self._gate = asyncio.Event()
        self._gate.set()
        self._opens_at: Hop | None = None
        self._is_counting = False
        self._counts: Counter[Hop] = Counter()
        self._trap: _Trap | None = None
        self._problem: FramingError | None = None
        self._last_passed_s: dict[Hop, float] = {}

    async def __aenter__(self) -> Self:
        """Listen before every server."""
        for hop in self._servers:
            port = self._given_ports.get(hop) or reserve_port()
            self.ports[hop] = port
            tls = self._opened[hop].listening() if hop in self._opened else {}
            self._listeners.append(await asyncio.start_server(self._server_of(hop), "127.0.0.1", port, **tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the listeners and every connection."""
        for listener in self._listeners:
            listener.close()
        self.cut()
        self._gate.set()
        await asyncio.gather(*self._links, return_exceptions=True)
        for hop in self._servers.keys() - self._given_ports.keys():
            release_port(self.ports[hop])

    def open_window(self, *, at_connection_to: Hop | None = None) -> None:
        """Count from zero: from now on, or from the next connection to this server on."""
        self._counts.clear()
        self._opens_at = at_connection_to
        self._is_counting = at_connection_to is None

    def close_window(self) -> dict[Hop, int]:
        """Count no longer, take an unsprung trap away, and return how many messages each hop carried in the window.

        Raises:
            DevstackError: a connection carried something else than its protocol, so nothing that was counted can be relied on.
        """
        self._is_counting, self._opens_at, self._trap = False, None, None
        if self._problem is not None:
            raise DevstackError(f"The proxy cannot read a connection: {self._problem}.") from self._problem
        return {hop: self._counts[hop] for hop in self._servers}

    def set_trap(self, boundary: Boundary, action: Action) -> "asyncio.Future[None]":
        """Run the action once, at this boundary of the window. The future is done when the action is, and raises what it raised."""
        sprung = asyncio.get_running_loop().create_future()
        self._trap = _Trap(boundary, action, sprung)
        return sprung

    @property
    def is_holding(self) -> bool:
        """Whether an action runs, and everything waits for it."""
        return not self._gate.is_set()

    def cut(self, hop: Hop | None = None) -> None:
        """End every connection that there is, or those of one hop."""
        for link in self._links_of(hop):
            link.cut()

    def mute(self, hop: Hop) -> None:
        """Let nothing more come through the connections that a hop has now. They stay open."""
        for link in self._links_of(hop):
            link.is_muted = True

    def _links_of(self, hop: Hop | None) -> list[Link]:
        return [link for link in self._links.values() if hop is None or link.hop is hop]

    def quiet_s(self, hop: Hop) -> float:
        """How long ago the last counted message of a hop was passed on; without end where there was none."""
        return asyncio.get_running_loop().time() - self._last_passed_s.get(hop, float("-inf"))

    def _server_of(self, hop: Hop) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(hop, reader, writer)

        return serve

    async def _serve(self, hop: Hop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until both sides have ended it."""
        opened = self._opened.get(hop)
        tls = opened.connecting() if opened is not None else {}
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._servers[hop], **tls)
        except OSError:
            reset(writer)
            return
        if self._opens_at is hop:
            self._opens_at, self._is_counting = None, True
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs every connection in a task
        link = self._links[task] = Link(hop, writer, server_writer)
        to_server, to_client = _cutters(hop) if opened is None else opened.cutters()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(link, to_server, reader, server_writer))
                pumps.create_task(self._pump(link, to_client, server_reader, writer, is_answer=True))
        except* FramingError as problems:
            self._problem = self._problem or _first(problems)
        finally:
            del self._links[task]
            await link.close()

    async def _pump(
        self,
        link: Link,
        cutter: Cutter,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool = False,
    ) -> None:
        """Carry one direction to its end."""
        try:
            while data := await reader.read(_READ_BYTES):
                for message in cutter.feed(data):
                    portion = await self._portion(link, message, is_answer=is_answer)
                    if portion and not writer.is_closing():
                        writer.write(portion)
                await writer.drain()
            if not (link.is_cut or link.is_muted or writer.is_closing()):
                writer.write(cutter.rest)
                if writer.can_write_eof():
                    writer.write_eof()
                else:  # TLS knows no half of an end
                    writer.close()
        except OSError:
            reset(writer)

    async def _portion(self, link: Link, message: Message, *, is_answer: bool) -> bytes:
        """What is passed on of a message: all of it or nothing. `is_answer` tells that it comes from the server."""
        del is_answer
        return message.raw if await self._passes(link, message) else b""

    async def _passes(self, link: Link, message: Message) -> bool:
        """Whether a message is passed on now. It is held while an action runs, and counted only when it goes."""
        while not self._gate.is_set():
            await self._gate.wait()
        if link.is_cut or link.is_muted:
            return False
        if not message.is_counted:
            return True
        if self._is_counting:
            self._counts[link.hop] += 1
            trap = self._trap
            if trap is not None and trap.boundary == Boundary(link.hop, self._counts[link.hop]):
                return await self._spring(trap)
        self._last_passed_s[link.hop] = asyncio.get_running_loop().time()
        return True

    async def _spring(self, trap: _Trap) -> bool:
        """Hold everything, act, and let go; whether the message is passed on."""
        self._trap = None
        self._gate.clear()
        try:
            fate = await trap.action()
        except Exception as error:  # noqa: BLE001  # it is raised where the trap was set
            trap.sprung.set_exception(error)
            return False
        finally:
            self._gate.set()
        # The event only wakes those who wait, so none of them has gone on yet.
        self._carry_out(fate, trap.boundary.hop)
        trap.sprung.set_result(None)
        return fate is Fate.PASS

    def _carry_out(self, fate: Fate, hop: Hop) -> None:
        match fate:
            case Fate.PASS:
                pass
            case Fate.CUT:
                self.cut()
            case Fate.CUT_HOP:
                self.cut(hop)
            case Fate.SWALLOW_HOP:
                self.mute(hop)
            case _:
                assert_never(fate)


def _cutters(hop: Hop) -> tuple[Cutter, Cutter]:
    """What cuts the two directions of a connection, the one to the server first."""
    match hop:
        case Hop.KAFKA | Hop.PROVIDER:
            return TlsCutter(), TlsCutter()
        case Hop.MYSQL:
            return MySQLCutter(), MySQLCutter()
        case Hop.TEMPORAL:
            return Http2Cutter(is_client=True), Http2Cutter(is_client=False)
        case _:
            assert_never(hop)


def _first(problems: BaseExceptionGroup[FramingError]) -> FramingError:
    first = problems.exceptions[0]
    return first if isinstance(first, FramingError) else _first(first)
