"""Processes of the service that are forked from one that has loaded its modules: a second of CPU time less for each.

Everything else is as in a process that was started: a session and a log of its own, exactly the given environment, killed with the process
that asked for it. What needs another interpreter is started.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from devstack.forking import PID_BYTES_MAX, STATUS_BYTES, Request
from devstack.processes import ManagedProcess
from devstack.server import minimal_environment
from devstack.site import Site

_SERVICE: Final = "app"
_ROOT: Final = str(Path(__file__).parents[1])
_LOADED_TIMEOUT_S: Final = 60.0
_ENDING_POLL_S: Final = 0.01


class Forked:
    """A child of the preloaded process, as `subprocess.Popen` shows one of ours."""

    def __init__(self, pid: int, status_fd: int) -> None:
        self.pid = pid
        self._status_fd = status_fd
        self._status: int | None = None
        os.set_blocking(status_fd, False)

    def __del__(self) -> None:
        os.close(self._status_fd)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self._status is None:
            try:
                told = os.read(self._status_fd, STATUS_BYTES)
            except BlockingIOError:
                return None
            # Where nothing is told, the preloaded process was killed, and this one with it.
            self._status = int.from_bytes(told, "big", signed=True) if told else -signal.SIGKILL
        return self._status

    def end_fd(self) -> int:
        """A file descriptor that can be read from when it has ended."""
        return os.dup(self._status_fd)


class Preloaded:
    """The process that has loaded the service. It is started when it is first needed.

    Args:
        folder: where its socket and its log are.
        also: modules besides the service that it may be asked to run, by their names.
    """

    def __init__(self, folder: Path, also: Sequence[str] = ()) -> None:
        self._folder = folder
        self._forkable = (_SERVICE, *also)
        self._socket: socket.socket | None = None
        self._process: ManagedProcess | None = None

    def can_fork(self, argv: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether this is a module that may be forked, and nothing in its environment concerns how Python or the loader begin."""
        is_ours = tuple(argv[:2]) == (sys.executable, "-m") and argv[2] in self._forkable
        as_here = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": _ROOT}.items()
        return is_ours and not any(
            each[0].startswith(("LD_", "PYTHON")) and each not in as_here for each in env.items()
        )

    def start(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], log_file: Path, cwd: Path | None = None
    ) -> ManagedProcess:
        """As `ManagedProcess.start`, forked where that makes no difference."""
        if not self.can_fork(argv, env):
            return ManagedProcess.start(name, argv, env, log_file, cwd)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with Path(os.devnull).open("rb") as nothing, log_file.open("ab") as log:
            child = self.fork(argv[2:], env, (nothing.fileno(), log.fileno(), log.fileno()), cwd)
        return ManagedProcess(name, child, log_file)

    def fork(
        self, argv: Sequence[str], env: Mapping[str, str], standard_fds: tuple[int, int, int], cwd: Path | None
    ) -> Forked:
        """Run `python -m MODULE ARGUMENT…` in a child with this environment, standard input, output and error."""
        ours = self._connected()
        read_fd, write_fd = os.pipe()
        request: Request = {"argv": list(argv), "env": dict(env), "cwd": str(cwd or Path.cwd())}
        socket.send_fds(ours, [json.dumps(request).encode()], [*standard_fds, write_fd])
        os.close(write_fd)
        return Forked(int(ours.recv(PID_BYTES_MAX)), read_fd)

    def close(self) -> None:
        """End the preloaded process, and with it whatever it has forked."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.kill()
            while self._process.returncode is None:
                time.sleep(_ENDING_POLL_S)
            self._process = self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            path = self._folder / "preloaded.socket"
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            listening.bind(str(path))
            listening.listen(1)
            argv = [sys.executable, "-m", "devstack.forking", str(path)]
            env = minimal_environment(PYTHONUNBUFFERED="1", PYTHONPATH=_ROOT)
            self._process = ManagedProcess.start("preloaded", argv, env, self._folder / "preloaded.log")
            listening.settimeout(_LOADED_TIMEOUT_S)
            self._socket, _ = listening.accept()
            listening.close()
        return self._socket


@contextlib.contextmanager
def preloaded_sites(folder: Path, also: Sequence[str] = ()) -> Iterator[Preloaded]:
    """While it lasts, the processes of every site begin with the service's modules loaded. The arguments are `Preloaded`'s."""
    started = Preloaded(folder, also)
    before = Site.starter
    Site.starter = started.start
    try:
        yield started
    finally:
        Site.starter = before
        started.close()
