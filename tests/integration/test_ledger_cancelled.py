"""A transaction that is cancelled, or whose time is over, commits nothing, and leaves a pool that goes on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, text

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from devstack.processes import wait_until
from devstack.stack import Devstack
from recharge import limits
from tests.conftest import SiteMaker

CLAIM = text(
    "INSERT INTO request_claims (claim, workflow_id, claimed_at) VALUES ('cancelled', 'a:b:0:1', UTC_TIMESTAMP(6))"
)
CLAIMS = text("SELECT COUNT(*) FROM request_claims")
LONG = text("SELECT SLEEP(60)")


async def usually(ledger: LedgerEngine) -> None:
    def work(connection: Connection) -> int:
        connection.execute(CLAIM)
        return int(connection.execute(LONG).scalar_one())

    assert await ledger.transact_usual(work) is None


async def the_long_way(ledger: LedgerEngine) -> None:
    async def work(connection: LedgerConnection) -> None:
        await connection.execute(CLAIM)
        await connection.execute(LONG)

    await ledger.transact(work)


async def nothing_is_committed(ledger: LedgerEngine) -> None:
    """Asked over the pool's one connection, or the one that took its place."""

    async def count(connection: LedgerConnection) -> int:
        return int(await connection.scalar(CLAIMS))

    assert await ledger.transact(count) == 0


@pytest.fixture
async def url(make_site: SiteMaker) -> str:
    return (await make_site("cancelled")).environment["RECHARGE_MYSQL__URL"]


@pytest.mark.parametrize("way", [usually, the_long_way])
async def test_a_cancelled_transaction_commits_nothing_and_gives_its_place_in_the_pool_back(
    url: str, stack: Devstack, way: Callable[[LedgerEngine], Awaitable[None]]
) -> None:
    database = url.partition("?")[0].rpartition("/")[2]

    async def is_under_way() -> bool:
        running = "SELECT 1 FROM performance_schema.processlist WHERE db = %s AND info LIKE 'SELECT SLEEP%%'"
        return bool(await stack.mysql.execute(running, [database]))

    async with LedgerEngine(url, connections_max=1) as ledger:
        task = asyncio.ensure_future(way(ledger))
        await wait_until(is_under_way, 20, "the transaction is under way", interval_s=0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_is_committed(ledger)


async def test_a_transaction_of_the_usual_way_whose_time_is_over_commits_nothing_and_leaves_it_to_the_long_way(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LEDGER_TRANSACTION_TIMEOUT_S", 1.0)
    async with LedgerEngine(url, connections_max=1) as ledger:
        await usually(ledger)
        await nothing_is_committed(ledger)
