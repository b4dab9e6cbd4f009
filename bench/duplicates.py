"""Records that are final already, read again after a commit that was lost: calls to Temporal, time and CPU time of each."""

import asyncio
import re
import time
import urllib.request
from collections import Counter

from bench.corner import Corner
from bench.cpu import OURS, CpuMeter
from bench.figure import Figure
from devstack.processes import wait_until
from devstack.stack import Devstack

_STOP_TIMEOUT_S = 60.0
_BEGUN_TIMEOUT_S = 60.0
_LOOK_S = 0.2
_RPCS_TARGET = 2
# A line such as service_requests{namespace="default",operation="StartWorkflowExecution",service_name="frontend"} 12
_COUNTER = re.compile(r"^service_requests\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_OF_EACH_RECORD = (
    "StartWorkflowExecution",
    "GetWorkflowExecutionHistory",
    "PollWorkflowExecutionHistory",
    "DescribeWorkflowExecution",
)
"""The calls that a record may cost; the server counts a look into a history that may wait for its end by a name of its own. The others
are polls of workers, and looks that come with the time and not with the records."""
_COUNTED_LATE_S = 2.0
"""How late the server may add up what it counted."""


async def measure(corner: Corner, records: int, *, first_time_per_s: float) -> list[Figure]:
    """Rewind a corner whose `records` are all final, and read them again.

    Args:
        corner: nothing runs on it.
        records: how many it has.
        first_time_per_s: how many a second were carried out, for comparison.
    """
    calls_before = len(await corner.stack.simulator.client.posts(corner.prefix))
    rpcs_before = await _rpcs(corner.stack)
    await corner.rewind()
    process = corner.site.spawn("run")
    try:

        async def begun() -> int:
            return await corner.committed_count()

        seen = await wait_until(
            begun, _BEGUN_TIMEOUT_S, "the first duplicates are committed", process=process, interval_s=_LOOK_S
        )
        began_s, cpu = time.monotonic(), CpuMeter.of(corner.stack, process)
        await corner.until_committed(records, process)
        counted = max(1, records - seen)
        per_s, cpu_ms_each = counted / (time.monotonic() - began_s), cpu.ms_each(counted)
    finally:
        await process.terminate(_STOP_TIMEOUT_S)
    rpcs = await _rpcs(corner.stack) - rpcs_before
    calls = len(await corner.stack.simulator.client.posts(corner.prefix)) - calls_before
    each = sum(rpcs[operation] for operation in _OF_EACH_RECORD) / records
    details = {"records": records, "rpcs": dict(rpcs), "calls": calls, "cpu_ms_each": cpu_ms_each}
    return [
        Figure(f"RPCs of a duplicate, of {records}", each, "each", f"target {_RPCS_TARGET} at most", details),
        Figure("duplicates", per_s, "a second", f"{first_time_per_s:.1f} a second the first time"),
        Figure("duplicates, CPU of ours", cpu_ms_each[OURS], "ms each", f"{cpu_ms_each['temporal']:.1f} of Temporal"),
        Figure("calls to the provider for duplicates", calls, "calls", "none is allowed"),
    ]


async def _rpcs(stack: Devstack) -> Counter[str]:
    """Requests to the front end so far, by operation, as the server counts them. Nothing may be asking it."""
    await asyncio.sleep(_COUNTED_LATE_S)
    text = await asyncio.to_thread(_read, stack.temporal.metrics_url)
    found: Counter[str] = Counter()
    for labels_text, number in _COUNTER.findall(text):
        labels = dict(_LABEL.findall(labels_text))
        if labels.get("service_name") == "frontend":
            found[labels["operation"]] += round(float(number))
    return found


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # an address of the local stack
        return str(answer.read().decode())
