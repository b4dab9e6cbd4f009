"""Records per second end to end, from the first start to the last commit, beside the bare loop in the same run."""

import time
from dataclasses import dataclass

from bench import bare
from bench.corner import Corner
from bench.cpu import OURS, CpuMeter
from bench.figure import Figure
from devstack.simulator.client import Rule
from devstack.stack import Devstack

_FIRST_CALL_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_BARE_RATIO_TARGET = 0.75
_BARE_CPU_RATIO_TARGET = 1.5


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run."""

    ordering: str
    provider_ms: int
    records: int

    @property
    def name(self) -> str:
        """The case in a few words."""
        return f"{self.ordering} order, provider {self.provider_ms} ms"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case, and the corner where its records are final now."""

    case: Case
    per_s: float
    cpu_ms_each: dict[str, float]
    corner: Corner


def cases(records: int) -> list[Case]:
    """The usual cases. The slow ones get fewer records, so that each takes about as long."""
    return [
        Case("account", 0, records),
        Case("account", 50, records // 2),
        Case("partition", 0, records // 2),
        Case("partition", 50, records // 4),
    ]


async def end_to_end(stack: Devstack, name: str, case: Case) -> Result:
    """Produce all records, start `recharge run`, and time from the first attempt to the last commit."""
    corner = await Corner.make(stack, name, ordering=case.ordering)
    if case.provider_ms:
        delay = f"delay:{case.provider_ms / 1000}+charge+ok"
        await stack.simulator.client.set_rules(Rule(delay, prefix=corner.prefix))
    await corner.produce(range(case.records))
    process = corner.site.spawn("run")
    try:
        await stack.simulator.client.wait_for_posts(corner.prefix, 1, _FIRST_CALL_TIMEOUT_S)
        began_s, cpu = time.monotonic(), CpuMeter.of(stack, process)
        await corner.until_committed(case.records, process)
        took_s = time.monotonic() - began_s
        return Result(case, case.records / took_s, cpu.ms_each(case.records), corner)
    finally:
        await process.terminate(_STOP_TIMEOUT_S)
        await stack.simulator.client.clear_rules()


async def bare_loops(stack: Devstack, *, count: int, in_flight: int) -> dict[str, bare.Measured]:
    """The yardsticks: bare loops of three shapes. The targets are told by that of two local activities, the service's first shape."""
    return {
        kind.__name__: await bare.run(stack, kind, count=count, in_flight=in_flight)
        for kind in (bare.RegularAndLocal, bare.TwoLocal, bare.OneLocal)
    }


def figures(bares: dict[str, bare.Measured], results: list[Result]) -> list[Figure]:
    """All of it in figures: records a second, and CPU time of ours, each beside the bare loop of the same shape."""
    found = []
    for name, measured in bares.items():
        details = {"cpu_ms_each": measured.cpu_ms_each}
        found.append(Figure(f"bare loop, {name}", measured.per_s, "a second", "the yardstick", details))
    yard = bares[bare.TwoLocal.__name__]
    for result in results:
        ratio, ours_ms = result.per_s / yard.per_s, result.cpu_ms_each[OURS]
        cpu_ratio = ours_ms / yard.cpu_ms_each[OURS]
        details = {"cpu_ms_each": result.cpu_ms_each}
        at_best = result.case.ordering == "account" and not result.case.provider_ms
        rate_aim = f", target {_BARE_RATIO_TARGET}" if at_best else ""
        cpu_aim = f", target {_BARE_CPU_RATIO_TARGET} at most" if at_best else ""
        found += [
            Figure(result.case.name, result.per_s, "a second", f"{ratio:.2f} of the bare loop{rate_aim}", details),
            Figure(
                f"{result.case.name}, CPU of ours", ours_ms, "ms each", f"{cpu_ratio:.2f} of the bare loop's{cpu_aim}"
            ),
        ]
    return found
