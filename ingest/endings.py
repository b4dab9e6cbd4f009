"""The ends of workflows that the worker in the intake's own process carries out, as it tells them: each spares a question to Temporal."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from recharge import limits
from recharge.contract import RechargeResult


class Ending:
    """What the worker has told of one workflow id since it was expected."""

    def __init__(self) -> None:
        self._begun: str | None = None
        self._ended: tuple[str, RechargeResult | None] | None = None
        self._told = asyncio.Event()

    def began(self, run_id: str) -> None:
        """The worker has this run."""
        self._begun = run_id

    def ended(self, run_id: str, result: RechargeResult | None) -> None:
        """The worker has it no longer."""
        self._ended = run_id, result
        self._told.set()

    async def result_of(self, run_id: str) -> RechargeResult | None:
        """The result of a run whose end Temporal has taken. None where Temporal has to be asked: the worker does not have the run, has let
        go of it, or takes its time over it.
        """
        await self._wait(limits.RUN_BEGINS_WITHIN_S)
        if self._ended is None and self._begun == run_id:
            await self._wait(limits.RUN_ENDS_WITHIN_S)
        return self._ended[1] if self._ended is not None and self._ended[0] == run_id else None

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._told.wait()
        except TimeoutError:
            return


class Endings:
    """Brings what the worker tells to those who wait for it. What nobody expects is nobody's concern."""

    def __init__(self) -> None:
        self._expected: dict[str, Ending] = {}

    @contextmanager
    def expected(self, workflow_id: str) -> Iterator[Ending]:
        """Listen to what the worker tells of a workflow id. To be called before the start, since the end may come before its answer."""
        ending = self._expected[workflow_id] = Ending()
        try:
            yield ending
        finally:
            # Another may have come to expect the same meanwhile, after a change of assignment.
            if self._expected.get(workflow_id) is ending:
                del self._expected[workflow_id]

    def began(self, workflow_id: str, run_id: str) -> None:
        """The worker has begun with a run."""
        if (ending := self._expected.get(workflow_id)) is not None:
            ending.began(run_id)

    def ended(self, workflow_id: str, run_id: str, result: RechargeResult | None) -> None:
        """The worker has let go of a run. `result` is what it completed with, where Temporal has acknowledged that."""
        if (ending := self._expected.get(workflow_id)) is not None:
            ending.ended(run_id, result)
