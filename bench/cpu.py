"""CPU time of our process and of the servers that share the machine with it."""

from collections.abc import Mapping

import psutil

from devstack.processes import ManagedProcess
from devstack.stack import Devstack

OURS = "ours"


class CpuMeter:
    """Counts the CPU time of some processes from the moment when it is made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._began_s = self._read_s()

    @classmethod
    def of(cls, stack: Devstack, process: ManagedProcess | None = None) -> "CpuMeter":
        """A meter of the stack's servers, and of `process` as OURS."""
        ours = {OURS: process.pid} if process is not None else {}
        return cls(ours | {server.name: server.pid for server in stack.servers})

    def ms_each(self, count: float) -> dict[str, float]:
        """Milliseconds so far of each process, shared among `count` records."""
        return {name: round((now - self._began_s[name]) / count * 1000, 2) for name, now in self._read_s().items()}

    def _read_s(self) -> dict[str, float]:
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: float(each.user + each.system) for name, each in times.items()}
