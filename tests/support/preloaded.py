"""Processes of the service that are forked from one that has loaded its modules: a second of CPU time less for each.

Everything else is as in a process that was started: a session and a log of its own, exactly the given environment, killed with the tests'
process. The tests of how processes start (`test_worker_start.py`) and whatever needs another interpreter start real ones.
"""

import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from devstack.processes import ManagedProcess
from devstack.server import minimal_environment

_MODULES = (
    "app.audit", "app.http", "app.ingest", "app.main", "app.operate_runs", "app.produce", "app.redrive", "app.run", "app.worker",
)  # fmt: skip
_PR_SET_PDEATHSIG = 1
_REQUEST_BYTES_MAX = 256 * 1024
_STATUS_BYTES = 4
_ROOT = str(Path(__file__).parents[2])
_FORKABLE = ("app", "tests.crash.dying")
"""The modules that it can be: the service, and the service that is killed at a step."""


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
                told = os.read(self._status_fd, _STATUS_BYTES)
            except BlockingIOError:
                return None
            # Where nothing is told, the preloaded process was killed, and this one with it.
            self._status = int.from_bytes(told, "big", signed=True) if told else -signal.SIGKILL
        return self._status

    def end_fd(self) -> int:
        """A file descriptor that can be read from when it has ended."""
        return os.dup(self._status_fd)


class Preloaded:
    """The process that has loaded the service. It is started when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket: socket.socket | None = None
        self._process: ManagedProcess | None = None

    def start(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], log_file: Path, cwd: Path | None = None
    ) -> ManagedProcess:
        """As `ManagedProcess.start`, forked where that makes no difference."""
        if not can_fork(argv, env):
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
        request = json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd or Path.cwd())}).encode()
        socket.send_fds(ours, [request], [*standard_fds, write_fd])
        os.close(write_fd)
        return Forked(int(ours.recv(64)), read_fd)

    def close(self) -> None:
        """End the preloaded process."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.kill()
            while self._process.returncode is None:
                time.sleep(0.01)
            self._process = self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            path = self._folder / "preloaded.socket"
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            listening.bind(str(path))
            listening.listen(1)
            argv = [sys.executable, "-m", "tests.support.preloaded", str(path)]
            env = minimal_environment(PYTHONUNBUFFERED="1", PYTHONPATH=_ROOT)
            self._process = ManagedProcess.start("preloaded", argv, env, self._folder / "preloaded.log")
            listening.settimeout(60)
            self._socket, _ = listening.accept()
            listening.close()
        return self._socket


def can_fork(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether this is the service as it is, and nothing in its environment concerns how Python or the loader begin."""
    is_service = tuple(argv[:2]) == (sys.executable, "-m") and argv[2] in _FORKABLE
    as_here = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": _ROOT}.items()
    return is_service and not any(each[0].startswith(("LD_", "PYTHON")) and each not in as_here for each in env.items())


def serve(requests: socket.socket) -> None:
    """Fork a child for each request, and tell how it ended, until the tests' process is gone."""
    for module in _MODULES:
        importlib.import_module(module)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process of several threads cannot be forked"
    libc = ctypes.CDLL(None)
    waiting = selectors.DefaultSelector()
    waiting.register(requests, selectors.EVENT_READ)
    ends: dict[int, tuple[int, int]] = {}
    while True:
        for key, _ in waiting.select():
            if key.fd in ends:
                waiting.unregister(key.fd)
                os.close(key.fd)
                pid, status_fd = ends.pop(key.fd)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(status_fd, status.to_bytes(_STATUS_BYTES, "big", signed=True))
                os.close(status_fd)
                continue
            request, (*standard_fds, status_fd), *_ = socket.recv_fds(requests, _REQUEST_BYTES_MAX, 4)
            if not request:
                return
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                for fd in (requests.fileno(), status_fd, *ends, *(told for _, told in ends.values())):
                    os.close(fd)
                waiting.close()
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)
                _become(json.loads(request), standard_fds)
            for fd in standard_fds:
                os.close(fd)
            end_fd = os.pidfd_open(pid)
            ends[end_fd] = pid, status_fd
            waiting.register(end_fd, selectors.EVENT_READ)
            requests.send(str(pid).encode())


def _become(request: dict[str, object], standard_fds: Sequence[int]) -> NoReturn:
    """In the child: be the command."""
    argv, env = request["argv"], request["env"]
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    os.setsid()
    for number, fd in enumerate(standard_fds):
        os.dup2(fd, number)
    for fd in {*standard_fds} - {0, 1, 2}:
        os.close(fd)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    finally:
        # It ends by itself, so this is an error that nobody expected.
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.connect(sys.argv[1])
        serve(asked)
