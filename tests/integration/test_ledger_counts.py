"""Counting a ledger of any size: the total of what was final long ago, and what has become so since, are together every record once."""

import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from activities.ledger import OperatorLedger
from devstack.site import Site
from devstack.stack import Devstack
from recharge.outcome import FINAL_STATES, State

SEED = 20261129
ROWS = 600
_INSERT = (
    "INSERT INTO {table} (source, topic, partition_id, record_offset, workflow_id, state, fingerprint, content_digest, ordering, "
    "size_bytes, record_timestamp_ms, begun, created_at, updated_at) VALUES ('s', 't', 0, {offset}, 's:t:0:{offset}', '{state}', "
    "REPEAT('0', 64), REPEAT('0', 64), 'partition', 1, 1, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL {age_s} SECOND)"
)


@pytest.fixture
async def ledger(site: Site) -> AsyncIterator[OperatorLedger]:
    opened = OperatorLedger(site.environment["RECHARGE_MYSQL__URL"])
    yield opened
    await opened.close()


async def test_every_record_is_counted_once_however_far_the_total_has_come(
    stack: Devstack, site: Site, ledger: OperatorLedger
) -> None:
    dice = random.Random(SEED)  # which rows there are
    print(f"seed {SEED}")  # noqa: T201  # a failure is run again by it
    table = f"{site.names.database}.recharges"
    expected: Counter[State] = Counter()
    # Two days back in bursts with hours of nothing between them, up to this moment.
    bursts_s = [dice.uniform(0, 172_800) for _ in range(8)] + [0.0, 3_500.0, 3_700.0]
    for offset in range(ROWS):
        state, age_s = dice.choice(list(State)), dice.choice(bursts_s) + dice.uniform(0, 600)
        await stack.mysql.execute(_INSERT.format(table=table, offset=offset, state=state, age_s=f"{age_s:.6f}"))
        expected[state] += 1
    everything = {state: expected[state] for state in State}
    steps = 0
    assert await ledger.counts() == everything
    while await ledger.count_final():
        steps += 1
        assert await ledger.counts() == everything
    assert steps > 5
    ((total, old_enough),) = await stack.mysql.execute(
        f"SELECT succeeded + rejected + invalid + skipped, (SELECT COUNT(*) FROM {table} WHERE updated_at < counted_to AND state IN "
        f"({', '.join(repr(str(state)) for state in sorted(FINAL_STATES))})) FROM {site.names.database}.final_counts"
    )
    assert 0 < total == old_enough
    # What becomes final afterwards is counted too, once, and an hour later for good.
    await stack.mysql.execute(_INSERT.format(table=table, offset=ROWS, state="succeeded", age_s=1))
    everything[State.SUCCEEDED] += 1
    assert not await ledger.count_final()
    assert await ledger.counts() == everything


async def test_counting_reads_no_row_that_was_counted_before(
    stack: Devstack, site: Site, ledger: OperatorLedger
) -> None:
    table, database = f"{site.names.database}.recharges", site.names.database
    values = [
        _INSERT.format(table=table, offset=offset, state="succeeded", age_s=7_200 + offset).partition(" VALUES ")[2]
        for offset in range(ROWS)
    ]
    head = _INSERT.format(table=table, offset=0, state="succeeded", age_s=0).partition(" VALUES ")[0]
    await stack.mysql.execute(f"{head} VALUES {', '.join(values)}")
    while await ledger.count_final():
        pass
    assert (await ledger.counts())[State.SUCCEEDED] == ROWS

    async def rows_read() -> int:
        ((read,),) = await stack.mysql.execute(
            "SELECT SUM(count_read) FROM performance_schema.table_io_waits_summary_by_table WHERE object_schema = %s",
            [database],
        )
        return int(read or 0)

    before = await rows_read()
    assert before > ROWS  # it was counted by reading
    await ledger.counts()
    assert await rows_read() - before < 50
