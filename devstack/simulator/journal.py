"""The append-only file that outlives the simulator.

`append` hands a line to the operating system at once, so a line survives the process's death by SIGKILL; `sync` waits
until it is on the disk. Concurrent callers of `sync` share one fsync.
"""

import asyncio
import fcntl
import json
import os
from pathlib import Path

from devstack.simulator.events import Event


class JournalError(Exception):
    """The journal cannot be used; the message says which file and why."""


class Journal:
    """A file of events, one JSON object a line, held by one process at a time.

    Raises JournalError where another process holds the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise JournalError(f"{path} is held by another simulator: stop it or choose another --folder") from error
        _sync_folder(path.parent)
        self._appended_count = 0
        self._synced_count = 0
        self._running_sync: asyncio.Task[None] | None = None

    def load(self) -> list[Event]:
        """The events written so far, in their order.

        A last line without an end was cut by a crash before anyone had been told of it, so it is removed. Raises
        JournalError where any other line cannot be read.
        """
        content = self.path.read_bytes()
        complete_size_bytes = content.rfind(b"\n") + 1
        if complete_size_bytes < len(content):
            os.ftruncate(self._descriptor, complete_size_bytes)
        events = []
        for line_number, line in enumerate(content[:complete_size_bytes].splitlines(), start=1):
            try:
                event = Event.from_json(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"{self.path}, line {line_number} cannot be read: {error!r}") from error
            if event.number != line_number:
                raise JournalError(f"{self.path}, line {line_number} bears the number {event.number}")
            events.append(event)
        return events

    def append(self, event: Event) -> None:
        """Write one event to the file. Raises OSError where the disk does not take it."""
        remaining = memoryview(json.dumps(event.as_json(), separators=(",", ":")).encode() + b"\n")
        while remaining:
            remaining = remaining[os.write(self._descriptor, remaining) :]
        self._appended_count += 1

    async def sync(self) -> None:
        """Wait until everything appended before this call is on the disk. Raises OSError where fsync fails."""
        wanted_count = self._appended_count
        while self._synced_count < wanted_count:
            # A sync that is under way may have begun before our line was written; then the next one is ours.
            if self._running_sync is None:
                self._running_sync = asyncio.create_task(self._sync_once())
            await asyncio.shield(self._running_sync)

    async def _sync_once(self) -> None:
        covered_count = self._appended_count
        try:
            await asyncio.to_thread(os.fdatasync, self._descriptor)
            self._synced_count = covered_count
        finally:
            self._running_sync = None

    def close(self) -> None:
        """Let go of the file and of its lock."""
        os.close(self._descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the file's name itself survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
