"""`python -m devstack.campaign`: a service of several processes under faults that are drawn from a seed, and its audit afterwards."""

import argparse
import asyncio
import json
import logging
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from devstack.campaign.campaign import Campaign, Result
from devstack.campaign.journal import Journal
from devstack.campaign.plan import WIRES, make_plan
from devstack.commands import commit_at_hand
from devstack.errors import DevstackError
from devstack.stack import Devstack
from devstack.stopping import until_stopped
from recharge.text import counted

_SEEDS: Final = 1_000_000
_LINES_MAX: Final = 60


async def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the campaigns that are left; the exit status is 1 where a promise was broken, now or in an earlier part of this journal."""
    journal = None if arguments.journal is None else Journal.read(arguments.journal)
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    left = [seed for seed in seeds if journal is None or not journal.has(seed, arguments.records, arguments.faults)]
    console.print(f"campaign: {counted(len(seeds), 'seed')} from {seeds.start} on, {len(left)} left to do")
    results: list[Result] = []
    for seed in left:
        result = await _run_one(seed, arguments, console)
        results.append(result)
        if journal is not None:
            journal.add(result)
        if result.problems:
            break
    return _conclude(results if journal is None else journal.results, console)


async def _run_one(seed: int, arguments: argparse.Namespace, console: Console) -> Result:
    """One campaign on a stack of its own, whose folder stays where something went wrong."""
    plan = make_plan(seed, arguments.records, arguments.faults)
    console.print(f"\nseed {seed}: {plan.command}", markup=False)
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    campaign: Campaign | None = None
    try:
        async with Devstack(folder, proxied_count=WIRES) as stack:
            campaign = Campaign(stack, plan, arguments.without)
            result = await campaign.run()
    except BaseException:
        if campaign is not None and campaign.timeline is not None:
            console.print(f"It did not come to its end. Its timeline and its logs stand in {folder}", markup=False)
        raise
    result.commit, result.date = commit_at_hand(), datetime.now(UTC).date().isoformat()
    console.print(_line(result), markup=False)
    if result.problems:
        _tell(campaign, result, folder, console)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _line(result: Result) -> str:
    states = ", ".join(
        f"{name} {result.counts[name]}"
        for name in ("succeeded", "rejected", "invalid", "skipped")
        if name in result.counts
    )
    return (
        f"  {result.shape}\n  {result.records} records ({states}), {result.faults} faults, {result.charges} charges, "
        f"{result.posts} calls, {result.decisions} commands of an operator; drained after {result.drained_s:g} s "
        f"({result.records_per_s:g} records a second), {len(result.problems)} broken promises"
    )


def _tell(campaign: Campaign, result: Result, folder: Path, console: Console) -> None:
    """What is broken, what happened around it, and how it is run again."""
    for problem in result.problems:
        console.print(f"  BROKEN {problem}", markup=False)
    console.print(f"\nseed {result.seed}; around the first of them:", markup=False)
    for line in campaign.around_first_problem(result)[:_LINES_MAX]:
        console.print(f"  {json.dumps(line)}", markup=False)
    console.print(f"\nTimeline and logs: {folder}\nAgain: {campaign.plan.command}", markup=False)


def _conclude(results: list[Result], console: Console) -> int:
    """Print the figures of all of them, earlier runs included."""
    broken = [result for result in results if result.problems]
    totals: Counter[str] = Counter()
    for result in results:
        totals.update(records=result.records, faults=result.faults, charges=result.charges)
    console.print(
        f"\n{counted(len(results), 'seed')}, {counted(totals['records'], 'record')}, {counted(totals['faults'], 'fault')}, "
        f"{counted(totals['charges'], 'charge')}; {counted(len(broken), 'seed')} with a broken promise.",
        style="red" if broken else "green",
    )
    return 1 if broken else 0


def main() -> int:
    """Read the arguments and run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devstack.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; drawn where it is left out")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--records", type=int, default=500, help="records of each")
    parser.add_argument("--faults", type=int, default=25, help="faults of each")
    parser.add_argument("--journal", type=Path, help="the seeds that are done, with their figures; not done again")
    parser.add_argument("--without", metavar="SAFEGUARD", help="the service runs without it; see devstack.without")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(_SEEDS)
    # A proxy writes to connections that it has just broken; that is its purpose, and asyncio would tell each time.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    console = Console(soft_wrap=True, highlight=False)
    told = "The seed that was under way begins anew."
    try:
        return asyncio.run(until_stopped(run(arguments, console), console, told))
    except DevstackError as error:
        Console(stderr=True).print(f"campaign: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
