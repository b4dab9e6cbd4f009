"""A ledger that has grown for years: what its key look-ups, its transactions, its listings and its counts cost, empty and full.

`python -m bench ledger --rows 10000000` fills it by SQL with final records as the service writes them (row, attempt, claim), their
digests in no order, and measures the same operations of `activities.ledger` before and after.
"""

import statistics
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress

from activities.ledger import Ledger, OperatorLedger
from activities.profile import Answer
from bench.bulk import filling
from bench.corner import PARTITIONS, Corner, value
from bench.figure import Figure
from devstack.stack import Devstack
from recharge import record as records
from recharge.contract import Ordering, Position, RecordInput
from recharge.outcome import Outcome, State

_BATCH = 10_000
"""Rows of one INSERT, which four digits count: it ends well within the local stack's time-out of a statement."""
_TIMES = 200
_COUNT_TIMES = 3
_MIB = 1024 * 1024


@dataclass
class _Timed:
    """Milliseconds that each of several runs took."""

    each_ms: list[float] = field(default_factory=list)

    async def time(self, work: Awaitable[object]) -> None:
        began_s = time.perf_counter()
        await work
        self.each_ms.append((time.perf_counter() - began_s) * 1000)

    def figure(self, name: str, beside: "_Timed") -> Figure:
        """Half of the runs took less than the value; the quickest tells what the ledger needs where nothing else wants the machine."""
        empty = f"{statistics.median(beside.each_ms):.1f} ms when empty; quickest {min(self.each_ms):.1f} and {min(beside.each_ms):.1f}"
        details = {"quickest_ms": min(self.each_ms), "slowest_ms": max(self.each_ms), "times": len(self.each_ms)}
        return Figure(name, statistics.median(self.each_ms), "ms", empty, details)


async def measure(stack: Devstack, console: Console, *, rows: int, pool_mib: int) -> list[Figure]:
    """Measure an empty ledger, fill it with `rows` records, and measure again with a buffer pool of `pool_mib`."""
    corner = await Corner.make(stack, "ledger")
    empty = await _measured(corner, first=2_000_000_000)
    began_s = time.monotonic()
    async with filling(stack, corner.site, pool_mib=pool_mib):
        await _fill(corner, console, rows)
    took_s = time.monotonic() - began_s
    caught_up_s = await _count_final(corner)
    size_mib = await _size_mib(corner)
    full = await _measured(corner, first=1_000_000_000)
    return [
        Figure("rows of records", rows, "rows", f"filled in {took_s:.0f} s"),
        Figure(
            "size of the ledger", size_mib, "MiB", f"{size_mib * _MIB / rows:.0f} bytes a record, pool {pool_mib} MiB"
        ),
        Figure("counting the final records once", caught_up_s, "s", "by a worker, in steps of an hour of records"),
        *(full[name].figure(name, empty[name]) for name in full),
    ]


async def _count_final(corner: Corner) -> float:
    """Bring the total of final records up to the present, as a worker does from time to time; how long that took in all."""
    began_s = time.monotonic()
    ledger = OperatorLedger(corner.site.environment["RECHARGE_MYSQL__URL"])
    try:
        while await ledger.count_final():
            pass
    finally:
        await ledger.close()
    return time.monotonic() - began_s


async def _measured(corner: Corner, *, first: int) -> dict[str, _Timed]:
    """Each operation's times; `first` is an offset from which no record stands in the ledger."""
    url = corner.site.environment["RECHARGE_MYSQL__URL"]
    ledger, people = Ledger(url), OperatorLedger(url)
    timed = {
        name: _Timed()
        for name in (
            "a record's three transactions",
            "all of one record (show)",
            "what waits for a person",
            "commit offsets (status)",
            "counts by state (status)",
        )
    }
    whole, story, waiting, offsets, counts = timed.values()
    source, topic = corner.site.source, corner.site.topic
    try:
        await people.counts()
        for number in range(_TIMES):
            one = _record(corner, first + number)
            await whole.time(_carry_out(ledger, one, f"{first + number:032d}"))
            await story.time(people.story(one.workflow_id))
            await waiting.time(people.waiting(count_max=100))
            await offsets.time(people.standing_at(source, topic, dict.fromkeys(range(PARTITIONS), first)))
        for _ in range(_COUNT_TIMES):
            await counts.time(people.counts())
    finally:
        await ledger.close()
        await people.close()
    return timed


async def _carry_out(ledger: Ledger, one: RecordInput, token: str) -> None:
    await ledger.open_attempt(one, token, timeout_s=30.0)
    finding = await ledger.close_attempt(one, token, Answer(Outcome.CHARGED, "charged", status=200))
    result = await ledger.record_result(one, finding)
    if result.state is not State.SUCCEEDED:
        raise RuntimeError(f"the record did not succeed: {result}")


def _record(corner: Corner, offset: int) -> RecordInput:
    position = Position(corner.site.source, corner.site.topic, offset % PARTITIONS, offset)
    stamp_ms = int(time.time() * 1000)
    return records.from_kafka(position, b"key", value(offset), stamp_ms, ordering=Ordering.ACCOUNT, traceparent=None)


async def _fill(corner: Corner, console: Console, rows: int) -> None:
    """Write final records; what a digest would be made of is hashed from the row's number, so each is its own and in no order."""
    database, source, topic = corner.site.names.database, corner.site.source, corner.site.topic
    statements = [
        statement.format(database=database, source=source, topic=topic) for statement in (_ROWS, _ATTEMPTS, _CLAIMS)
    ]
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("filling the ledger", total=rows)
        for first in range(0, rows, _BATCH):
            count = min(_BATCH, rows - first)
            for statement in statements:
                await corner.stack.mysql.execute(statement.replace(":first", str(first)).replace(":count", str(count)))
            progress.advance(task, count)


_DIGITS = "WITH digits AS (SELECT 0 AS n" + "".join(f" UNION ALL SELECT {n}" for n in range(1, 10)) + ") "
_NUMBERS = (
    "FROM (SELECT :first + a.n + b.n * 10 + c.n * 100 + d.n * 1000 AS n FROM digits a, digits b, digits c, digits d "
    "WHERE a.n + b.n * 10 + c.n * 100 + d.n * 1000 < :count) numbers"
)
_ID = "CONCAT('{source}:{topic}:', n % 8, ':', n DIV 8)"
_ROWS = (
    "INSERT INTO {database}.recharges (source, topic, partition_id, record_offset, workflow_id, state, fingerprint, content_digest, "
    "ordering, operation_type, account_donor, account_receiver, amount, currency, request_id, provider_reference, status, resolved_by, "
    "raw_key, raw_value, size_bytes, record_timestamp_ms, begun, created_at, updated_at, final_at) "
    + _DIGITS
    + "SELECT '{source}', '{topic}', n % 8, n DIV 8, "
    + _ID
    + ", IF(n % 1000 = 0, 'rejected', 'succeeded'), SHA2(CONCAT('f', n), 256), SHA2(CONCAT('c', n), 256), 'account', "
    "'OneShotTransfer', CONCAT('+5917', LPAD(n % 10000000, 7, '0')), CONCAT('+5916', LPAD(n % 10000000, 7, '0')), "
    "n % 90 + 1.5, 'BOB', CONCAT('bench-', n), CONCAT('P-', n), 200, 'answer', 'key', RPAD('{{', 170, 'x'), 173, 1793534400000, 1, "
    "'2026-01-01' + INTERVAL n SECOND, '2026-01-01' + INTERVAL n SECOND, '2026-01-01' + INTERVAL n SECOND " + _NUMBERS
)
_ATTEMPTS = (
    "INSERT INTO {database}.recharge_attempts (workflow_id, number, token, opened_at, deadline_at, closed_at, outcome, status, "
    "provider_reference) "
    + _DIGITS
    + "SELECT "
    + _ID
    + ", 1, LEFT(SHA2(n, 256), 32), '2026-01-01' + INTERVAL n SECOND, '2026-01-01 00:00:30' + INTERVAL n SECOND, "
    "'2026-01-01' + INTERVAL n SECOND, 'charged', 200, CONCAT('P-', n) " + _NUMBERS
)
_CLAIMS = (
    "INSERT INTO {database}.request_claims (claim, workflow_id, claimed_at) "
    + _DIGITS
    + "SELECT SHA2(CONCAT('r', n), 256), "
    + _ID
    + ", '2026-01-01' + INTERVAL n SECOND "
    + _NUMBERS
)


async def _size_mib(corner: Corner) -> float:
    ((size,),) = await corner.stack.mysql.execute(
        "SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_TABLESPACES WHERE NAME LIKE %s",
        [f"{corner.site.names.database}/%"],
    )
    return float(size) / _MIB
