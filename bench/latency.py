"""From the producer's sending to the ledger's final state, at half of what the same run found to be the most."""

import asyncio
import statistics
import time
from collections.abc import Sequence

from bench import bare
from bench.corner import PARTITIONS, Corner, value
from bench.figure import Figure
from devstack.processes import ManagedProcess
from devstack.stack import Devstack

WARM_UP_S = 5.0
"""What is produced in this time is not counted: connections are opened, and code runs for the first time."""
_STOP_TIMEOUT_S = 60.0
_JOINED_TIMEOUT_S = 60.0

Position = tuple[int, int]


async def measure(stack: Devstack, *, per_s: float, seconds: float) -> list[Figure]:
    """Produce at this rate for so long, in `account` order with a provider that answers at once."""
    corner = await Corner.make(stack, "latency")
    warm_up = round(per_s * WARM_UP_S)
    count = warm_up + round(per_s * seconds)
    process = corner.site.spawn("run")
    try:
        await corner.produce(range(PARTITIONS))
        await stack.simulator.client.wait_for_charges(corner.prefix, PARTITIONS, _JOINED_TIMEOUT_S)
        found_s = await _latencies_s(corner, process, per_s=per_s, numbers=range(PARTITIONS, PARTITIONS + count))
    finally:
        await process.terminate(_STOP_TIMEOUT_S)
    bare_s = await bare.latencies_s(stack, bare.TwoLocal, per_s=per_s, count=count)
    found, yard = quantiles_ms(found_s[warm_up:]), quantiles_ms(bare_s[warm_up:])
    details = {"per_s": per_s, "records": count - warm_up, "quantiles_ms": found, "bare_quantiles_ms": yard}
    return [
        Figure(
            f"produced to final, {per_s:.1f} a second, {name}",
            found[name],
            "ms",
            f"{yard[name]:.1f} ms of a bare workflow",
            details if name == "p50" else {},
        )
        for name in ("p50", "p99")
    ]


async def _latencies_s(corner: Corner, process: ManagedProcess, *, per_s: float, numbers: range) -> list[float]:
    """In the order of producing. The clocks of the producer and of MySQL are those of one machine."""
    due_s: dict[Position, float] = {}
    async with corner.producer() as producer:
        began_s = time.time()

        async def when_due(number: int) -> None:
            due = began_s + (number - numbers.start) / per_s
            await asyncio.sleep(due - time.time())
            sent = await producer.send_and_wait(corner.site.topic, value(number), partition=number % PARTITIONS)
            due_s[sent.partition, sent.offset] = due

        await asyncio.gather(*(when_due(number) for number in numbers))
    await corner.until_committed(numbers.stop, process)
    final_s = await _final_s(corner)
    return [final_s[position] - due for position, due in sorted(due_s.items(), key=lambda item: item[1])]


async def _final_s(corner: Corner) -> dict[Position, float]:
    rows = await corner.stack.mysql.execute(
        "SELECT partition_id, record_offset, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', final_at) "  # noqa: S608  # a name of our own
        f"FROM {corner.site.names.database}.recharges WHERE final_at IS NOT NULL"
    )
    return {(partition, offset): at_us / 1_000_000 for partition, offset, at_us in rows}


def quantiles_ms(values_s: Sequence[float]) -> dict[str, float]:
    """The median, the 90th and 99th percentile, and the most."""
    cuts = statistics.quantiles(values_s, n=100, method="inclusive")
    found = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": max(values_s)}
    return {name: round(each * 1000, 1) for name, each in found.items()}
