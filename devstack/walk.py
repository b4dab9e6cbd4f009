"""A page that is written by what it tells of: commands are run, and what they print stands in it."""

import asyncio
import contextlib
import json
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from devstack.errors import DevstackError
from devstack.processes import ManagedProcess, wait_until
from devstack.server import minimal_environment
from devstack.site import Site
from devstack.stack import Devstack

TIMEOUT_S: Final = 90.0
_COLUMNS: Final = "120"


class Walk:
    """The stack, the service on it, and the page so far."""

    def __init__(self, stack: Devstack, site: Site, console: Console, introduction: str) -> None:
        self.stack = stack
        self.site = site
        self._console = console
        self._parts = [introduction.format(date=f"{datetime.now(UTC):%Y-%m-%d}")]

    @property
    def page(self) -> str:
        """The page, as far as it is written."""
        return "\n\n".join(self._parts) + "\n"

    def title(self, text: str) -> None:
        """Begin a part."""
        self._console.print(f"[bold]{text}[/bold]")
        self._parts.append(f"## {text}")

    def say(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(text)

    async def run(self, *arguments: str, status: int = 0, shown: str | None = None) -> str:
        """Run `recharge ARGUMENT…`, put it and what it printed on the page, and return that.

        Raises:
            DevstackError: where it ended with another exit status.
        """
        command = shown or shlex.join(["recharge", *arguments])
        printed, ended = await _run([sys.executable, "-m", "app", *arguments], self.site.environment_of(arguments[0]))
        return self._tell(command, printed, ended, status)

    async def temporal(self, *arguments: str) -> str:
        """Run Temporal's command line likewise, again while it knows nothing yet of a worker that has just begun to poll."""
        program = str(Path(sysconfig.get_path("scripts")) / "temporal")
        printed = ""

        async def done() -> bool:
            nonlocal printed
            printed, ended = await _run([program, *arguments, "--yes", "--address", self.stack.temporal.address], {})
            return ended == 0

        command = shlex.join(["temporal", *arguments])
        await wait_until(done, TIMEOUT_S, f"{command} succeeds", interval_s=0.5)
        return self._tell(command, printed, 0, 0)

    def show_log(self, process: ManagedProcess, *events: str) -> None:
        """The lines of a process's log that begin so, the newest of each."""
        lines = [line for event in events if (line := _newest(process, event)) is not None]
        if len(lines) != len(events):
            raise DevstackError(f"{process.name} has not logged all of {events}:\n{process.tail()}")
        self._block("\n".join(lines))

    async def send(self, *values: Mapping[str, Any] | bytes) -> None:
        """Send records to the topic, each with its donor's number as its key."""
        raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in values]
        await self.stack.kafka.produce(self.site.topic, [(b"key", one, 0, []) for one in raw])

    async def until_states(self, **expected: int) -> None:
        """Wait until so many records are in each of these states."""

        async def as_expected() -> bool:
            table = f"{self.site.names.database}.recharges"
            found = dict(await self.stack.mysql.execute(f"SELECT state, COUNT(*) FROM {table} GROUP BY state"))  # noqa: S608  # ours
            return all(found.get(state, 0) == count for state, count in expected.items())

        await wait_until(as_expected, TIMEOUT_S, f"the ledger has {expected}", interval_s=0.2)

    async def until_logged(self, process: ManagedProcess, event: str) -> None:
        """Wait until a process has logged a line that begins so."""
        await wait_until(
            lambda: _newest(process, event) is not None,
            TIMEOUT_S,
            f"{process.name} logs {event!r}",
            process=process,
            interval_s=0.1,
        )

    def workflow_id(self, offset: int) -> str:
        """The id of a record's workflow."""
        return f"{self.site.source}:{self.site.topic}:0:{offset}"

    def _tell(self, command: str, printed: str, ended: int, status: int) -> str:
        self._console.print(f"[dim]$ {command}[/dim]", soft_wrap=True, highlight=False)
        if ended != status:
            raise DevstackError(f"{command} ended with {ended}, not {status}:\n{printed}")
        tail = f"\n(exit status {ended})" if ended else ""
        self._block(f"$ {command}\n{printed.rstrip()}{tail}")
        return printed

    def _block(self, text: str) -> None:
        folder = str(self.stack.kafka.folder.parent)
        plain = text.replace(folder, "/var/lib/recharge").replace(sys.prefix, "/opt/recharge")
        self._parts.append("\n".join(f"    {line.rstrip()}".rstrip() for line in plain.splitlines()))


async def _run(argv: list[str], environment: Mapping[str, str]) -> tuple[str, int]:
    command = await asyncio.create_subprocess_exec(
        *argv,
        env=minimal_environment(COLUMNS=_COLUMNS, TERM="dumb", NO_COLOR="1") | dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(command.communicate(), TIMEOUT_S)
    return printed.decode(), command.returncode or 0


def _newest(process: ManagedProcess, event: str) -> str | None:
    newest = None
    for line in process.log_file.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if str(json.loads(line).get("event", "")).startswith(event):
                newest = line
    return newest
