"""What a sweep has done so far, as JSON lines: it goes on after the last one when it is started again.

One file holds the sweeps of all parts of the service; lines that name none are of the combined process.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from devstack.errors import DevstackError
from devstack.sweep.rig import Fault, Outcome
from devstack.sweep.scenarios import Scenario
from devstack.sweep.service import Part
from devstack.wire.proxy import Boundary, Hop


@dataclass
class Journal:
    """The lines of one file, for the sweep of one part: how many messages each scenario has, and what came of each boundary."""

    file: Path
    part: Part
    commit: str
    counts: dict[str, dict[Hop, int]] = field(default_factory=dict)
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path, part: Part, commit: str) -> Self:
        """The journal in a file, which need not be there yet, as far as it speaks of one part; `commit` is written into what is added.

        Raises:
            DevstackError: for a line that no sweep has written.
        """
        journal = cls(file, part, commit)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        for number, text in enumerate(lines, start=1):
            try:
                line = json.loads(text)
                if Part(line.get("part", Part.RUN)) is not part:
                    continue
                if "counts" in line:
                    journal.counts[line["scenario"]] = {Hop(hop): int(count) for hop, count in line["counts"].items()}
                else:
                    Boundary(Hop(line["hop"]), int(line["number"])), Fault(line["fault"])
                    journal.outcomes.append(line)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise DevstackError(f"{file}, line {number} is no line of a sweep's journal: remove it.") from None
        return journal

    def add_counts(self, scenario: Scenario, counts: dict[Hop, int]) -> None:
        """Keep how many messages a record of this scenario has on each hop."""
        self.counts[scenario.name] = counts
        self._append({"scenario": scenario.name, "part": self.part, "counts": counts})

    def add(self, scenario: Scenario, fault: Fault, outcome: Outcome) -> None:
        """Keep what came of one boundary."""
        line = {
            "scenario": scenario.name,
            "part": self.part,
            "fault": fault,
            "hop": outcome.boundary.hop,
            "number": outcome.boundary.number,
            "is_reached": outcome.is_reached,
            "told": outcome.told,
            "problems": outcome.problems,
            "took_s": round(outcome.took_s, 1),
            "commit": self.commit,
        }
        self.outcomes.append(line)
        self._append(line)

    def has(self, scenario: Scenario, fault: Fault, boundary: Boundary) -> bool:
        """Whether this boundary was done, now or before."""
        wanted = (scenario.name, fault, boundary.hop, boundary.number)
        return any((o["scenario"], o["fault"], o["hop"], o["number"]) == wanted for o in self.outcomes)

    def _append(self, line: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
