"""The memory of `recharge run` while a topic is full and the provider is away."""

import asyncio
import time

import psutil
from rich.console import Console

from bench.corner import PARTITIONS, Corner
from bench.figure import Figure
from devstack.processes import ManagedProcess
from devstack.stack import Devstack

_SAMPLE_S = 5.0
_WORKING_S = 15.0
"""How long the service works before the provider goes away, and after it is back."""
_FIRST_CALL_TIMEOUT_S = 120.0
_FILLED_AFTER_S = 20.0
"""By then as many records are retried as may be in flight, and every buffer is full: from here on the curve must be flat."""
_MIB = 1024 * 1024


async def measure(stack: Devstack, console: Console, *, records: int, stopped_s: float) -> list[Figure]:
    """Sample the process's resident memory before, while and after the provider is stopped for so long."""
    corner = await Corner.make(stack, "memory")
    began_s = time.monotonic()
    await corner.produce(range(records))
    console.print(f"[dim]{records:,} records produced ({time.monotonic() - began_s:.0f} s)[/dim]")
    process = corner.site.spawn("run")
    try:
        await stack.simulator.client.wait_for_posts(corner.prefix, PARTITIONS, _FIRST_CALL_TIMEOUT_S)
        curve = _Curve(process)
        await curve.sample("working", _WORKING_S)
        await stack.simulator.stop()
        await curve.sample("filling", _FILLED_AFTER_S)
        await curve.sample("stopped", stopped_s - _FILLED_AFTER_S)
        await stack.simulator.start()
        await curve.sample("working again", _WORKING_S)
    finally:
        # What is in flight is nobody's: a graceful end would wait for it.
        await process.kill_and_wait()
    return _figures(curve, records, stopped_s)


class _Curve:
    """The process's resident memory over the time."""

    def __init__(self, process: ManagedProcess) -> None:
        self._process = process
        self._memory = psutil.Process(process.pid)
        self._began_s = time.monotonic()
        self.points: list[dict[str, str | float]] = []

    async def sample(self, phase: str, seconds: float) -> None:
        """Look every few seconds, for so long."""
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            self._process.raise_if_ended("its memory was measured")
            rss_mib = round(self._memory.memory_info().rss / _MIB, 1)
            self.points.append({"at_s": round(now_s - self._began_s, 1), "phase": phase, "rss_mib": rss_mib})
            await asyncio.sleep(min(_SAMPLE_S, until_s - now_s))

    def of(self, phase: str) -> list[float]:
        """The memory in MiB in one phase."""
        return [float(point["rss_mib"]) for point in self.points if point["phase"] == phase]


def _figures(curve: _Curve, records: int, stopped_s: float) -> list[Figure]:
    working, stopped = curve.of("working"), curve.of("stopped")
    name = f"memory, {records:,} records, provider away for {stopped_s:.0f} s"
    details = {"curve": curve.points}
    return [
        Figure(f"{name}, least", min(stopped), "MiB", f"{working[-1]:.0f} MiB before, at work", details),
        Figure(f"{name}, most", max(stopped), "MiB", f"{curve.of('working again')[-1]:.0f} MiB after, at work"),
        Figure(f"{name}, last above first", stopped[-1] - stopped[0], "MiB", "flat"),
    ]
