"""A call goes on when its caller is gone, and a process that stops awaits it."""

import asyncio

from activities.calls import CallsInFlight


async def test_a_call_whose_caller_was_cancelled_goes_on_and_is_awaited() -> None:
    calls = CallsInFlight()
    may_be_answered = asyncio.Event()
    written_down: list[str] = []

    async def call() -> None:
        await may_be_answered.wait()
        written_down.append("charged")

    async def activity() -> None:
        await asyncio.shield(calls.start(call()))

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
