"""One service behind the wire: a fault hits it at a chosen boundary, and the record is followed to its end."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from devstack.errors import WaitTimeoutError
from devstack.kafka_admin import Record
from devstack.kafka_listeners import ProxiedListener
from devstack.processes import wait_until
from devstack.site import Site
from devstack.stack import Devstack
from devstack.sweep.audit import Auditor
from devstack.sweep.check import find, problems
from devstack.sweep.person import decide
from devstack.sweep.scenarios import CHARGED, Expected, Scenario
from devstack.sweep.service import Part, SweptService
from devstack.wire.opened import Opened
from devstack.wire.proxy import Boundary, Fate, Hop, Wire

_DRAINED_TIMEOUT_S: Final = 90.0
"""A record's longest way: a restart, a workflow task's time-out, a deadline, some look-ups. Twice as long on a busy machine."""
_THAWED_TIMEOUT_S: Final = 300.0
"""A frozen worker's polls stand, so Temporal hands it one try after another: each costs a missing heartbeat, and a pause that grows."""
_DELAY_S: Final = 2.5
"""Longer than the provider's call may take, and over before its processing time is: a look-up counts 3 s after the attempt was opened."""
_POLL_S: Final = 0.1
_QUIET_FROM_S: Final = 0.05
_QUIET_TO_S: Final = 0.3
_QUIET_TIMEOUT_S: Final = 1.5
"""The intake asks once a second; a worker alone has no periodic calls, and would be waited for in vain."""


class Fault(StrEnum):
    """What is done at the boundary, to the process or to its connections."""

    KILL = "kill"
    FREEZE = "freeze"
    CUT = "cut"
    """The process lives, and all of its connections to the boundary's server end."""
    SWALLOW = "swallow"
    """The process lives, and nothing comes through its connections to the boundary's server any more. They stay open."""
    DELAY = "delay"
    """The process lives, and nothing comes through any of its connections for _DELAY_S."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the record whose service met a fault at a boundary. `is_reached` is False where its way was shorter."""

    boundary: Boundary
    is_reached: bool
    told: str
    problems: list[str]
    took_s: float


class Rig:
    """A site, the wire before its servers, and its service.

    Args:
        opens_at: the server whose next connection begins the window; without it the window begins with the record.
        part: the process that is behind the wire.
        without: a safeguard that the service runs without, to see that the sweep notices (`devstack.without`).
    """

    def __init__(  # three parts that it holds together, and three choices
        self,
        stack: Devstack,
        site: Site,
        wire: Wire,
        *,
        opens_at: Hop | None = None,
        part: Part = Part.RUN,
        without: str | None = None,
    ) -> None:
        self._stack = stack
        self._site = site
        self._wire = wire
        self._opens_at = opens_at
        self._service = SweptService(stack, site, wire, part, without)
        self._auditor: Auditor | None = None
        self._produced = 0

    async def count(self, scenario: Scenario) -> dict[Hop, int]:
        """How many messages each hop carries for one record that meets no fault."""
        await self._prepare(scenario)
        self._wire.open_window(at_connection_to=self._opens_at)
        offset = await self._produce(scenario)
        async with self._person(scenario, offset):
            await self._drained(offset)
        return self._wire.close_window()

    async def crash(self, scenario: Scenario, boundary: Boundary, fault: Fault = Fault.KILL) -> Outcome:
        """Send a record on its way, let the fault come at the boundary, and follow it and a record behind it to their ends.

        Raises:
            WaitTimeoutError: they do not come to an end; the service's log says why.
        """
        await self._prepare(scenario)
        began_s = time.monotonic()
        self._wire.open_window(at_connection_to=self._opens_at)
        sprung = self._wire.set_trap(boundary, functools.partial(self._act, fault))
        offset = await self._produce(scenario)
        expected = {offset: scenario.expected}
        async with self._person(scenario, offset):
            drained = asyncio.ensure_future(self._drained(offset))
            try:
                await asyncio.wait({sprung, drained}, return_when=asyncio.FIRST_COMPLETED)
                if self._wire.is_holding:
                    # A call of some period came to the boundary's number just as the record was done.
                    await sprung
                self._wire.close_window()
                if sprung.done():
                    sprung.result()
                    expected |= await self._recover(offset, fault)
                await drained
            finally:
                drained.cancel()
        findings, violations = await asyncio.gather(find(self._stack, self._site), self._audited())
        return Outcome(
            boundary,
            sprung.done(),
            findings.told(offset),
            problems(findings, expected) + violations,
            time.monotonic() - began_s,
        )

    async def _audited(self) -> list[str]:
        """What the service's own audit says is broken, of all records so far."""
        if self._auditor is None:
            self._auditor = await Auditor.of(self._stack, self._site)
        return await self._auditor.violations()

    async def _prepare(self, scenario: Scenario) -> None:
        """Have a service run that is told what this scenario's provider offers, and all of whose connections stand."""
        # The first dead letter of a process makes a connection of its own, which belongs to that record's way.
        if not self._service.is_fit(scenario.settings) or scenario.expected.has_letter:
            await self._service.restart(scenario.settings)
            await self._drained(await self._produce(CHARGED))
        await self._until_quiet()

    @contextlib.asynccontextmanager
    async def _person(self, scenario: Scenario, offset: int) -> AsyncIterator[None]:
        """Somebody who decides about the record, where the provider cannot be asked."""
        if scenario.can_look_up:
            yield
            return
        done = asyncio.Event()
        deciding = asyncio.create_task(decide(self._stack, self._site, offset, done))
        try:
            yield
        finally:
            done.set()
            await deciding

    async def _act(self, fault: Fault) -> Fate:
        match fault:
            case Fault.KILL:
                await self._service.swept.kill_and_wait()
                return Fate.CUT
            case Fault.FREEZE:
                # What it had handed to its kernel is delivered all the same, as by a machine whose CPUs stand still.
                self._service.swept.freeze()
                return Fate.PASS
            case Fault.CUT:
                return Fate.CUT_HOP
            case Fault.SWALLOW:
                return Fate.SWALLOW_HOP
            case Fault.DELAY:
                await asyncio.sleep(_DELAY_S)
                return Fate.PASS
            case _:
                assert_never(fault)

    async def _recover(self, offset: int, fault: Fault) -> dict[int, Expected]:
        """Bring the service back, with a second record behind the first, which must not overtake it."""
        match fault:
            case Fault.KILL:
                behind = await self._produce(CHARGED)
                self._service.start()
            case Fault.FREEZE:
                async with self._standby():
                    await self._final(offset)
                    self._service.swept.thaw()
                    behind = await self._produce(CHARGED)
                    await self._drained(behind)
            case Fault.CUT | Fault.SWALLOW | Fault.DELAY:
                await self._drained(await self._produce(CHARGED))
                # Dead connections would go on failing one by one, in the ways of the records that follow.
                await self._service.swept.kill_and_wait()
                behind = await self._produce(CHARGED)
                self._service.start()
            case _:
                assert_never(fault)
        await self._drained(behind)
        return dict.fromkeys(range(offset + 1, behind + 1), CHARGED.expected)

    @contextlib.asynccontextmanager
    async def _standby(self) -> AsyncIterator[None]:
        """A second worker, not behind the wire, that takes over while the first one is frozen."""
        standby = self._service.standby()
        try:
            yield
        finally:
            await standby.kill_and_wait()

    async def _produce(self, scenario: Scenario) -> int:
        self._produced += 1
        record: Record = (b"sweep", scenario.value(self._produced), 0, [])
        ((_, offset),) = await self._stack.kafka.produce(self._site.topic, [record])
        return offset

    async def _drained(self, offset: int) -> None:
        async def committed() -> bool:
            # Asking Kafka takes a new connection; the service says in its log when it is worth it.
            if self._service.logged_commit_offset() <= offset:
                return False
            return (await self._stack.kafka.committed(self._site.group, self._site.topic)).get(0, 0) > offset

        try:
            await wait_until(
                committed, _DRAINED_TIMEOUT_S, f"offset {offset} of {self._site.topic} is committed", interval_s=_POLL_S
            )
        except WaitTimeoutError as error:
            told = (await find(self._stack, self._site)).told(offset)
            raise WaitTimeoutError(f"{error} It is {told}. The service's log: {self._service.swept.tail()}") from error

    async def _final(self, offset: int) -> None:
        async def is_final() -> bool:
            rows = await self._stack.mysql.execute(
                f"SELECT 1 FROM {self._site.names.database}.recharges "  # noqa: S608  # the stack's own names
                "WHERE source = %s AND topic = %s AND record_offset = %s AND final_at IS NOT NULL",
                (self._site.source, self._site.topic, offset),
            )
            return bool(rows)

        await wait_until(is_final, _THAWED_TIMEOUT_S, f"offset {offset} is final without the frozen process")

    async def _until_quiet(self) -> None:
        """Wait for the moment after a periodic call to Temporal, so that the next one falls behind the record's way, mostly."""
        if self._opens_at is not None:
            return
        with contextlib.suppress(WaitTimeoutError):
            await wait_until(
                lambda: _QUIET_FROM_S <= self._wire.quiet_s(Hop.TEMPORAL) <= _QUIET_TO_S,
                _QUIET_TIMEOUT_S,
                "Temporal's connection has just fallen silent",
            )


def opened(stack: Devstack) -> dict[Hop, Opened]:
    """What the wire of a sweep opens: Kafka's TLS hides ten questions a second from it that bring nothing and change nothing."""
    return {Hop.KAFKA: Opened.kafka(stack.kafka.certificates)}


def servers(stack: Devstack, listener: ProxiedListener | None) -> tuple[dict[Hop, int], dict[Hop, int]]:
    """The arguments of the wire before a stack's servers; without a listener for it, Kafka is left out."""
    ports = {
        Hop.TEMPORAL: stack.temporal.port,
        Hop.MYSQL: stack.mysql.port,
        Hop.PROVIDER: stack.simulator.port,
    }
    if listener is None:
        return ports, {}
    return ports | {Hop.KAFKA: listener.port}, {Hop.KAFKA: listener.proxy_port}
