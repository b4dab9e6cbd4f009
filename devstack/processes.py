"""Child processes that are ended with their parent, and waiting for conditions with a limit."""

import asyncio
import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar, overload

from devstack.errors import DevstackError, ProcessEndedError, WaitTimeoutError

_T = TypeVar("_T")
_LAUNCHER = Path(__file__).with_name("launcher.py")
_TAIL_BYTES_MAX = 64 * 1024
_KILL_TIMEOUT_S = 10.0
TERMINATE_TIMEOUT_S = 10.0


class Child(Protocol):
    """A process that was started for us, and how it ends."""

    pid: int

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""

    def end_fd(self) -> int:
        """A new file descriptor that can be read from when it has ended."""


class _Program(subprocess.Popen[bytes]):
    """A program that we started ourselves."""

    def end_fd(self) -> int:
        """A new file descriptor that can be read from when it has ended."""
        return os.pidfd_open(self.pid)


class ManagedProcess:
    """One child process in a session of its own, its output in a log file.

    A terminal's Ctrl-C does not reach it, and the kernel kills it when the parent ends for whatever reason.
    """

    def __init__(self, name: str, child: Child, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._child = child

    @classmethod
    def start(
        cls, name: str, argv: Sequence[str], env: Mapping[str, str], log_file: Path, cwd: Path | None = None
    ) -> Self:
        """Start `argv` with exactly `env`; its output is added to `log_file`.

        Raises:
            DevstackError: when called outside the main thread, where the child would be killed as the thread ends.
        """
        if threading.current_thread() is not threading.main_thread():
            raise DevstackError(f"{name} must be started from the main thread: it is killed when its thread ends.")
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            child = _Program(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *argv],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, child, log_file)

    @property
    def pid(self) -> int:
        """The process's id, which is its process group's as well."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._child.poll()

    def kill(self) -> None:
        """Send SIGKILL to the process and what it started. Nothing happens where it has ended."""
        self._signal(signal.SIGKILL)

    async def kill_and_wait(self) -> None:
        """Send SIGKILL and wait until the kernel has carried it out."""
        self.kill()
        await self.wait(_KILL_TIMEOUT_S)

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP), as a machine without CPU time would."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def terminate(self, timeout_s: float = TERMINATE_TIMEOUT_S) -> int:
        """Ask it to stop (SIGTERM), wait at most `timeout_s`, then kill it. Returns the exit status."""
        try:
            self._signal(signal.SIGTERM)
            # A frozen process would never see the request.
            self.thaw()
            return await self.wait(timeout_s)
        except WaitTimeoutError:
            self.kill()
            return await self.wait(_KILL_TIMEOUT_S)
        except asyncio.CancelledError:
            await self.kill_and_wait()
            raise

    async def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended and return its exit status.

        Raises:
            WaitTimeoutError: when it still runs after `timeout_s`.
        """
        if (status := self._child.poll()) is not None:
            return status
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        end_fd = self._child.end_fd()
        loop.add_reader(end_fd, ended.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            raise WaitTimeoutError(f"{self.name} did not end within {timeout_s:g} s.") from None
        finally:
            loop.remove_reader(end_fd)
            os.close(end_fd)
        ended_with = self._child.poll()
        assert ended_with is not None  # noqa: S101  # the descriptor said so
        return ended_with

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        with contextlib.suppress(FileNotFoundError), self.log_file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES_MAX))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def raise_if_ended(self, what: str) -> None:
        """Raise when the process has ended, with its log's last lines.

        Raises:
            ProcessEndedError: `what` was expected of it and cannot come any more.
        """
        if (status := self.returncode) is not None:
            raise ProcessEndedError(
                f"{self.name} ended with status {status} before {what}. Its log is {self.log_file}:\n{self.tail()}"
            )

    def _signal(self, number: signal.Signals) -> None:
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


@overload
async def wait_until(
    condition: Callable[[], Awaitable[_T]],
    timeout_s: float,
    what: str,
    *,
    process: ManagedProcess | None = None,
    interval_s: float = 0.02,
) -> _T: ...


@overload
async def wait_until(
    condition: Callable[[], _T],
    timeout_s: float,
    what: str,
    *,
    process: ManagedProcess | None = None,
    interval_s: float = 0.02,
) -> _T: ...


async def wait_until(
    condition: Callable[[], object],
    timeout_s: float,
    what: str,
    *,
    process: ManagedProcess | None = None,
    interval_s: float = 0.02,
) -> object:
    """Ask `condition` again and again until it answers something true, and return that.

    `what` completes the sentence 'waited N s until …'. With `process`, its end ends the wait, and its log's last lines
    are part of the error.

    Raises:
        WaitTimeoutError: when `timeout_s` have passed, also in the middle of one asking.
        ProcessEndedError: when `process` ended.
    """
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            while True:
                if answer := await _ask(condition):
                    return answer
                if process is not None:
                    process.raise_if_ended(what)
                await asyncio.sleep(interval_s)
    except TimeoutError:
        if not limit.expired():
            raise  # the condition's own, not this limit's
        log = f" The log {process.log_file} ends with:\n{process.tail()}" if process is not None else ""
        raise WaitTimeoutError(f"Waited {timeout_s:g} s until {what}, in vain.{log}") from None


async def _ask(condition: Callable[[], object]) -> object:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer
