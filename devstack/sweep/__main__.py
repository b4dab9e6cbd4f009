"""`python -m devstack.sweep`: a fault at every boundary of a record's way in turn, and what became of the record."""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from devstack.commands import commit_at_hand
from devstack.errors import DevstackError
from devstack.preloaded import preloaded_sites
from devstack.stack import Devstack
from devstack.stopping import until_stopped
from devstack.sweep.journal import Journal
from devstack.sweep.rig import Fault, Rig, opened, servers
from devstack.sweep.scenarios import PROFILE, SCENARIOS, Scenario
from devstack.sweep.service import Part
from devstack.wire.proxy import Boundary, Hop, Wire

_DRY_RUNS: Final = 3
"""The periodic calls to Kafka and Temporal fall where they like, so the longest of a few ways is taken."""
_SITES_MAX: Final = 8
_MIGRATE_TIMEOUT_S: Final = 60.0
_FREEZE_HOPS: Final = (Hop.PROVIDER,)
"""A freeze matters where the frozen process may still send: at the provider's call."""


@dataclass(frozen=True, slots=True)
class _Task:
    scenario: Scenario
    boundary: Boundary


class Sweep:
    """The boundaries that are left, worked off by several rigs at the same time, each with a site of its own."""

    def __init__(self, journal: Journal, fault: Fault, hops: Sequence[Hop], console: Console) -> None:
        self._journal = journal
        self._fault = fault
        self._hops = hops
        self._console = console
        self._tasks: deque[_Task] = deque()

    async def plan(self, scenario: Scenario, rig: Rig) -> None:
        """Count a scenario's messages, unless an earlier run has, and note what is left to do."""
        if scenario.name not in self._journal.counts:
            ways = [await rig.count(scenario) for _ in range(_DRY_RUNS)]
            self._journal.add_counts(scenario, {hop: max(way[hop] for way in ways) for hop in ways[0]})
        counts = self._journal.counts[scenario.name]
        self._say(f"{scenario.name}: messages " + ", ".join(f"{hop} {count}" for hop, count in counts.items()))
        boundaries = [Boundary(hop, number + 1) for hop in self._hops for number in range(counts.get(hop, 0))]
        self._tasks.extend(
            _Task(scenario, boundary)
            for boundary in boundaries
            if not self._journal.has(scenario, self._fault, boundary)
        )
        self._say(f"{len(boundaries)} boundaries, {len(self._tasks)} of them left to do")

    async def work_all(self, rigs: Sequence[Rig]) -> None:
        """Work off what is left. The first record that does not come to an end stops everything: its lane is blocked."""
        try:
            async with asyncio.TaskGroup() as working:
                for rig in rigs:
                    working.create_task(self._work(rig))
        except* DevstackError as errors:
            raise errors.exceptions[0] from None

    async def _work(self, rig: Rig) -> None:
        """Take boundaries until none is left."""
        while self._tasks:
            task = self._tasks.popleft()
            outcome = await rig.crash(task.scenario, task.boundary, self._fault)
            self._journal.add(task.scenario, self._fault, outcome)
            reached = self._fault if outcome.is_reached else "not reached"
            self._say(f"{task.scenario.name}, {task.boundary}, {reached}: {outcome.told} ({outcome.took_s:.0f} s)")
            for problem in outcome.problems:
                self._say(f"  BROKEN {problem}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


async def run(arguments: argparse.Namespace, console: Console) -> int:
    """Sweep what is left; the exit status is 1 where a promise was broken, now or in an earlier part of this journal."""
    journal = Journal.read(arguments.journal, arguments.process, commit_at_hand())
    scenarios = [each for each in SCENARIOS if each.name in arguments.scenario]
    async with AsyncExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True)))
        cleanup.enter_context(preloaded_sites(folder))
        stack = await cleanup.enter_async_context(Devstack(folder, proxied_count=arguments.sites))
        rigs = [await _rig(stack, number, cleanup, arguments) for number in range(arguments.sites)]
        sweep = Sweep(journal, arguments.fault, arguments.hop, console)
        for scenario in scenarios:
            # One at a time, so that a sweep that is stopped early has not only counted.
            await sweep.plan(scenario, rigs[0])
            await sweep.work_all(rigs)
    return _conclude(journal, arguments.fault, console)


async def _rig(stack: Devstack, number: int, cleanup: AsyncExitStack, arguments: argparse.Namespace) -> Rig:
    site = await stack.site(f"sweep-{number}", profile=PROFILE)
    migration = site.spawn("migrate")
    if await migration.wait(_MIGRATE_TIMEOUT_S) != 0:
        raise DevstackError(f"recharge migrate failed:\n{migration.tail(5)}")
    wire = await cleanup.enter_async_context(Wire(*servers(stack, stack.kafka.proxied[number]), opened(stack)))
    return Rig(stack, site, wire, part=arguments.process, without=arguments.without)


def _conclude(journal: Journal, fault: Fault, console: Console) -> int:
    """Print the figures of the whole journal, earlier runs included."""
    done = [each for each in journal.outcomes if each["fault"] == fault]
    reached = [each for each in done if each["is_reached"]]
    broken = [each for each in done if each["problems"]]
    console.print(f"\n{len(done)} boundaries, {fault} at {len(reached)} of them; at the others the way was shorter.")
    for (scenario, told), count in sorted(Counter((each["scenario"], each["told"]) for each in reached).items()):
        console.print(f"  {count:4} x {scenario}: {told}", markup=False)
    console.print(f"{len(broken)} with a broken promise.", style="red" if broken else "green")
    return 1 if broken else 0


def main() -> int:
    """Read the arguments and sweep; the exit status."""
    names = [each.name for each in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m devstack.sweep", description=__doc__)
    parser.add_argument(
        "--scenario", nargs="+", choices=names, default=names, help="what becomes of the record; all of them"
    )
    parser.add_argument("--hop", nargs="+", type=Hop, choices=list(Hop), help="at whose messages; at all of them")
    parser.add_argument(
        "--fault", type=Fault, choices=list(Fault), default=Fault.KILL, help="what happens there; a kill"
    )
    parser.add_argument(
        "--process",
        type=Part,
        choices=list(Part),
        default=Part.RUN,
        help="what the fault hits: the combined process, or one half of the service, whose other half goes on",
    )
    parser.add_argument("--without", metavar="SAFEGUARD", help="the service runs without it; see devstack.without")
    parser.add_argument(
        "--sites",
        type=int,
        choices=range(1, _SITES_MAX + 1),
        default=2,
        help="services that are swept at the same time",
    )
    parser.add_argument("--journal", type=Path, default=Path("sweep.jsonl"), help="what is done; not done again")
    arguments = parser.parse_args()
    if arguments.fault is Fault.FREEZE and arguments.process is Part.INGEST:
        parser.error(
            "a freeze matters at the provider's call, which an intake does not make: use --process run or worker"
        )
    arguments.hop = arguments.hop or (_FREEZE_HOPS if arguments.fault is Fault.FREEZE else list(Hop))
    console = Console(soft_wrap=True, highlight=False)
    told = f"What is done stands in {arguments.journal}; the same command goes on behind it."
    try:
        return asyncio.run(until_stopped(run(arguments, console), console, told))
    except DevstackError as error:
        Console(stderr=True).print(f"sweep: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
