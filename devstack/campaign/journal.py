"""The campaigns that were run to their end, as JSON lines: a series goes on behind the last one when it is started again."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from devstack.campaign.campaign import Result
from devstack.errors import DevstackError


@dataclass
class Journal:
    """The lines of one file."""

    file: Path
    results: list[Result] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The journal in a file, which need not be there yet.

        Raises:
            DevstackError: for a line that no campaign has written.
        """
        journal = cls(file)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        for number, text in enumerate(lines, start=1):
            try:
                journal.results.append(Result(**json.loads(text)))
            except (ValueError, TypeError):
                raise DevstackError(f"{file}, line {number} is no line of a campaign's journal: remove it.") from None
        return journal

    def add(self, result: Result) -> None:
        """Keep what came of one campaign."""
        self.results.append(result)
        with self.file.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(result)) + "\n")

    def has(self, seed: int, records: int, faults: int) -> bool:
        """Whether this campaign was run, now or before."""
        return any((each.seed, each.records, each.faults) == (seed, records, faults) for each in self.results)
