"""Whoever watches what waits in the ledger goes on watching, whatever the ledger answers meanwhile."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from activities.ledger import LedgerContradiction, LedgerUnavailable, LedgerUnfit
from activities.ledger.waiting import WaitingRecords
from app.alarms import Alarms
from recharge import limits
from recharge.settings import ProviderSettings

PROVIDER = ProviderSettings.model_validate({"url": "https://provider.example.com/v1"})


async def test_alarms_go_on_after_a_ledger_that_refused_us_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALARM_INTERVAL_S", 0.001)
    ledger, looked = AsyncMock(spec=WaitingRecords), asyncio.Event()
    ledger.by_state.side_effect = [LedgerUnfit("1045"), LedgerContradiction("9999"), LedgerUnavailable("gone"), {}]

    async def last() -> float:
        looked.set()
        return await asyncio.Future()

    ledger.oldest_doubt_s.side_effect = last
    watching = asyncio.create_task(Alarms(ledger, PROVIDER).run())
    try:
        async with asyncio.timeout(5):
            await looked.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
