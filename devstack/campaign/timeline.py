"""What happened in a campaign, and when: one JSON line each, written as it happens."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO


@dataclass
class Timeline:
    """The file of one campaign. `lines` are the same in memory."""

    file: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)
    _open: TextIO | None = None

    def __enter__(self) -> Self:
        """Open the file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._open = self.file.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def now_s(self) -> float:
        """Seconds since the campaign began."""
        return time.monotonic() - self._began_s

    def begin(self) -> None:
        """Count from now on: everything is up, and the plan's first second begins."""
        self._began_s = time.monotonic()
        self.note("begun")

    def note(self, what: str, **fields: object) -> None:
        """Write one line."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at_s": round(self.now_s, 3), "at": at, "what": what, **fields}
        self.lines.append(line)
        if self._open is not None:
            self._open.write(json.dumps(line) + "\n")
            self._open.flush()

    def around(self, first: datetime, last: datetime, margin_s: float = 5.0) -> list[dict[str, Any]]:
        """The lines from a while before the first moment to a while after the last."""
        begin, end = first.timestamp() - margin_s, last.timestamp() + margin_s
        return [line for line in self.lines if begin <= datetime.fromisoformat(line["at"]).timestamp() <= end]
