"""A connection that nobody speaks on any more ends at MySQL, too: else its transaction would hold a record's locks for eight hours."""

import time

import pytest
from sqlalchemy import Connection, text

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine, make_pool
from activities.migrations import migrate
from devstack.processes import wait_until
from devstack.stack import Devstack
from recharge import limits
from tests.conftest import SiteMaker

CLAIM = text(
    "INSERT INTO request_claims (claim, workflow_id, claimed_at) VALUES ('silence', 'a:b:0:1', UTC_TIMESTAMP(6))"
)
WHO = text("SELECT CONNECTION_ID()")


@pytest.fixture
async def url(make_site: SiteMaker) -> str:
    site = await make_site("silence")
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    return site.environment["RECHARGE_MYSQL__URL"]


async def test_a_transaction_whose_client_has_fallen_silent_gives_its_locks_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LEDGER_SILENCE_S", 2)
    silent, ledger = make_pool(url), LedgerEngine(url)

    async def claim(connection: LedgerConnection) -> None:
        await connection.execute(CLAIM)

    async with silent.connect() as connection:
        await connection.execute(CLAIM)
        began_s = time.monotonic()
        await ledger.transact(claim)
        assert time.monotonic() - began_s < limits.LEDGER_LOCK_WAIT_S, (
            "MySQL ended the silent one before the other one's wait was over"
        )
        await connection.run_sync(Connection.invalidate)
    await silent.dispose()
    await ledger.close()


async def test_a_connection_that_mysql_has_ended_is_closed_without_an_error_in_the_log(
    url: str, stack: Devstack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "LEDGER_SILENCE_S", 1)
    monkeypatch.setattr(limits, "LEDGER_IDLE_S_MAX", 0.5)
    ledger = LedgerEngine(url)

    async def who(connection: LedgerConnection) -> int:
        return int((await connection.execute(WHO)).scalar_one())

    async def until_ended(number: int) -> None:
        async def is_gone() -> bool:
            return not await stack.mysql.execute("SELECT 1 FROM performance_schema.processlist WHERE id = %s", [number])

        await wait_until(is_gone, 20, f"MySQL has ended connection {number}", interval_s=0.1)

    first = await ledger.transact(who)
    await until_ended(first)
    second = await ledger.transact(who)
    assert second != first
    await until_ended(second)
    await ledger.close()
    assert caplog.records == []


async def test_a_connection_that_mysql_may_have_ended_is_replaced_before_it_is_used(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = LedgerEngine(url)

    async def who(connection: LedgerConnection) -> int:
        return int((await connection.execute(WHO)).scalar_one())

    first = await ledger.transact(who)
    assert await ledger.transact(who) == first, "connections are used again"
    monkeypatch.setattr(limits, "LEDGER_IDLE_S_MAX", 0.0)

    def who_usually(connection: Connection) -> int:
        return int(connection.execute(WHO).scalar_one())

    assert await ledger.transact_usual(who_usually) not in {first, None}, (
        "not one transaction is spent on finding that out"
    )
    await ledger.close()
