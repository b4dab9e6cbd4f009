"""What MySQL's errors mean for a record: it waits, a person mends it, or the rows contradict each other."""

import asyncio
from collections.abc import Collection
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
from activities.profile import Answer
from activities.provider import Provider
from activities.recharge import Recharge
from recharge import limits
from recharge.contract import Finding, RecordInput
from recharge.outcome import Outcome, State
from tests.support.records import record

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


async def test_an_answer_is_written_down_however_long_the_ledger_is_away_refuses_us_or_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RETRY_FIRST_S", 0.001)
    errors = [LedgerUnavailable("gone"), LedgerUnfit("the password was changed"), AttributeError("the driver's own")]
    ledger, provider = AsyncMock(spec=Ledger), AsyncMock(spec=Provider)
    ledger.open_attempt.return_value = Opened(1, "token", after_unknown=False)
    ledger.close_attempt.side_effect = [*errors, Finding(State.SUCCEEDED, "charged", 1)]
    provider.send.return_value = answer = Answer(Outcome.CHARGED, "200 OK", 200)
    recharge = Recharge(ledger, provider, CallsInFlight(), timeout_s=30.0, local_calls_max=1)
    async with asyncio.timeout(10):
        finding = await recharge._carry_out(record("errors", 1), 1e12)  # the call itself, without an activity around it
    assert finding.state is State.SUCCEEDED
    assert [call.args[2] for call in ledger.close_attempt.await_args_list] == [answer] * (len(errors) + 1)


async def test_an_opening_that_fails_as_nobody_foresaw_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LEDGER_OPENING_PAUSE_S", 0.001)
    ledger, one, taken_back = AsyncMock(spec=Ledger), record("errors", 1), asyncio.Event()
    ledger.open_attempt.side_effect = AttributeError("the driver's own")

    async def close_unsent(_: RecordInput, tokens: Collection[str]) -> list[int]:
        assert list(tokens) == [ledger.open_attempt.await_args.args[1]]
        taken_back.set()
        return [1]

    ledger.close_unsent.side_effect = close_unsent
    calls = CallsInFlight()
    recharge = Recharge(ledger, AsyncMock(spec=Provider), calls, timeout_s=30.0, local_calls_max=1)
    with pytest.raises(AttributeError):
        await recharge._carry_out(one, 1e12)
    async with asyncio.timeout(10):
        await taken_back.wait()
    await calls.drained()
