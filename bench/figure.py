"""What a benchmark says: figures, each beside its yardstick, as a table and as a JSON file."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value."""

    name: str
    value: float
    unit: str
    yardstick: str = ""
    """What the value is held against: another one of the same run, or the target."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else was measured with it, for the JSON file."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What has to be known of the machine to make sense of its figures."""

    at: str
    commit: str
    python: str
    cores: int
    load_average: tuple[float, float, float]
    """Processes that wanted to run, over the last 1, 5 and 15 minutes, before the first figure was measured."""

    @classmethod
    def now(cls) -> "Machine":
        """This machine, now."""
        return cls(
            at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            commit=_commit(),
            python=platform.python_version(),
            cores=os.cpu_count() or 0,
            load_average=os.getloadavg(),
        )


def _commit() -> str:
    """The short name of the commit that is measured, with a + where files differ from it; '' outside a git tree."""
    command = ("git", "describe", "--always", "--exclude=*", "--dirty=+")
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    return described.stdout.strip() if described.returncode == 0 else ""


def show(console: Console, machine: Machine, figures: list[Figure]) -> None:
    """Print the table."""
    load = " ".join(f"{value:.1f}" for value in machine.load_average)
    table = Table(
        title=f"{machine.at}, commit {machine.commit}, Python {machine.python}, {machine.cores} cores, load {load}"
    )
    for column in ("what", "measured", "unit", "beside"):
        table.add_column(column, justify="right" if column == "measured" else "left")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:.2f}", figure.unit, figure.yardstick)
    console.print(table)


def write(folder: Path, name: str, machine: Machine, figures: list[Figure]) -> Path:
    """Write the JSON file and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{name}.json"
    content = {"machine": asdict(machine), "figures": [asdict(figure) for figure in figures]}
    file.write_text(json.dumps(content, indent=2))
    return file
