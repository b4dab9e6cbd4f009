"""The processes of a service in a campaign: each is kept up as an orchestrator would, unless a fault wants it down."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from devstack.campaign.plan import Place, Shape
from devstack.campaign.timeline import Timeline
from devstack.faketime import OwnClock
from devstack.processes import ManagedProcess, wait_until

_RESTART_DELAY_S: Final = 0.5
_STOP_TIMEOUT_S: Final = 30.0
_UP_TIMEOUT_S: Final = 120.0
_STARTED_LINES: Final = 100
_UP: Final = ("worker is polling", "partition assigned")
"""What a process logs when its work begins."""

Starting = Callable[[Place, Mapping[str, str]], ManagedProcess]
"""Starts a process at its place, with these settings besides those of its site."""


class Member:
    """One process of the service, by whatever process ids it had."""

    def __init__(
        self, place: Place, start: Callable[[], ManagedProcess], timeline: Timeline, clock: OwnClock | None
    ) -> None:
        self.place = place
        self.clock = clock
        self.surprises = 0
        """How often it ended although nobody wanted that."""
        self._start = start
        self._timeline = timeline
        self._process: ManagedProcess | None = None
        self._is_wanted = asyncio.Event()
        if not place.is_spare:
            self._is_wanted.set()

    async def keep_up(self) -> None:
        """Run it until cancelled: it is started again whenever it ended and is wanted."""
        while True:
            await self._is_wanted.wait()
            process = self._process = self._start()
            status = await process.wait()
            if self._is_wanted.is_set():
                self.surprises += 1
                self._timeline.note("ended by itself", target=self.place.name, status=status)
                await asyncio.sleep(_RESTART_DELAY_S)

    @property
    def is_up(self) -> bool:
        """Whether its present process has begun its work."""
        return self._process is not None and any(each in self._process.tail(_STARTED_LINES) for each in _UP)

    async def kill(self) -> None:
        """End it by SIGKILL; it stays down until `bring_back`."""
        self._is_wanted.clear()
        if self._process is not None:
            await self._process.kill_and_wait()

    async def stop(self) -> None:
        """Ask it to end (SIGTERM); it stays down until `bring_back`."""
        self._is_wanted.clear()
        if self._process is not None:
            status = await self._process.terminate(_STOP_TIMEOUT_S)
            self._timeline.note("stopped", target=self.place.name, status=status)

    def bring_back(self) -> None:
        """Let it run."""
        self._is_wanted.set()

    def freeze(self) -> None:
        """Stop it in its tracks."""
        if self._process is not None:
            self._process.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.thaw()


class Fleet:
    """All processes of one campaign, for the time of an `async with`."""

    def __init__(self, shape: Shape, start: Starting, timeline: Timeline, clocks: Mapping[str, OwnClock]) -> None:
        self._members = {
            place.name: Member(
                place,
                functools.partial(start, place, _own_settings(place, shape, clocks.get(place.name))),
                timeline,
                clocks.get(place.name),
            )
            for place in shape.places
        }
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start all but the spare ones."""
        for member in self._members.values():
            if member.clock is not None:
                member.clock.set(0)
            self._keepers.append(asyncio.create_task(member.keep_up(), name=member.place.name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs."""
        await self.stop()

    def __getitem__(self, name: str) -> Member:
        """The process of this name."""
        return self._members[name]

    async def until_up(self) -> None:
        """Wait until all that should run have begun their work."""
        steady = [member for member in self._members.values() if not member.place.is_spare]
        await wait_until(
            lambda: all(member.is_up for member in steady), _UP_TIMEOUT_S, "every process is up", interval_s=0.2
        )

    @property
    def surprises(self) -> int:
        """How often a process ended although nobody wanted that."""
        return sum(member.surprises for member in self._members.values())

    async def stop(self) -> None:
        """Ask all of them to end, and wait for it."""
        await asyncio.gather(*(member.stop() for member in self._members.values()))
        for keeper in self._keepers:
            keeper.cancel()
        for keeper in self._keepers:
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        self._keepers.clear()


def _own_settings(place: Place, shape: Shape, clock: OwnClock | None) -> dict[str, str]:
    """With a name of its own in the group a process that is started again has its partitions at once."""
    instance = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": place.name} if shape.has_instance_ids else {}
    return {**instance, **({} if clock is None else clock.environment)}
