"""How a call is followed that takes longer than its workflow task should: to its end, in the worker that makes it or by the ledger."""

import asyncio

import structlog
from temporalio import activity

from activities.calls import CallsInFlight
from activities.failures import from_ledger
from activities.heartbeats import heartbeats
from activities.ledger import Ledger, LedgerError, LedgerUnavailable
from recharge import limits
from recharge.contract import AWAIT_ANSWER_ACTIVITY, AnswerTask, Finding, RecordInput
from recharge.outcome import State

log = structlog.get_logger(__name__)


class AwaitAnswer:
    """The activity that waits for the end of a call that is under way. It sends nothing, so it may run as often as Temporal likes."""

    def __init__(self, ledger: Ledger, calls: CallsInFlight) -> None:
        self._ledger = ledger
        self._calls = calls

    @activity.defn(name=AWAIT_ANSWER_ACTIVITY)
    async def await_answer(self, task: AnswerTask) -> Finding:
        """Return what the call came to: what its own task found where that runs here, else what the ledger has when the attempt is closed.

        An attempt that is still open when its deadline has passed is a doubt: its worker is gone, or the ledger is away from it.
        """
        call = self._calls.under_way(task.record)
        try:
            async with heartbeats():
                finding = await (self._by_the_ledger(task.record) if call is None else _ended(call))
        except LedgerError as error:
            raise from_ledger(error) from error
        log.info("a slow call has ended", workflow_id=task.record.workflow_id, state=finding.state, said=finding.said)
        return finding

    async def _by_the_ledger(self, record: RecordInput) -> Finding:
        while (finding := await self._ledger.ended_call(record)) is None:  # noqa: ASYNC110  # the event is in another process
            await asyncio.sleep(limits.ANSWER_POLL_S)
        return finding


async def _ended(call: asyncio.Task[Finding]) -> Finding:
    """Await a call of this process. One that the ledger did not let begin has no outcome, and the sending is tried again."""
    try:
        return await asyncio.shield(call)
    except LedgerUnavailable as error:
        return Finding(State.RETRYING, f"no outcome: {error}")
