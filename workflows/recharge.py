"""The story of one record, from its first attempt to its final state.

It knows no clock but Temporal's, no ledger and no provider. Whether a call may leave is decided by the activities, in the ledger, so
nothing that is done to this workflow (a reset, a replay, a second run) can send anything twice.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

with workflow.unsafe.imports_passed_through():
    from recharge import limits
    from recharge.contract import (
        CANCELLED_BY,
        HOLD_ACTIVITY,
        LOOK_UP_ACTIVITY,
        RECORD_RESULT_ACTIVITY,
        RESOLVE_UPDATE,
        STATUS,
        WORKFLOW_TYPE,
        Decision,
        DecisionReply,
        Finding,
        HoldTask,
        LookUpTask,
        RechargeResult,
        RecordInput,
        ResultTask,
    )
    from recharge.outcome import FINAL_STATES, Action, State
    from workflows import steps, telling

_WAITS_FOR_A_PERSON = frozenset({State.IN_DOUBT, State.PENDING, State.HELD})


@workflow.defn(name=WORKFLOW_TYPE)
class RechargeWorkflow:
    """One record's recharge. Its id is the record's position and the provider's idempotency key."""

    def __init__(self) -> None:
        self._status = State.SENDING
        self._said = ""
        self._calls_for_a_look = 0
        """How often a person decided something, or cancelled: each time the ledger has to be read anew."""
        self._looks = 0
        """The last of them that the story has answered by such a look."""
        self._is_cancelled = False
        self._told = telling.Story()
        self._story_task: asyncio.Task[RechargeResult] | None = None

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Carry the record out, wait for certainty where there is none, and make it final in the ledger.

        Fails where the ledger contradicts the record (another one stood at this position) or itself; its lane is held then.
        """
        self._story_task = story = asyncio.create_task(self._story(record))
        await self._whatever_is_cancelled(lambda: story.done() and workflow.all_handlers_finished())
        return story.result()

    @workflow.update(name=RESOLVE_UPDATE)
    async def resolve(self, decision: Decision) -> DecisionReply:
        """Hear of a decision that stands in the ledger, and tell where the record stands because of it."""
        del decision  # the ledger has it, and the ledger alone is believed
        self._calls_for_a_look += 1
        mine = self._calls_for_a_look
        await workflow.wait_condition(lambda: self._looks >= mine or self._has_ended)
        if self._looks < mine and self._status not in FINAL_STATES:
            raise ApplicationError(
                "the decision stands, but the workflow failed before it took it", type="DecisionRefused"
            )
        return DecisionReply(self._status, self._said)

    @resolve.validator
    def _refuse_what_cannot_be_decided(self, decision: Decision) -> None:
        if not decision.by.strip() or not decision.note.strip():
            raise ApplicationError("a decision needs a name and a reason: --by WHO --note WHY", type="DecisionRefused")
        if self._status in FINAL_STATES:
            raise ApplicationError(f"it is final already: {self._status}", type="DecisionRefused")
        if decision.action is not Action.HOLD and self._status not in _WAITS_FOR_A_PERSON:
            raise ApplicationError(f"it is {self._status} and does not wait for a person", type="DecisionRefused")

    async def _story(self, record: RecordInput) -> RechargeResult:
        if record.invalid_reason is not None:
            finding = Finding(State.INVALID, record.invalid_reason)
        else:
            finding = await self._first_attempt(record)
        while finding.state not in FINAL_STATES:
            self._tell(record, finding)
            finding = await self._go_on(record, finding)
        self._said = finding.said
        return await self._record_result(record, finding)

    async def _go_on(self, record: RecordInput, finding: Finding) -> Finding:
        """One step on from an open state: send again where the ledger allows it, or wait for certainty."""
        match finding.state:
            case State.RETRYING:
                # The regular activity starts at once, so the pause after the first attempt is the workflow's own.
                if await self._pause(finding):
                    return await self._send_again(record)
                return await self._look(record)
            case State.SENDING:
                return await self._send_again(record)
            case State.IN_DOUBT | State.PENDING | State.HELD:
                return await self._wait_for_certainty(record, finding)
            case State.SUCCEEDED | State.REJECTED | State.INVALID | State.SKIPPED:
                return finding
            case _:
                assert_never(finding.state)

    async def _first_attempt(self, record: RecordInput) -> Finding:
        """Send once, in this very workflow task; or by the task queue, where the worker has no room for that or a rate to keep."""
        try:
            finding = await self._unless_called(record, steps.local_recharge(record))
            if finding.is_under_way:
                self._tell(record, finding)
                return await self._await_answer(record)
            if finding.state is State.SENDING and not self._is_called:
                return await self._unless_called(record, steps.recharge(record, first=True))
        except (ActivityError, ApplicationError) as error:
            if steps.ends_the_workflow(error):
                raise
            return Finding(State.RETRYING, telling.without_outcome(error))
        return finding

    async def _send_again(self, record: RecordInput) -> Finding:
        return await self._unless_called(record, steps.recharge(record, first=False))

    async def _await_answer(self, record: RecordInput) -> Finding:
        """Follow a slow call to its end. Nothing that a person decides takes effect before, so the ledger is read for it after."""
        finding = await steps.await_answer(record)
        if self._is_called and finding.state not in FINAL_STATES:
            return await self._look(record)
        return finding

    async def _wait_for_certainty(self, record: RecordInput, finding: Finding) -> Finding:
        """Wait in one activity that Temporal runs again and again: that costs no history, however long it takes."""
        return await self._unless_called(record, steps.look_up(record, finding))

    async def _unless_called(self, record: RecordInput, handle: workflow.ActivityHandle[Finding]) -> Finding:
        """What an activity finds; where a person decides meanwhile, it ends after the call it is in, and the ledger is read at once."""
        await workflow.wait_condition(lambda: handle.done() or self._is_called)
        if handle.done():
            return await handle
        handle.cancel()
        try:
            found = await handle
        except (ActivityError, ApplicationError, CancelledError) as error:
            # Temporal tries nothing again that is to be cancelled: a try that fails at that moment ends the activity by its own error.
            if steps.ends_the_workflow(error):
                raise
            return await self._look(record)
        return found if found.state in FINAL_STATES or found.is_under_way else await self._look(record)

    async def _pause(self, finding: Finding) -> bool:
        """Wait out the backoff or the provider's Retry-After; False where a person decided meanwhile."""
        pause_s = max(limits.RETRY_FIRST_S, finding.retry_after_s or 0.0)
        try:
            await workflow.wait_condition(
                lambda: self._is_called, timeout=timedelta(seconds=pause_s), timeout_summary=telling.pause(finding)
            )
        except TimeoutError:
            return True
        return False

    async def _look(self, record: RecordInput) -> Finding:
        """Write a cancellation down as a hold, then read the ledger: the decision that called for this look stands there."""
        answered = self._calls_for_a_look
        if self._is_cancelled:
            self._is_cancelled = False
            why = "the workflow was cancelled"
            await steps.in_the_ledger(HOLD_ACTIVITY, HoldTask(record, CANCELLED_BY, why), type(None), f"hold: {why}")
        found = await steps.in_the_ledger(
            LOOK_UP_ACTIVITY, LookUpTask(record, once=True), Finding, "what the ledger knows now"
        )
        self._tell(record, found)
        self._looks = answered
        return found

    async def _record_result(self, record: RecordInput, finding: Finding) -> RechargeResult:
        if finding.is_recorded:
            result = finding.result(record.fingerprint)
        else:
            result = await steps.in_the_ledger(
                RECORD_RESULT_ACTIVITY, ResultTask(record, finding), RechargeResult, telling.result(finding)
            )
        self._show(result.state)
        workflow.set_current_details(self._told.end(record, result))
        return result

    @property
    def _has_ended(self) -> bool:
        return self._status in FINAL_STATES or (self._story_task is not None and self._story_task.done())

    @property
    def _is_called(self) -> bool:
        return self._calls_for_a_look > self._looks

    async def _whatever_is_cancelled(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition. Temporal delivers a cancellation here and nowhere else, and it means: hold, never: give up."""
        while True:
            try:
                await workflow.wait_condition(condition)
            except asyncio.CancelledError:
                self._is_cancelled = True
                self._calls_for_a_look += 1
            else:
                return

    def _tell(self, record: RecordInput, finding: Finding) -> None:
        self._show(finding.state)
        self._said = finding.said
        workflow.set_current_details(self._told.tell(record, finding, workflow.now()))

    def _show(self, state: State) -> None:
        """Keep the search attribute equal to the ledger's state; each change is an event of the history, so only changes are written."""
        if state is not self._status:
            self._status = state
            workflow.upsert_search_attributes([STATUS.value_set(state)])
