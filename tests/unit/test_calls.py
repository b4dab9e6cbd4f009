"""A call goes on when its caller is gone, a second caller awaits it, and a process that stops awaits it."""

import asyncio

import pytest

from activities.calls import CallsInFlight
from recharge.contract import Finding
from recharge.outcome import State
from tests.support.records import record, value

RECORD = record("test", 0)
CHARGED = Finding(State.SUCCEEDED, "charged")


async def test_a_call_whose_caller_was_cancelled_goes_on_and_is_awaited() -> None:
    calls = CallsInFlight()
    may_be_answered = asyncio.Event()
    written_down: list[str] = []

    async def call() -> Finding:
        await may_be_answered.wait()
        written_down.append("charged")
        return CHARGED

    async def activity() -> None:
        await asyncio.shield(calls.start(RECORD, call()))

    caller = asyncio.create_task(activity())
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()
    assert len(calls) == 1
    asyncio.get_running_loop().call_soon(may_be_answered.set)
    await calls.drained()
    assert written_down == ["charged"]
    assert len(calls) == 0


async def test_what_no_call_waits_for_ends_with_the_last_call() -> None:
    calls = CallsInFlight()
    may_be_answered, has_ended = asyncio.Event(), asyncio.Event()

    async def call() -> Finding:
        await may_be_answered.wait()
        return CHARGED

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert may_be_answered.is_set(), "it ended before the last call"
            has_ended.set()

    calls.start(RECORD, call())
    calls.beside(for_ever())
    draining = asyncio.create_task(calls.drained())
    await asyncio.sleep(0)
    assert not has_ended.is_set()
    may_be_answered.set()
    await draining
    assert has_ended.is_set()


async def test_whoever_asks_for_a_record_whose_call_is_under_way_gets_that_call_and_no_second_one() -> None:
    calls = CallsInFlight()
    may_be_answered = asyncio.Event()

    async def call() -> Finding:
        await may_be_answered.wait()
        return CHARGED

    task = calls.start(RECORD, call())
    assert calls.under_way(RECORD) is task
    assert calls.under_way(record("test", 1)) is None
    assert calls.under_way(record("test", 0, value(amount="7"))) is None, "another record at this position"
    second = call()
    with pytest.raises(AssertionError, match="has a call under way already"):
        calls.start(RECORD, second)
    second.close()
    may_be_answered.set()
    assert await task is CHARGED
    await calls.drained()
    assert calls.under_way(RECORD) is None
