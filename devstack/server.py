"""What the servers of the stack have in common: start, stop, and the faults of a process."""

import abc
import asyncio
import os
from pathlib import Path
from typing import Self

from devstack.errors import DevstackError
from devstack.ports import release_port, reserve_port
from devstack.processes import TERMINATE_TIMEOUT_S, ManagedProcess


def minimal_environment(**extra: str) -> dict[str, str]:
    """An environment for a server: where programs and the home are, and no setting that a shell may carry."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME") if name in os.environ}
    return kept | extra


class ManagedServer(abc.ABC):
    """A server as a child process, on ports and data that stay the same when it is started again."""

    def __init__(self, name: str, folder: Path, terminate_timeout_s: float = TERMINATE_TIMEOUT_S) -> None:
        self.name = name
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self._terminate_timeout_s = terminate_timeout_s
        self._process: ManagedProcess | None = None
        self._ports: list[int] = []

    @property
    def process(self) -> ManagedProcess:
        """The running (or killed) child process.

        Raises:
            DevstackError: before the first start.
        """
        if self._process is None:
            raise DevstackError(f"{self.name} was not started.")
        return self._process

    @property
    def pid(self) -> int:
        """The child's process id; another one after every start."""
        return self.process.pid

    async def start(self) -> Self:
        """Start the server and wait until it serves. Where the start fails nothing is left running.

        Raises:
            DevstackError: when it ends or does not serve in time, with the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._prepare()
        self._process = self._launch()
        try:
            await self._wait_until_ready(self._process)
        except BaseException:
            await self._process.kill_and_wait()
            raise
        return self

    async def stop(self) -> None:
        """End the server gracefully, or by force after a limit."""
        if self._process is not None:
            await self._process.terminate(self._terminate_timeout_s)

    def release(self) -> None:
        """Give the ports back, once it has been stopped for good."""
        while self._ports:
            release_port(self._ports.pop())

    async def restart(self) -> Self:
        """Stop the server, if it runs, and start it on the same ports and data."""
        await self.stop()
        return await self.start()

    def kill(self) -> None:
        """End the server by SIGKILL, at once."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop the server in its tracks."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.process.thaw()

    @abc.abstractmethod
    def _launch(self) -> ManagedProcess:
        """Start the process."""

    @abc.abstractmethod
    async def _wait_until_ready(self, process: ManagedProcess) -> None:
        """Return when the server serves."""

    async def _prepare(self) -> None:  # noqa: B027 - most servers need nothing, so it is not abstract
        """Make what the server needs before it starts; nothing by default."""

    def _reserve_port(self) -> int:
        """A port of this server's own, kept until `release`."""
        self._ports.append(reserve_port())
        return self._ports[-1]


async def accepts_connections(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return True  # it hung up on a connection that said nothing; it had accepted it
    return True
