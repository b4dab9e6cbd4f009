"""The process that has loaded the service and is forked: `python -m devstack.forking SOCKET`, started by `devstack.preloaded`."""

import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, TypedDict

_MODULES: Final = (
    "app.audit", "app.http", "app.ingest", "app.main", "app.operate_runs", "app.produce", "app.redrive", "app.run", "app.worker",
)  # fmt: skip
_PR_SET_PDEATHSIG: Final = 1
_REQUEST_BYTES_MAX: Final = 256 * 1024
_FDS: Final = 4
"""With a request come standard input, output and error, and where to tell how it ended."""
STATUS_BYTES: Final = 4
"""How an exit status is told: big-endian and signed, since a signal's is negative."""
PID_BYTES_MAX: Final = 64
"""The answer to a request: the child's process id in decimal digits."""


class Request(TypedDict):
    """What the child shall be: a module and its arguments, its whole environment, and its folder."""

    argv: list[str]
    env: dict[str, str]
    cwd: str


class _Forker:
    """Its children that live, each by a file descriptor that can be read from when it has ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(requests, selectors.EVENT_READ)
        self._children: dict[int, tuple[int, int]] = {}
        self._pid = os.getpid()
        self._libc = ctypes.CDLL(None)

    def serve(self) -> None:
        """Fork a child for each request, and tell how it ended, until whoever asks is gone."""
        while True:
            for key, _ in self._waiting.select():
                if key.fd in self._children:
                    self._tell_end(key.fd)
                    continue
                request, fds, *_ = socket.recv_fds(self._requests, _REQUEST_BYTES_MAX, _FDS)
                if not request:
                    return
                self._fork(json.loads(request), fds)

    def _fork(self, request: Request, fds: Sequence[int]) -> None:
        *standard_fds, status_fd = fds
        pid = os.fork()
        if pid == 0:
            self._leave_parent(status_fd)
            _become(request, standard_fds)
        for fd in standard_fds:
            os.close(fd)
        end_fd = os.pidfd_open(pid)
        self._children[end_fd] = pid, status_fd
        self._waiting.register(end_fd, selectors.EVENT_READ)
        self._requests.send(str(pid).encode())

    def _leave_parent(self, status_fd: int) -> None:
        """In the child: give back what is the parent's, and be killed with it."""
        told_fds = (told_fd for _, told_fd in self._children.values())
        for fd in (self._requests.fileno(), status_fd, *self._children, *told_fds):
            os.close(fd)
        self._waiting.close()
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._pid:
            # It was gone before this was asked for.
            os._exit(1)

    def _tell_end(self, end_fd: int) -> None:
        self._waiting.unregister(end_fd)
        os.close(end_fd)
        pid, status_fd = self._children.pop(end_fd)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(status_fd, status.to_bytes(STATUS_BYTES, "big", signed=True))
        os.close(status_fd)


def _become(request: Request, standard_fds: Sequence[int]) -> NoReturn:
    """In the child: be the command."""
    os.setsid()
    for number, fd in enumerate(standard_fds):
        os.dup2(fd, number)
    for fd in {*standard_fds} - {0, 1, 2}:
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        # It ends by itself, so this is an error that nobody expected.
        traceback.print_exc()
        os._exit(1)


def main() -> None:
    """Load the service, then do what is asked on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as requests:
        requests.connect(sys.argv[1])
        for module in _MODULES:
            importlib.import_module(module)
        threads = len(list(Path("/proc/self/task").iterdir()))
        assert threads == 1, "a process of several threads cannot be forked"  # noqa: S101  # a library's mistake, not a user's
        _Forker(requests).serve()


if __name__ == "__main__":
    main()
