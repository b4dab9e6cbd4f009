"""An intake takes from the worker beside it what Temporal has acknowledged, and asks Temporal for everything else."""

import asyncio
from collections.abc import Awaitable

import pytest

from ingest.endings import Ending, Endings
from recharge import limits
from recharge.contract import RechargeResult
from recharge.outcome import State

DONE = RechargeResult(State.SUCCEEDED, "f" * 64)
SOON_S = 5.0


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait for what does not come."""
    monkeypatch.setattr(limits, "RUN_BEGINS_WITHIN_S", 0.02)
    monkeypatch.setattr(limits, "RUN_ENDS_WITHIN_S", 0.05)


async def in_time(work: Awaitable[RechargeResult | None]) -> RechargeResult | None:
    return await asyncio.wait_for(work, SOON_S)


async def test_an_end_that_came_before_the_answer_to_the_start_is_not_missed() -> None:
    endings = Endings()
    with endings.expected("a") as ending:
        endings.began("a", "run")
        endings.ended("a", "run", DONE)
        assert await in_time(ending.result_of("run")) is DONE


async def test_an_end_is_told_to_the_one_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUN_ENDS_WITHIN_S", 10 * SOON_S)
    endings = Endings()
    with endings.expected("a") as ending, endings.expected("b") as other:
        waiting = asyncio.create_task(ending.result_of("run"))
        endings.began("a", "run")
        endings.began("b", "another run")
        # Longer than a run may take to begin: this one has begun.
        await asyncio.sleep(3 * limits.RUN_BEGINS_WITHIN_S)
        endings.ended("a", "run", DONE)
        assert await in_time(waiting) is DONE
        assert await in_time(_asked_at_once(other, endings)) is None


async def _asked_at_once(ending: Ending, endings: Endings) -> RechargeResult | None:
    waiting = asyncio.create_task(ending.result_of("another run"))
    endings.ended("b", "another run", None)
    return await waiting


async def test_temporal_is_asked_where_the_worker_has_not_begun_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUN_ENDS_WITHIN_S", 10 * SOON_S)
    endings = Endings()
    with endings.expected("a") as ending:
        assert await in_time(ending.result_of("run")) is None
    with endings.expected("a") as ending:
        endings.began("a", "an older run")
        assert await in_time(ending.result_of("run")) is None


async def test_temporal_is_asked_where_the_worker_takes_its_time() -> None:
    endings = Endings()
    with endings.expected("a") as ending:
        endings.began("a", "run")
        assert await in_time(ending.result_of("run")) is None


@pytest.mark.parametrize("told", [None, DONE], ids=["let go of", "complete"])
async def test_temporal_is_asked_where_it_was_another_run_that_ended(told: RechargeResult | None) -> None:
    endings = Endings()
    with endings.expected("a") as ending:
        endings.began("a", "run")
        endings.ended("a", "an older run", told)
        assert await in_time(ending.result_of("run")) is None


async def test_who_expects_the_same_later_is_told_and_nothing_is_kept() -> None:
    endings = Endings()
    with endings.expected("a") as first:
        with endings.expected("a") as second:
            endings.began("a", "run")
            endings.ended("a", "run", DONE)
            assert await in_time(second.result_of("run")) is DONE
        assert await in_time(first.result_of("run")) is None
    with endings.expected("a") as ending:
        pass
    endings.began("a", "run")
    endings.ended("a", "run", DONE)
    assert await in_time(ending.result_of("run")) is None
    assert endings._expected == {}
