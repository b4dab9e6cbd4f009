"""What MySQL's errors mean for a record: it waits, a person mends it, or the rows contradict each other."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pymysql import err
from sqlalchemy.exc import DBAPIError

from activities.calls import CallsInFlight
from activities.ledger import (
    Ledger,
    LedgerContradiction,
    LedgerError,
    LedgerUnavailable,
    LedgerUnfit,
    Opened,
)
from activities.ledger.waiting import WaitingRecords
from activities.profile import Answer, Received
from activities.provider import Provider, _fit_answer
from activities.recharge import Recharge
from app.alarms import Alarms
from operations.audit.facts import Period
from recharge import limits
from recharge.contract import Finding
from recharge.outcome import Outcome, State
from recharge.settings import ProviderSettings
from tests.support.records import record

PROVIDER = ProviderSettings.model_validate({"url": "https://provider.example.com/v1"})
LEDGER = Ledger("mysql://user:password@127.0.0.1:1/ledger")
PASSES = {
    "too many connections": 1040,
    "too many connections of this user": 1203,
    "the user's hourly limit": 1226,
    "a full disk": 1021,
    "a full table": 1114,
    "a read that the disk refused": 1030,
    "a network that broke": 1158,
    "a group of replicas that changes": 3101,
    "a commit that the group gave up": 1180,
    "a server that takes no writes": 1290,
    "a transaction that may not write": 1792,
    "a server in offline mode": 3032,
    "no answer": 2013,
    "what nobody has heard of": 9999,
}
NEVER_PASSES = {
    "a row that is there already": 1062,
    "a value that is too long": 1406,
    "a statement that is none": 1064,
    "a row that breaks a CHECK": 3819,
}


def told(code: int) -> LedgerError:
    original = err.error_map.get(code, err.OperationalError)(code, "as MySQL says")
    return LEDGER.in_plain_words(DBAPIError.instance("UPDATE …", {}, original, err.Error))


@pytest.mark.parametrize("code", PASSES.values(), ids=PASSES.keys())
def test_what_passes_or_is_mended_at_the_server_ends_no_workflow(code: int) -> None:
    assert type(told(code)) is LedgerUnavailable


@pytest.mark.parametrize("code", NEVER_PASSES.values(), ids=NEVER_PASSES.keys())
def test_a_statement_that_never_succeeds_is_a_contradiction(code: int) -> None:
    assert type(told(code)) is LedgerContradiction


@pytest.mark.parametrize("code", [1045, 1142])
def test_a_ledger_that_refuses_us_is_for_a_person_to_mend(code: int) -> None:
    assert type(told(code)) is LedgerUnfit


async def test_an_answer_is_written_down_however_long_the_ledger_is_away_or_refuses_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RETRY_FIRST_S", 0.001)
    errors = [LedgerUnavailable("gone"), LedgerUnfit("the password was changed"), LedgerUnfit("still")]
    ledger, provider = AsyncMock(spec=Ledger), AsyncMock(spec=Provider)
    ledger.open_attempt.return_value = Opened(1, "token", after_unknown=False)
    ledger.close_attempt.side_effect = [*errors, Finding(State.SUCCEEDED, "charged", 1)]
    provider.send.return_value = answer = Answer(Outcome.CHARGED, "200 OK", 200)
    recharge = Recharge(ledger, provider, CallsInFlight(), timeout_s=30.0, local_calls_max=1)
    async with asyncio.timeout(10):
        finding = await recharge._carry_out(record("errors", 1), 1e12)  # the call itself, without an activity around it
    assert finding.state is State.SUCCEEDED
    assert [call.args[2] for call in ledger.close_attempt.await_args_list] == [answer] * (len(errors) + 1)


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


@pytest.mark.parametrize(
    ("outcome", "read"),
    [
        ("not_sent", Outcome.UNKNOWN),
        (Outcome.NOT_SENT, Outcome.UNKNOWN),
        ("paid", Outcome.UNKNOWN),
        ("charged", Outcome.CHARGED),
    ],
)
@pytest.mark.parametrize(("wait_s", "kept_s"), [(float("inf"), 3600.0), (float("nan"), None), (-1.0, None), (7.0, 7.0)])
def test_a_profile_module_can_say_nothing_that_no_answer_can_mean(
    outcome: Any, read: Outcome, wait_s: float, kept_s: float | None
) -> None:
    answer = _fit_answer(Answer(outcome, "as the module says", retry_after_s=wait_s), Received(200, {}, b""))
    assert answer.outcome is read
    assert answer.retry_after_s == (kept_s if read is Outcome.CHARGED else None)


@pytest.mark.parametrize("timestamp_ms", [-(2**63), -1, 1_764_000_000_000_000, 2**63 - 1])
def test_a_record_with_any_timestamp_can_be_audited(timestamp_ms: int) -> None:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    assert Period().holds(timestamp_ms)
    assert Period(since=at).holds(timestamp_ms) is (timestamp_ms > 0)
    assert Period(until=at).holds(timestamp_ms) is (timestamp_ms <= 0)
