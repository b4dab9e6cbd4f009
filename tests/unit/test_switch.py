"""The ingester's view of its switch: the last known answer holds, and its own pause is never overlooked."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest
import structlog.testing
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from ingest import pause
from ingest.patience import Patience
from ingest.pause import Pause
from ingest.switch import Switch
from recharge import limits
from recharge.contract import RechargeResult
from recharge.outcome import ResolvedBy, State

TIMEOUT_S = 5.0
REFUSED = RechargeResult(State.REJECTED, "f", status=404, resolved_by=ResolvedBy.ANSWER)
AWAY = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
NEVER = RPCError("not found", RPCStatusCode.NOT_FOUND, b"")


def paused(by: str = "ann") -> Pause:
    return Pause(f"run of {by}", by, "why", datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Temporal:
    """What the switch's workflow is, and what the next calls are answered with instead."""

    standing: Pause | None = None
    errors: list[RPCError] = field(default_factory=list)
    asked: int = 0
    before_answer: asyncio.Event | None = None

    async def read(self, *_: object) -> Pause | None:
        self.asked += 1
        found = self.standing
        if self.before_answer is not None:
            await self.before_answer.wait()
        if self.errors:
            raise self.errors.pop(0)
        return found

    def told(self) -> tuple[str, str] | None:
        return None if self.standing is None else (self.standing.by, self.standing.note)

    async def begin(self, *_: object, by: str, note: str) -> None:
        if self.standing is not None:
            raise WorkflowAlreadyStartedError("source:pause", "RechargePause")
        self.standing = Pause(f"run of {by}", by, note, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Temporal:
    """A Temporal of a few lines in place of the bare calls."""
    there = Temporal()
    monkeypatch.setattr(pause, "read", there.read)
    monkeypatch.setattr(pause, "begin", there.begin)
    monkeypatch.setattr(limits, "PAUSE_POLL_S", 0.01)
    monkeypatch.setattr(limits, "START_RETRY_FIRST_S", 0.01)
    return there


def switch(refused_max: int = 2) -> Switch:
    return Switch(
        cast("Client", None), Patience("default"), "source", by="the ingester", refused_in_a_row_max=refused_max
    )


def paused_now(mine: Switch) -> bool:
    """Whether it is paused. A call, since a property that was read before is taken for unchanged by the type checker."""
    return mine.is_paused


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  # a fake is asked
            await asyncio.sleep(0.001)


async def test_it_follows_what_stands_in_temporal_and_says_so_once(temporal: Temporal) -> None:
    mine = switch()
    with structlog.testing.capture_logs() as logs:
        for standing in (None, paused(), paused(), None, None):
            temporal.standing = standing
            await mine.refresh()
            assert mine.is_paused is (standing is not None)
    assert [line["event"].partition(":")[0] for line in logs] == ["intake is paused", "intake goes on"]
    assert (logs[0]["by"], logs[0]["note"]) == ("ann", "why")


async def test_a_source_that_was_never_paused_is_not_paused(temporal: Temporal) -> None:
    temporal.errors = [NEVER]
    mine = switch()
    await mine.refresh()
    assert not mine.is_paused


@pytest.mark.parametrize("standing", [None, paused()])
async def test_while_temporal_is_away_the_last_known_answer_holds_and_it_is_told_once(
    temporal: Temporal, standing: Pause | None
) -> None:
    mine = switch()
    temporal.standing = standing
    await mine.refresh()
    temporal.standing = None if standing else paused()
    temporal.errors = [AWAY] * 4
    seen: list[bool] = []
    with structlog.testing.capture_logs() as logs:
        watching = asyncio.create_task(mine.watch())
        try:
            while temporal.errors:
                seen.append(mine.is_paused)
                await asyncio.sleep(0.001)
            await until(lambda: mine.is_paused is (standing is None))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    assert set(seen) == {standing is not None}
    events = [line["event"] for line in logs]
    assert events.count("Temporal does not answer; waiting for it") == events.count("Temporal answers again") == 1


async def test_the_row_that_is_full_pauses_at_once_and_then_in_temporal(temporal: Temporal) -> None:
    mine = switch()
    await mine.refresh()
    mine.heard("id-0", REFUSED)
    assert not paused_now(mine)
    mine.heard("id-1", REFUSED)
    assert mine.is_paused
    # It stands in Temporal only after that, and says who and why.
    assert temporal.told() is None
    await mine.settle()
    assert temporal.told() == ("the ingester", "2 records in a row refused with 404, the newest of them id-1")
    # What ends while it is paused is not counted; after it was resumed, the count begins at none.
    mine.heard("id-2", REFUSED)
    temporal.standing = None
    await mine.refresh()
    mine.heard("id-3", REFUSED)
    assert not paused_now(mine)


async def test_a_pause_of_somebody_elses_is_as_good(temporal: Temporal) -> None:
    mine = switch(refused_max=1)
    await mine.refresh()
    temporal.standing = paused()
    mine.heard("id", REFUSED)
    await mine.settle()
    assert temporal.standing.by == "ann"
    assert mine.is_paused


async def test_an_older_answer_does_not_undo_its_own_pause(temporal: Temporal) -> None:
    mine = switch(refused_max=1)
    temporal.before_answer = asyncio.Event()
    looking = asyncio.create_task(mine.refresh())
    await until(lambda: temporal.asked == 1)
    mine.heard("id", REFUSED)
    settling = asyncio.create_task(mine.settle())
    temporal.before_answer.set()
    await looking
    assert mine.is_paused
    await settling
    assert mine.is_paused
    assert temporal.standing is not None


async def test_a_pause_that_was_cut_off_is_made_up_for_by_the_next_look(temporal: Temporal) -> None:
    mine = switch(refused_max=1)
    mine.heard("id", REFUSED)
    settling = asyncio.create_task(mine.settle())
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    assert mine.is_paused
    await mine.refresh()
    assert temporal.standing is not None
    assert mine.is_paused
