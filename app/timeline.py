"""The demo's timeline: what the processes log and what the provider saw, merged in order of time."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from devstack.simulator.client import SimulatorClient, SimulatorError
from devstack.simulator.events import Event, EventKind

_SETTLE_S = 0.4
"""How long an entry waits for others that happened before it and are told later."""
_POLL_S = 0.1

_LOG_TEXTS: dict[str, tuple[str, str]] = {
    # A log line's event, as (who, what); {fields} are the line's own.
    "record started": ("intake", "workflow started, id {workflow_id}"),
    "record attached to the workflow that is there": ("intake", "a workflow is there already; its result is awaited"),
    "attempt opened": ("worker", "attempt {attempt} stands in the ledger; the call leaves"),
    "attempt answered": ("worker", "attempt {attempt} is {outcome}: {said}"),
    "nothing is sent": ("ledger", "nothing may be sent: {said}"),
    "provider looked up": ("worker", "look-up: the provider says {answer}"),
    "certainty": ("worker", "certainty: {said}"),
    "record final": ("ledger", "final: {state}"),
    "dead letter written": ("intake", "dead letter written"),
    "offset committed": ("kafka", "committed up to offset {commit_offset}"),
}
_EVENT_TEXTS: dict[EventKind, str] = {
    EventKind.POST_RECEIVED: "POST received",
    EventKind.CHARGED: "charge carried out",
    EventKind.REFUSED: "refused",
    EventKind.LOOKUP_RECEIVED: "look-up received",
    EventKind.CLIENT_KILLED: "the worker is killed before it hears the answer (SIGKILL)",
}
_STYLES = {
    "provider": "magenta",
    "worker": "cyan",
    "ledger": "green",
    "intake": "blue",
    "kafka": "yellow",
    "demo": "bold red",
}


@dataclass(order=True, frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    at: datetime
    who: str = field(compare=False)
    what: str = field(compare=False)
    workflow_id: str | None = field(compare=False, default=None)


class Timeline:
    """Collects entries from all sides and prints them in order, a moment after they happened."""

    def __init__(self, console: Console, simulator: SimulatorClient) -> None:
        self._console = console
        self._simulator = simulator
        self._waiting: list[Entry] = []
        self._names: dict[str, str] = {}
        self._began = datetime.now(UTC)
        self._read: dict[Path, int] = {}
        self._files: Callable[[], Iterator[Path]] = lambda: iter(())

    def follow_logs(self, files: Callable[[], Iterator[Path]]) -> None:
        """Read these files as they grow; the list may grow as well."""
        self._files = files

    def name(self, workflow_id: str, name: str) -> None:
        """Call a record by a short name."""
        self._names[workflow_id] = name

    def tell(self, who: str, what: str, workflow_id: str | None = None) -> None:
        """Add an entry of the demo's own."""
        self._waiting.append(Entry(datetime.now(UTC), who, what, workflow_id))

    async def run(self) -> None:
        """Collect and print until cancelled, then print what is left."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_simulator())
            try:
                while True:
                    self._read_logs()
                    self._print(before=datetime.now(UTC).timestamp() - _SETTLE_S)
                    await asyncio.sleep(_POLL_S)
            finally:
                self._read_logs()
                self._print(before=float("inf"))

    async def _follow_simulator(self) -> None:
        seen = 0
        while True:
            try:
                events = await self._simulator.events(seen, timeout_s=2.0)
            except SimulatorError:
                await asyncio.sleep(_POLL_S)
                continue
            for event in events:
                seen = event.number
                self._add_event(event)

    def _add_event(self, event: Event) -> None:
        if event.kind is EventKind.POST_ANSWERED:
            what = f"answers {event.detail.get('status', '')}".rstrip()
        elif event.kind in _EVENT_TEXTS:
            what = _EVENT_TEXTS[event.kind]
        else:
            return
        self._waiting.append(Entry(event.at.astimezone(UTC), "provider", what, event.reference or None))

    def _read_logs(self) -> None:
        for file in self._files():
            with contextlib.suppress(FileNotFoundError), file.open("rb") as log:
                log.seek(self._read.get(file, 0))
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    self._read[file] = self._read.get(file, 0) + len(line)
                    self._add_line(line)

    def _add_line(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
            at = datetime.fromisoformat(fields["timestamp"])
        except (ValueError, KeyError, TypeError):
            return
        event = fields.get("event")
        if event in _LOG_TEXTS:
            who, what = _LOG_TEXTS[event]
            self._waiting.append(Entry(at, who, what.format_map(_Fields(fields)), fields.get("workflow_id")))

    def _print(self, *, before: float) -> None:
        self._waiting.sort()
        while self._waiting and self._waiting[0].at.timestamp() < before:
            entry = self._waiting.pop(0)
            record = self._names.get(entry.workflow_id or "", "")
            line = Text(f"{(entry.at - self._began).total_seconds():6.2f} s  ", style="dim")
            line.append(f"{record:<9}", style="bold")
            style = "bold red" if "killed" in entry.what or entry.who == "demo" else _STYLES.get(entry.who, "")
            line.append(f"{entry.who:<9}", style=_STYLES.get(entry.who, ""))
            line.append(entry.what, style=style if style == "bold red" else "")
            self._console.print(line, soft_wrap=True)


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"
