"""`python -m devstack.sweep.tables JOURNAL…`: what the journals of sweeps say, as the tables of docs/proof.md."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from devstack.errors import DevstackError
from devstack.sweep.journal import Journal
from devstack.sweep.rig import Fault
from devstack.sweep.scenarios import SCENARIOS
from devstack.sweep.service import Part
from devstack.wire.proxy import Hop
from recharge.text import counted

_TOLD: Final = re.compile(r"(\w+) by (\w+), attempts: (\d+), ")
_HEADER: Final = (
    "| process | way | commit | boundaries | met | by server (Kafka, Temporal, MySQL, provider) | how those ended |\n"
    "|---|---|---|---|---|---|---|"
)
_HOPS: Final = (Hop.KAFKA, Hop.TEMPORAL, Hop.MYSQL, Hop.PROVIDER)

_Line = Mapping[str, Any]


@dataclass
class Tables:
    """The boundaries of several journals, by fault, process and way."""

    counts: dict[tuple[Part, str], Mapping[Hop, int]] = field(default_factory=dict)
    done: dict[tuple[Fault, Part, str], list[_Line]] = field(default_factory=dict)

    def add(self, journal: Journal) -> None:
        """Take what one journal says of one part."""
        for way, counts in journal.counts.items():
            self.counts[journal.part, way] = counts
        for line in journal.outcomes:
            self.done.setdefault((Fault(line["fault"]), journal.part, line["scenario"]), []).append(line)

    def text(self) -> str:
        """What each fault adds up to, and its table."""
        faults = [fault for fault in Fault if any(key[0] is fault for key in self.done)]
        return "\n".join(text for fault in faults for text in (self._sum(fault), "", self._table(fault), ""))

    def _sum(self, fault: Fault) -> str:
        lines = [line for key, lines in self.done.items() for line in lines if key[0] is fault]
        met, broken = (sum(bool(line[what]) for line in lines) for what in ("is_reached", "problems"))
        return f"{fault}: {len(lines)} boundaries, {met} met, {broken} with a broken promise"

    def _table(self, fault: Fault) -> str:
        keys = [(fault, part, way.name) for part in Part for way in SCENARIOS]
        return "\n".join([_HEADER, *(self._row(*key) for key in keys if key in self.done)])

    def _row(self, fault: Fault, part: Part, way: str) -> str:
        lines = self.done[fault, part, way]
        met = [line for line in lines if line["is_reached"]]
        hops = Counter(line["hop"] for line in met)
        commits = dict.fromkeys(f"`{line.get('commit', 'unknown')}`" for line in lines)
        whole = self._whole(fault, part, way)
        cells = (
            f"`recharge {part}`",
            way,
            ", ".join(commits),
            f"{len(lines)}" if len(lines) >= whole else f"{len(lines)} of {whole}",
            f"{len(met)}",
            ", ".join(str(hops[hop]) for hop in _HOPS),
            _ends(met),
        )
        return f"| {' | '.join(cells)} |"

    def _whole(self, fault: Fault, part: Part, way: str) -> int:
        """How many boundaries the way has for this fault: a freeze comes at the provider's alone."""
        counts = self.counts.get((part, way), {})
        return counts.get(Hop.PROVIDER, 0) if fault is Fault.FREEZE else sum(counts.values())


def _ends(met: Iterable[_Line]) -> str:
    """The ends by how often they were seen: `12: succeeded by answer, 1 attempt; …`."""
    ends: Counter[str] = Counter()
    for line in met:
        told = _TOLD.match(line["told"])
        ends[f"`{told[1]}` by {told[2]}, {counted(int(told[3]), 'attempt')}" if told else line["told"]] += 1
    return "; ".join(f"{count}: {end}" for end, count in ends.most_common())


def tables_of(files: Sequence[Path]) -> str:
    """The tables of these journals.

    Raises:
        DevstackError: for a file that is not there, or a line that no sweep has written.
    """
    tables = Tables()
    for file in files:
        if not file.exists():
            raise DevstackError(f"There is no journal {file}.")
        for part in Part:
            tables.add(Journal.read(file, part, commit=""))
    return tables.text()


def main() -> int:
    """Print the tables of the journals that are named; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devstack.sweep.tables", description=__doc__)
    parser.add_argument("journal", nargs="+", type=Path, help="a sweep's --journal")
    try:
        sys.stdout.write(tables_of(parser.parse_args().journal))
    except DevstackError as error:
        sys.stderr.write(f"tables: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
