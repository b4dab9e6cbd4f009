"""`make bench`: a table, and a JSON file beside it."""

import asyncio
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.throughput import Case, as_json, measure
from devstack.stack import Devstack


def main(
    records: Annotated[int, typer.Option(help="Records of each case.")] = 2000,
    in_flight: Annotated[int, typer.Option(help="Workflows of the bare loop at a time.")] = 100,
    out: Annotated[Path, typer.Option(help="The folder of the JSON file.")] = Path("bench/results"),
) -> None:
    """Measure records per second end to end, beside a bare Temporal loop in the same run."""
    console = Console()
    cases = [
        Case("account", 0, records),
        Case("account", 50, records),
        Case("partition", 0, records // 4),
        Case("partition", 50, records // 8),
    ]

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="recharge-bench-", ignore_cleanup_errors=True) as folder:
            async with Devstack(Path(folder), lambda text: console.print(f"[dim]{text}[/dim]")) as stack:
                results = await measure(stack, cases, bare_count=records, in_flight=in_flight)
        table = Table(title=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}")
        for column in ("what", "a second", "CPU ms each"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for result in results:
            table.add_row(result.name, f"{result.per_s:.1f}", f"{result.cpu_ms_each:.1f}")
        console.print(table)
        out.mkdir(parents=True, exist_ok=True)
        file = out / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
        file.write_text(as_json(results))
        console.print(f"written to {file}")

    asyncio.run(run())


typer.run(main)
