"""The faults of a plan, carried out at their time: thin, since what happens when was drawn before."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from devstack.campaign.fleet import Fleet
from devstack.campaign.person import Operator
from devstack.campaign.plan import Fault, FaultKind, hop_and_wire
from devstack.campaign.timeline import Timeline
from devstack.errors import DevstackError
from devstack.server import ManagedServer
from devstack.simulator.client import ConnectionFault, SimulatorError
from devstack.stack import Devstack
from devstack.wire.disturbed import DisturbedWire
from devstack.wire.proxy import Hop

_REFUSED_CONNECTIONS: Final = 3


class Weather:
    """What happens to one service.

    `kafka_is_up` is held while Kafka is down, so that the campaign's own records wait for it.
    """

    def __init__(  # everything that something can happen to
        self, stack: Devstack, fleet: Fleet, wires: list[DisturbedWire], operator: Operator, timeline: Timeline,
        kafka_is_up: asyncio.Lock,
    ) -> None:  # fmt: skip
        self._stack = stack
        self._fleet = fleet
        self._wires = wires
        self._operator = operator
        self._timeline = timeline
        self._kafka_is_up = kafka_is_up
        self._targets: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def blow(self, faults: tuple[Fault, ...]) -> None:
        """Carry out all faults, each at its time, and return when the last one is over."""
        async with asyncio.TaskGroup() as blowing:
            for fault in faults:
                blowing.create_task(self._carry_out(fault))

    async def _carry_out(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s - self._timeline.now_s)
        # On a slow machine what the one before it did to the same target may not be over yet.
        async with self._targets[fault.target]:
            await self._tell_and_act(fault)

    async def _tell_and_act(self, fault: Fault) -> None:
        told = {"fault": fault.kind, "target": fault.target, "for_s": fault.for_s, "size": fault.size}
        self._timeline.note("begins", **told)
        await self._act(fault)
        self._timeline.note("ends", fault=fault.kind, target=fault.target)

    async def _act(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.KILL | FaultKind.FREEZE | FaultKind.ADD | FaultKind.REMOVE | FaultKind.CLOCK:
                await self._to_process(fault)
            case FaultKind.KILL_SERVER | FaultKind.RESTART_SERVER:
                await self._to_server(fault)
            case FaultKind.CUT | FaultKind.HOLD_UP | FaultKind.SWALLOW | FaultKind.HALVE:
                await self._to_hop(fault)
            case FaultKind.REFUSE:
                await self._refuse_connections(fault)
            case FaultKind.HOLD_RECORD:
                await self._operator.hold(int(fault.target.rpartition("-")[2]), fault.size)
            case FaultKind.PAUSE:
                await self._operator.pause()
                await asyncio.sleep(fault.for_s)
                await self._operator.resume()
            case _:
                assert_never(fault.kind)

    async def _to_process(self, fault: Fault) -> None:
        member = self._fleet[fault.target]
        match fault.kind:
            case FaultKind.KILL:
                await member.kill()
                await asyncio.sleep(fault.for_s)
                member.bring_back()
            case FaultKind.REMOVE:
                await member.stop()
                await asyncio.sleep(fault.for_s)
                member.bring_back()
            case FaultKind.ADD:
                member.bring_back()
                await asyncio.sleep(fault.for_s)
                await member.stop()
            case FaultKind.FREEZE:
                member.freeze()
                await asyncio.sleep(fault.for_s)
                member.thaw()
            case _:
                if member.clock is None:
                    raise DevstackError(f"{fault.target} has no clock of its own.")
                member.clock.set(fault.size)
                await asyncio.sleep(fault.for_s)
                member.clock.set(0)

    async def _to_server(self, fault: Fault) -> None:
        match Hop(fault.target):
            case Hop.KAFKA:
                async with self._kafka_is_up:
                    await _outage(self._stack.kafka, fault)
            case Hop.TEMPORAL:
                await _outage(self._stack.temporal, fault)
            case Hop.MYSQL:
                await _outage(self._stack.mysql, fault)
            case Hop.PROVIDER:
                await _outage(self._stack.simulator, fault)

    async def _to_hop(self, fault: Fault) -> None:
        hop, number = hop_and_wire(fault.target)
        wire = self._wires[number]
        match fault.kind:
            case FaultKind.CUT:
                wire.cut(hop)
            case FaultKind.HALVE:
                wire.halve_next(hop)
            case FaultKind.SWALLOW:
                wire.mute(hop)
                await asyncio.sleep(fault.for_s)
                wire.end_muted(hop)
            case _:
                wire.hold_up(hop)
                await asyncio.sleep(fault.for_s)
                wire.let_go(hop)

    async def _refuse_connections(self, fault: Fault) -> None:
        ways = list(ConnectionFault)
        first = int(fault.size * len(ways))
        try:
            await self._stack.simulator.client.set_connection_faults(
                *(ways[(first + number) % len(ways)] for number in range(_REFUSED_CONNECTIONS))
            )
        except SimulatorError as error:
            self._timeline.note("not done", fault=fault.kind, why=str(error))


async def _outage(server: ManagedServer, fault: Fault) -> None:
    ending: Callable[[], Awaitable[object]] = (
        server.process.kill_and_wait if fault.kind is FaultKind.KILL_SERVER else server.stop
    )
    await ending()
    await asyncio.sleep(fault.for_s)
    await server.start()
