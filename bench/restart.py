"""From the start of a new process, after a SIGKILL of the one before it, to its first call."""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime

from bench.corner import Corner
from bench.figure import Figure
from devstack.processes import ManagedProcess, wait_until
from devstack.server import minimal_environment
from devstack.simulator.client import Post
from devstack.stack import Devstack

_RECORDS_EACH = 600
"""What is waiting for each process: more than it carries out before it is killed."""
_CALLS_BEFORE_KILL = 30
_CALL_TIMEOUT_S = 60.0
_QUIET_S = 0.3
"""How long the provider must have heard nothing of the killed process: what its kernel still held has arrived by then."""
_ASSIGNED = "partition assigned"
_LOADING = "from app.loading import loading\nwith loading():\n    import app.main, app.run"
_TARGET_S = 3.0
_TARGET_INSTANCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Restart:
    """One restart, in seconds since the new process was started."""

    first_call_s: float
    """The first call. It is mostly of a record that the killed process had begun, which Temporal hands over at once."""
    assigned_s: float
    """When Kafka gave the partitions to the new process, so that it can begin others."""
    first_lines_s: dict[str, float]
    """When each line of the log first came, until then."""


async def measure(stack: Devstack, *, times: int) -> list[Figure]:
    """The median of so many restarts, without and with a group instance id, and how long Python itself takes to load us."""
    imports_s = [_loading_s(_LOADING) for _ in range(times)]
    python_s = [_loading_s("pass") for _ in range(times)]
    without = await _restarts(await _corner(stack, "restart"), times)
    instance = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "bench-0"}
    with_id = await _restarts(await _corner(stack, "restart-id", **instance), times)
    return [
        *_figures("restart", without, _TARGET_S),
        *_figures("restart with a group instance id", with_id, _TARGET_INSTANCE_S),
        Figure(
            "of which Python loads our modules",
            statistics.median(imports_s),
            "s",
            f"{statistics.median(python_s):.2f} s of an empty program",
            {"each_s": imports_s, "empty_each_s": python_s},
        ),
    ]


async def _corner(stack: Devstack, name: str, **settings: str) -> Corner:
    return await Corner.make(stack, name, RECHARGE_LOG__LEVEL="info", **settings)


async def _restarts(corner: Corner, times: int) -> list[Restart]:
    await corner.produce(range(_RECORDS_EACH * (times + 1)))
    process, found = corner.site.spawn("run"), []
    try:
        for _ in range(times):
            await _calls_more(corner, len(await _posts(corner)) + _CALLS_BEFORE_KILL)
            await process.kill_and_wait()
            before = await _quiet(corner)
            started_s = time.time()
            process = corner.site.spawn("run")
            first = (await _calls_more(corner, before + 1))[before]
            lines_s = await _first_lines_s(process, started_s)
            found.append(Restart(first.at.timestamp() - started_s, lines_s[_ASSIGNED], lines_s))
    finally:
        await process.kill_and_wait()
    return found


async def _posts(corner: Corner) -> list[Post]:
    return await corner.stack.simulator.client.posts(corner.prefix)


async def _calls_more(corner: Corner, count: int) -> list[Post]:
    return await corner.stack.simulator.client.wait_for_posts(corner.prefix, count, _CALL_TIMEOUT_S)


async def _quiet(corner: Corner) -> int:
    """The number of calls, once no more have come for a while."""
    count, since_s = -1, time.monotonic()

    async def nothing_comes() -> bool:
        nonlocal count, since_s
        if (now := len(await _posts(corner))) != count:
            count, since_s = now, time.monotonic()
        return time.monotonic() - since_s >= _QUIET_S

    await wait_until(nothing_comes, _CALL_TIMEOUT_S, "no call of the killed process comes any more")
    return count


def _lines(process: ManagedProcess) -> list[dict[str, str]]:
    """The lines of the process's log that are whole."""
    whole, _, _ = process.log_file.read_text().rpartition("\n")
    return [json.loads(text) for text in whole.splitlines() if text.startswith("{")]


async def _first_lines_s(process: ManagedProcess, started_s: float) -> dict[str, float]:
    """When each line of the log first came, until the partitions were assigned."""

    def until_assigned() -> dict[str, float] | None:
        first: dict[str, float] = {}
        for line in _lines(process):
            at_s = datetime.fromisoformat(line["timestamp"]).timestamp() - started_s
            first.setdefault(line["event"], round(at_s, 3))
            if line["event"] == _ASSIGNED:
                return first
        return None

    found = await wait_until(until_assigned, _CALL_TIMEOUT_S, "the partitions are assigned", process=process)
    return found or {}


def _loading_s(program: str) -> float:
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, env=minimal_environment())
    return round(time.monotonic() - began_s, 3)


def _figures(name: str, restarts: list[Restart], target_s: float) -> list[Figure]:
    firsts = [restart.first_call_s for restart in restarts]
    assigned = [restart.assigned_s for restart in restarts]
    lines = [restart.first_lines_s for restart in restarts]
    beside = f"target {target_s:g} s at most, median of {len(restarts)}"
    return [
        Figure(
            f"{name}, first call", statistics.median(firsts), "s", beside, {"each_s": firsts, "first_lines_s": lines}
        ),
        Figure(f"{name}, partitions assigned", statistics.median(assigned), "s", "", {"each_s": assigned}),
    ]
