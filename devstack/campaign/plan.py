"""What a campaign will be: a pure function of its seed and its size. The same seed gives the same plan on every machine."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from devstack.campaign.records import PlannedRecord, draw_records
from devstack.wire.proxy import Hop

TIMEOUT_S: Final = 3.0
"""What the service is told of the whole call."""
PROCESSING_TIME_S: Final = 6.0
"""What it is told of how long the provider may go on after that. A request that is held up on the wire, and one that the provider itself
is slow about, must be done by then: else the provider would break its promise, and 'not found' would be no proof."""
PROVIDER_SLOW_MAX_S: Final = 3.0
_PROVIDER_HELD_UP_MAX_S: Final = 2.0
if PROVIDER_SLOW_MAX_S + _PROVIDER_HELD_UP_MAX_S >= PROCESSING_TIME_S:
    raise ValueError(
        "a request that is held up and slow would be carried out after the provider's longest processing time"
    )

PARTITIONS: Final = 8
WIRES: Final = 2
"""Each process stands behind one of so many wires, so that a fault on a wire hits some processes and not the others."""
_FIRST_FAULT_S: Final = 3.0
_BETWEEN_FAULTS_S: Final = (0.3, 2.5)


class FaultKind(StrEnum):
    """What can happen to the service."""

    KILL = "kill"  # SIGKILL of a process, which comes back after a while
    FREEZE = "freeze"  # SIGSTOP, and SIGCONT after a while
    ADD = "add"  # one process more, for a while: a rebalance at its beginning and one at its end
    REMOVE = "remove"  # SIGTERM of a process, which comes back after a while
    KILL_SERVER = "kill_server"
    RESTART_SERVER = "restart_server"
    CUT = "cut"  # every connection of a hop ends
    HOLD_UP = "hold_up"  # nothing goes through a hop for a while, then all of it
    SWALLOW = "swallow"  # the connections of a hop stay open, and nothing comes through any more until they end
    HALVE = "halve"  # an answer of a server arrives to its half, then the connection ends
    REFUSE = "refuse"  # the provider breaks the next few connections before it reads a byte
    CLOCK = "clock"  # a process's clock jumps, and jumps back after a while
    HOLD_RECORD = "hold_record"  # an operator holds a record that is not final
    PAUSE = "pause"  # an operator pauses the intake, and resumes it after a while


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins, for how long it lasts, and what it is done to (a process, a server, a hop, a partition)."""

    at_s: float
    for_s: float
    kind: FaultKind
    target: str
    size: float = 0.0
    """Seconds of a clock's jump; which of the open records is held, as a share of them; which way to break a connection."""

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s


@dataclass(frozen=True, slots=True)
class Place:
    """A process of the service: its name, the command that it runs, and the wire that it stands behind."""

    name: str
    command: str
    wire: int
    is_spare: bool = False
    """It runs only while a fault has added it."""
    has_own_clock: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """How the service is set up."""

    ordering: str
    duplicate_protection: str
    has_instance_ids: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One campaign."""

    seed: int
    shape: Shape
    records: tuple[PlannedRecord, ...]
    faults: tuple[Fault, ...]

    @property
    def command(self) -> str:
        """What runs it again."""
        return f"make campaign SEED={self.seed} RECORDS={len(self.records)} FAULTS={len(self.faults)}"


_PROTECTIONS: Final = ("lookup", "none", "idempotency_key")
_ORDERINGS: Final = ("partition", "account", "key", "none")
_FLEETS: Final = (("run", "run", "ingest", "worker"), ("ingest", "ingest", "worker", "worker"), ("run", "run", "run"))
_SPARES: Final = ("run", "ingest", "worker")
_WITH_OWN_CLOCK: Final = ("run-1", "worker-1")
SERVERS: Final = tuple(Hop)
_HOPS: Final = tuple(f"{hop}-{wire}" for hop in Hop for wire in range(WIRES))

_FOR_S: Final = {
    FaultKind.KILL: (0.1, 3.0),
    FaultKind.FREEZE: (0.5, 12.0),
    FaultKind.ADD: (6.0, 15.0),
    FaultKind.REMOVE: (0.5, 8.0),
    FaultKind.KILL_SERVER: (0.1, 4.0),
    FaultKind.RESTART_SERVER: (0.1, 4.0),
    FaultKind.CUT: (0.0, 0.0),
    FaultKind.HOLD_UP: (0.2, 5.0),
    FaultKind.SWALLOW: (1.0, 10.0),
    FaultKind.HALVE: (1.0, 1.0),
    FaultKind.REFUSE: (0.0, 0.0),
    FaultKind.CLOCK: (2.0, 15.0),
    FaultKind.HOLD_RECORD: (0.0, 0.0),
    FaultKind.PAUSE: (1.0, 6.0),
}
_DECK: Final = (
    *(FaultKind.KILL, FaultKind.KILL, FaultKind.FREEZE, FaultKind.FREEZE, FaultKind.ADD, FaultKind.REMOVE),
    *(FaultKind.KILL_SERVER, FaultKind.KILL_SERVER, FaultKind.RESTART_SERVER, FaultKind.CUT, FaultKind.CUT),
    *(FaultKind.HOLD_UP, FaultKind.SWALLOW, FaultKind.HALVE, FaultKind.HALVE, FaultKind.REFUSE, FaultKind.CLOCK),
    *(FaultKind.HOLD_RECORD, FaultKind.PAUSE),
)
_CLOCK_JUMPS_S: Final = (-2 * 86_400.0, -3_600.0, -30.0, 30.0, 3_600.0, 2 * 86_400.0)


def make_plan(seed: int, records: int, faults: int) -> Plan:
    """The campaign of a seed and a size."""
    draw = random.Random(f"{seed}/{records}/{faults}")  # noqa: S311  # a campaign must be drawn again, not be a secret
    shape = _shape(seed)
    drawn = _draw_faults(draw, shape, faults)
    span_s = max((fault.at_s for fault in drawn), default=0.0) + _FIRST_FAULT_S
    return Plan(seed, shape, draw_records(draw, records, PARTITIONS, span_s), drawn)


def _shape(seed: int) -> Shape:
    """How the service is set up: by the seed itself, so that neighbouring seeds differ in all of it."""
    commands = _FLEETS[(seed // 2) % len(_FLEETS)]
    places: list[Place] = []
    for is_spare, group in ((False, commands), (True, _SPARES)):
        for command in group:
            name = f"{command}-{sum(place.command == command for place in places) + 1}"
            has_own_clock = name in _WITH_OWN_CLOCK and not is_spare
            places.append(Place(name, command, len(places) % WIRES, is_spare, has_own_clock))
    return Shape(
        ordering=_ORDERINGS[seed % len(_ORDERINGS)],
        duplicate_protection=_PROTECTIONS[seed % len(_PROTECTIONS)],
        has_instance_ids=seed % 5 < 3,  # noqa: PLR2004  # of five seeds in a row three have them
        places=tuple(places),
    )


def _draw_faults(draw: random.Random, shape: Shape, count: int) -> tuple[Fault, ...]:
    """Faults one after another. They overlap, but nothing meets a second one before it has got over its first."""
    drawn: list[Fault] = []
    deck: list[FaultKind] = []
    at_s = _FIRST_FAULT_S
    while len(drawn) < count:
        if not deck:
            deck = draw.sample(_DECK, len(_DECK))
        at_s += draw.uniform(*_BETWEEN_FAULTS_S)
        busy = {fault.target for fault in drawn if fault.ends_s + 1.0 > at_s}
        kind = deck.pop()
        free = [target for target in _targets(kind, shape) if target not in busy]
        if free:
            drawn.append(_draw_fault(draw, kind, draw.choice(free), at_s))
    return tuple(drawn)


def _targets(kind: FaultKind, shape: Shape) -> Sequence[str]:
    """What a fault can be done to."""
    steady = [place.name for place in shape.places if not place.is_spare]
    return {
        FaultKind.KILL: steady,
        FaultKind.FREEZE: steady,
        FaultKind.REMOVE: steady,
        FaultKind.ADD: [place.name for place in shape.places if place.is_spare],
        FaultKind.CLOCK: [place.name for place in shape.places if place.has_own_clock],
        FaultKind.KILL_SERVER: SERVERS,
        FaultKind.RESTART_SERVER: SERVERS,
        FaultKind.CUT: _HOPS,
        FaultKind.HOLD_UP: _HOPS,
        FaultKind.SWALLOW: _HOPS,
        FaultKind.HALVE: _HOPS,
        FaultKind.REFUSE: ["connections"],
        FaultKind.HOLD_RECORD: [f"partition-{number}" for number in range(PARTITIONS)],
        FaultKind.PAUSE: ["intake"],
    }[kind]


def _draw_fault(draw: random.Random, kind: FaultKind, target: str, at_s: float) -> Fault:
    for_s = draw.uniform(*_FOR_S[kind])
    if kind is FaultKind.HOLD_UP and target.startswith(Hop.PROVIDER):
        for_s = min(for_s, _PROVIDER_HELD_UP_MAX_S)
    size = draw.choice(_CLOCK_JUMPS_S) if kind is FaultKind.CLOCK else draw.random()
    return Fault(round(at_s, 3), round(for_s, 3), kind, target, size)


def hop_and_wire(target: str) -> tuple[Hop, int]:
    """The hop and the number of the wire that a fault's target names."""
    hop, _, wire = target.partition("-")
    return Hop(hop), int(wire)
