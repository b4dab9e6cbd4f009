"""How long an audit takes, and how much memory: `python -m bench.audit --records 1000000`.

Topic, ledger, offsets, statement and Temporal are filled on the real servers (`bench.books`); of the last records (`--workflows`) Temporal
still has the completed workflow, as within its retention. Then `recharge audit` runs as a process of its own: over everything, over
the last day with that day's statement, and over that day again after two things were changed by hand, which it has to find. What is told is
the high-water mark of exactly that process's memory (VmHWM).
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from temporalio.client import Client

from app.temporal import register_search_attributes
from bench.books import (
    RECORDS_PER_DAY,
    Numbered,
    fill_ledger,
    fill_temporal,
    fill_topic,
    prepared,
    statement_line,
    write_day,
    write_statement,
)
from bench.figure import Figure, Machine, show, write
from devstack.server import minimal_environment
from devstack.site import Site
from devstack.stack import Devstack

_RESULTS = Path("bench/results")
_CHANGED = "UPDATE {database}.recharges SET amount = 10.5001 WHERE workflow_id = %s"
_LOOK_S = 0.05
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """What one audit cost, and what it said."""

    took_s: float
    cpu_s: float
    """What it needed of a core, whatever else ran on the machine."""
    max_rss_mib: float
    report: dict[str, Any]

    @property
    def found(self) -> list[str]:
        """The workflow ids of what it found, in their order."""
        return sorted(each["workflow_id"] for each in self.report["violations"])

    def figures(self, name: str, records: int) -> list[Figure]:
        """Its figures, by so many records that it was about."""
        cpu = f"{self.cpu_s:.1f} s of CPU time of its own; {records / self.took_s:.0f} records a second"
        verdict = "every promise kept" if self.report["ok"] else f"{len(self.found)} violations found"
        return [
            Figure(name, self.took_s, "s", cpu, {"cpu_s": self.cpu_s, "counts": self.report["counts"]}),
            Figure(f"{name}: largest resident set", self.max_rss_mib, "MiB", verdict),
        ]


def _audit(site: Site, statement: Path, *arguments: str) -> Measured:
    """Run the command, and read the high-water mark of its own memory until it ends.

    The kernel's usage of an ended child would not do: it counts what the forked process had before it became the command, which is this
    benchmark's own memory.
    """
    began_s, used_before_s = time.monotonic(), _ended_children_s()
    with tempfile.TemporaryFile() as out:
        command = subprocess.Popen(
            [sys.executable, "-m", "app", "audit", "--statement", str(statement), "--json", *arguments],
            env=minimal_environment() | site.environment_of("audit"),
            stdout=out,
        )
        max_rss_kib = 0
        while command.poll() is None:
            max_rss_kib = max(max_rss_kib, _high_water_kib(command.pid))
            time.sleep(_LOOK_S)
        took_s = time.monotonic() - began_s
        out.seek(0)
        report = json.load(out)
    return Measured(took_s, _ended_children_s() - used_before_s, max_rss_kib / _KIB, report)


def _ended_children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _high_water_kib(pid: int) -> int:
    """VmHWM of a process; 0 where it is just ending and has no memory any more."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _everything(site: Site, records: int, folder: Path) -> list[Figure]:
    """Audit all of it: nothing may be found, and nothing left out."""
    statement = folder / "statement.csv"
    write_statement(site, records, statement)
    whole = _audit(site, statement)
    counts = whole.report["counts"]
    if (counts["rows"], counts["records"], counts["charges"]) != (records, records, records) or whole.found:
        raise RuntimeError(f"the audit did not see all of it, or saw too much: {counts}, {whole.found[:10]}")
    return whole.figures(f"audit of {records} records", records)


async def _one_day(stack: Devstack, site: Site, records: int, folder: Path) -> list[Figure]:
    """Audit the last day, then change an amount and repeat a charge by hand, and audit it again: exactly these must be found."""
    day = range(max(0, records - RECORDS_PER_DAY), records)
    statement, since = folder / "day.csv", Numbered(day.start).at
    write_day(site, day, statement)
    period = ("--from", since.isoformat())
    clean = await asyncio.to_thread(_audit, site, statement, *period)
    if clean.report["counts"]["rows"] != len(day) or clean.found:
        raise RuntimeError(f"the audit of a day saw {clean.report['counts']} and found {clean.found[:10]}")
    changed, repeated = Numbered(day.start + len(day) // 3), Numbered(day.start + len(day) // 2)
    await stack.mysql.execute(
        _CHANGED.format(database=site.names.database),
        [changed.workflow_id(site)],
    )
    with statement.open("a") as out:
        out.write(statement_line(site, repeated).replace(",P-", ",Q-"))
    broken = await asyncio.to_thread(_audit, site, statement, *period)
    if broken.found != sorted([changed.workflow_id(site), repeated.workflow_id(site)]):
        raise RuntimeError(f"the audit of a day did not find what was planted in it: {broken.found[:10]}")
    name = f"audit of the last {len(day)} of {records} records"
    return [*clean.figures(name, len(day)), *broken.figures(f"{name}, two planted", len(day))]


def main(
    records: Annotated[int, typer.Option(help="Records to audit.", min=1000)] = 1_000_000,
    workflows: Annotated[int, typer.Option(help="Of how many of them Temporal still has the workflow.")] = 20_000,
    pool_mib: Annotated[int, typer.Option(help="MySQL's buffer pool while it is audited.", min=128)] = 1024,
) -> None:
    """Measure audits of many records: their time, and the largest resident set of the process."""
    console = Console()

    async def run() -> tuple[Machine, list[Figure]]:
        with tempfile.TemporaryDirectory(prefix="recharge-bench-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            async with Devstack(folder, lambda text: console.print(f"[dim]{text}[/dim]")) as stack:
                client = await Client.connect(stack.temporal.address)
                await register_search_attributes(client)
                site = await prepared(stack, "bench-audit")
                console.print(f"[dim]{datetime.now(UTC):%H:%M:%S} filling it with {records} records in {folder}[/dim]")
                await fill_topic(stack, site, records, console)
                await fill_ledger(stack, site, records, folder, console, pool_mib=pool_mib)
                await fill_temporal(client, site, records, min(workflows, records), console)
                machine = Machine.now()
                whole = await asyncio.to_thread(_everything, site, records, folder)
                show(console, machine, whole)
                return machine, [*whole, *await _one_day(stack, site, records, folder)]

    machine, figures = asyncio.run(run())
    show(console, machine, figures)
    console.print(f"written to {write(_RESULTS, 'audit', machine, figures)}")


if __name__ == "__main__":
    typer.run(main)
