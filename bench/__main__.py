"""`make bench` and `python -m bench COMMAND`: a table, and a JSON file with more beside it."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import duplicates, latency, ledger, memory, restart, throughput
from bench.figure import Figure, Machine, show, write
from devstack.stack import Devstack
from recharge import contract

_RESULTS = Path("bench/results")
_HALF = 0.5
_STOPPED_S = 60.0
_STOPPED_LONG_S = 300.0

Records = Annotated[int, typer.Option(help="Records of the fastest case; the slower ones get fewer.", min=100)]
InFlight = Annotated[int, typer.Option(help="Workflows of the bare loop at a time.", min=1)]
Seconds = Annotated[float, typer.Option(help="How long records are produced at half load.", min=10)]
Rounds = Annotated[
    int, typer.Option(help="How often the fastest case is measured, each time between two bare loops.", min=1)
]
Times = Annotated[int, typer.Option(help="How many restarts of each kind.", min=1)]

cli = typer.Typer(
    help="Measure the service on the local stack, each figure beside its yardstick in the same run.",
    add_completion=False,
)
console = Console()


@cli.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    records: Records = 1000,
    in_flight: InFlight = 100,
    rounds: Rounds = 5,
    seconds: Seconds = 60.0,
    times: Times = 5,
) -> None:
    """Measure all but the memory, in about twelve minutes; one command measures one thing."""
    if context.invoked_subcommand is not None:
        return

    async def measure(stack: Devstack) -> list[Figure]:
        found, best = await throughput.measure(stack, records=records, in_flight=in_flight, rounds=rounds)
        return [
            *found,
            *await latency.measure(stack, per_s=best.measured.per_s * _HALF, seconds=seconds),
            *await restart.measure(stack, times=times),
            *await duplicates.measure(best.corner, best.records, first_time_per_s=best.measured.per_s),
        ]

    _run("all", measure)


@cli.command("throughput")
def throughput_(records: Records = 1000, in_flight: InFlight = 100, rounds: Rounds = 5) -> None:
    """Records a second and CPU time of each, in four cases between bare loops."""

    async def measure(stack: Devstack) -> list[Figure]:
        found, _ = await throughput.measure(stack, records=records, in_flight=in_flight, rounds=rounds)
        return found

    _run("throughput", measure)


@cli.command("latency")
def latency_(records: Records = 1000, seconds: Seconds = 60.0) -> None:
    """From producing to final at half load, which is half of what is measured first."""

    async def measure(stack: Devstack) -> list[Figure]:
        most = await throughput.end_to_end(stack, "most", throughput.best_case(records))
        return await latency.measure(stack, per_s=most.measured.per_s * _HALF, seconds=seconds)

    _run("latency", measure)


@cli.command("restart")
def restart_(times: Times = 5) -> None:
    """From the start of a process after a SIGKILL to its first call, without and with a group instance id."""
    _run("restart", lambda stack: restart.measure(stack, times=times))


@cli.command("duplicates")
def duplicates_(records: Records = 10_000) -> None:
    """What records cost that are final already: so many are carried out, then read again."""

    async def measure(stack: Devstack) -> list[Figure]:
        first = await throughput.end_to_end(stack, "twice", throughput.best_case(records))
        return await duplicates.measure(first.corner, first.records, first_time_per_s=first.measured.per_s)

    _run("duplicates", measure)


@cli.command("memory")
def memory_(
    records: Annotated[int, typer.Option(help="Records on the topic.", min=1000)] = 1_000_000,
    *,
    long: Annotated[bool, typer.Option("--long", help="Stop the provider for five minutes instead of one.")] = False,
) -> None:
    """The memory of the service with a full topic and without its provider."""
    stopped_s = _STOPPED_LONG_S if long else _STOPPED_S
    _run("memory", lambda stack: memory.measure(stack, console, records=records, stopped_s=stopped_s))


@cli.command("ledger")
def ledger_(
    rows: Annotated[int, typer.Option(help="Records in the full ledger.", min=1000)] = 10_000_000,
    pool_mib: Annotated[int, typer.Option(help="MySQL's buffer pool while it is measured.", min=128)] = 1024,
) -> None:
    """What the ledger's operations cost when it is empty, and when it is full."""
    _run("ledger", lambda stack: ledger.measure(stack, console, rows=rows, pool_mib=pool_mib))


def _run(name: str, measure: Callable[[Devstack], Awaitable[list[Figure]]]) -> None:
    async def on_a_stack() -> tuple[Machine, list[Figure]]:
        with tempfile.TemporaryDirectory(prefix="recharge-bench-", ignore_cleanup_errors=True) as folder:
            async with Devstack(
                Path(folder),
                lambda text: console.print(f"[dim]{text}[/dim]"),
                search_attributes=contract.SEARCH_ATTRIBUTES,
            ) as stack:
                return Machine.now(), await measure(stack)

    machine, figures = asyncio.run(on_a_stack())
    show(console, machine, figures)
    console.print(f"written to {write(_RESULTS, name, machine, figures)}")


if __name__ == "__main__":
    cli()
