"""Records per second end to end, to the last commit, beside the bare loop before and after it. The first hundred or so are not counted, as
the bare loop's are not: connections are opened meanwhile, and code runs for the first time. Nor is a whole round before everything, in
which Kafka's virtual machine compiles what it runs often: in the first it takes twice as long for a record as in the third.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass

from app import event_loop
from bench import bare
from bench.corner import Corner
from bench.cpu import OURS, CpuMeter
from bench.figure import Figure
from bench.gauge import Gauge, running_gauge
from devstack.simulator.client import Rule
from devstack.stack import Devstack

_WARM_UP_RECORDS = 100
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
    measured: bare.Measured
    corner: Corner
    records: int
    """How many there are, those included that were not counted."""


@dataclass(frozen=True, slots=True)
class Round:
    """A case between two runs of the bare loop. The machine is not equally fast every second, so each is held against its neighbours,
    and all are told in pieces of the gauge's work.
    """

    result: Result
    before: bare.Measured
    after: bare.Measured
    gauge: Gauge

    @property
    def rate_ratio(self) -> float:
        """How fast it was, as a share of the bare loop."""
        ours, *yards = (each.per_s * self.piece_ms(each) for each in self._all)
        return ours / statistics.fmean(yards)

    @property
    def cpu_ratio(self) -> float:
        """What our process took for a record, in times of the bare loop's."""
        ours, *yards = (each.cpu_ms_each[OURS] / self.piece_ms(each) for each in self._all)
        return ours / statistics.fmean(yards)

    @property
    def _all(self) -> tuple[bare.Measured, ...]:
        return self.result.measured, self.before, self.after

    def piece_ms(self, measured: bare.Measured) -> float:
        """How slow the machine was meanwhile."""
        return self.gauge.piece_ms(measured.ended_s - measured.took_s, measured.ended_s)


def best_case(records: int) -> Case:
    """The one that the targets are about."""
    return Case("account", 0, records)


def _other_cases(records: int) -> list[Case]:
    """The others. The slow ones get fewer records, so that each takes about as long."""
    return [
        Case("account", 50, records // 2),
        Case("partition", 0, records // 2),
        Case("partition", 50, records // 4),
    ]


async def end_to_end(stack: Devstack, name: str, case: Case) -> Result:
    """Produce all records, start `recharge run`, and time from the commit of the first ones to the last commit.

    What is final by then is not counted, committed or not: one slow record keeps many that are final from being committed.
    """
    corner = await Corner.make(stack, name, ordering=case.ordering)
    if case.provider_ms:
        delay = f"delay:{case.provider_ms / 1000}+charge+ok"
        await stack.simulator.client.set_rules(Rule(delay, prefix=corner.prefix))
    total = _WARM_UP_RECORDS + case.records
    await corner.produce(range(total))
    process = corner.site.spawn("run")
    try:
        await corner.until_committed(_WARM_UP_RECORDS, process)
        uncounted = await corner.final_count()
        began_s, cpu = time.monotonic(), CpuMeter.of(stack, process)
        await corner.until_committed(total, process)
        return Result(case, bare.Measured.since(began_s, cpu, total - uncounted), corner, total)
    finally:
        await process.terminate(_STOP_TIMEOUT_S)
        await stack.simulator.client.clear_rules()


async def measure(stack: Devstack, *, records: int, in_flight: int, rounds: int) -> tuple[list[Figure], Result]:
    """Measure the best case in so many rounds and every other one in one; and tell where the best case's last records are final now.

    The targets are told by the bare loop of two local activities, the service's first shape.
    """
    with running_gauge() as gauge:
        return await _measure(stack, gauge, records=records, in_flight=in_flight, rounds=rounds)


async def _measure(
    stack: Devstack, gauge: Gauge, *, records: int, in_flight: int, rounds: int
) -> tuple[list[Figure], Result]:
    await end_to_end(stack, "case-uncounted", best_case(records))
    regular = await _bare(stack, bare.RegularAndLocal, records, in_flight)
    one_local = await _bare(stack, bare.OneLocal, records, in_flight)
    as_served = await asyncio.to_thread(
        event_loop.run, bare.run(stack, bare.TwoLocal, count=records, in_flight=in_flight, as_served=True)
    )
    before = await _bare(stack, bare.TwoLocal, records, in_flight)
    best: list[Round] = []
    others: list[Round] = []
    cases = [best_case(records)] * rounds + _other_cases(records)
    for number, case in enumerate(cases):
        result = await end_to_end(stack, f"case-{number}", case)
        after = await _bare(stack, bare.TwoLocal, records, in_flight)
        (best if number < rounds else others).append(Round(result, before, after, gauge))
        before = after
    yards = [best[0].before, *(each.after for each in (*best, *others))]
    return [
        _bare_figure(bare.RegularAndLocal, [regular]),
        _bare_figure(bare.TwoLocal, yards),
        _bare_figure(bare.OneLocal, [one_local]),
        _bare_figure(bare.TwoLocal, [as_served], ", set as the service is"),
        *_figures(best, f", target {_BARE_RATIO_TARGET}", f", target {_BARE_CPU_RATIO_TARGET} at most"),
        *(figure for each in others for figure in _figures([each])),
    ], best[-1].result


async def _bare(stack: Devstack, kind: type, records: int, in_flight: int) -> bare.Measured:
    return await bare.run(stack, kind, count=records, in_flight=in_flight)


def _bare_figure(kind: type, runs: list[bare.Measured], how: str = "") -> Figure:
    each = {"per_s_each": [run.per_s for run in runs], "cpu_ms_each": [run.cpu_ms_each for run in runs]}
    ours_ms = statistics.median(run.cpu_ms_each[OURS] for run in runs)
    return Figure(
        f"bare loop, {kind.__name__}{how}",
        statistics.median(run.per_s for run in runs),
        "a second",
        f"{ours_ms:.1f} ms of CPU time of ours, {_of(len(runs))}",
        each,
    )


def _figures(rounds: list[Round], rate_aim: str = "", cpu_aim: str = "") -> list[Figure]:
    """A case's records a second and CPU time of ours, the median of its rounds, each beside the bare loop around it."""
    name, of = rounds[0].result.case.name, _of(len(rounds))
    details = {
        "per_s_each": [each.result.measured.per_s for each in rounds],
        "rate_ratio_each": [each.rate_ratio for each in rounds],
        "cpu_ratio_each": [each.cpu_ratio for each in rounds],
        "cpu_ms_each": [each.result.measured.cpu_ms_each for each in rounds],
        "piece_ms_each": [each.piece_ms(each.result.measured) for each in rounds],
    }
    rate_ratio = statistics.median(each.rate_ratio for each in rounds)
    cpu_ratio = statistics.median(each.cpu_ratio for each in rounds)
    ours_ms = statistics.median(each.result.measured.cpu_ms_each[OURS] for each in rounds)
    return [
        Figure(
            name,
            statistics.median(each.result.measured.per_s for each in rounds),
            "a second",
            f"{rate_ratio:.2f} of the bare loop{rate_aim}, {of}",
            details,
        ),
        Figure(f"{name}, CPU of ours", ours_ms, "ms each", f"{cpu_ratio:.2f} of the bare loop's{cpu_aim}, {of}"),
    ]


def _of(runs: int) -> str:
    return "one run" if runs == 1 else f"median of {runs}"
