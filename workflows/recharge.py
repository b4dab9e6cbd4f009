"""The story of one record, from its first attempt to its final state.

It knows no clock but Temporal's, no ledger and no provider. Whether a call may leave is decided by the activities, in the ledger, so
nothing that is done to this workflow (a reset, a replay, a second run) can send anything twice.
"""

from datetime import timedelta
from typing import assert_never

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from recharge import limits
    from recharge.contract import (
        LOOK_UP_ACTIVITY,
        RECHARGE_ACTIVITY,
        RECORD_RESULT_ACTIVITY,
        STATUS,
        WORKFLOW_TYPE,
        Finding,
        LookUpTask,
        RechargeResult,
        RechargeTask,
        RecordInput,
        ResultTask,
    )
    from recharge.outcome import FINAL_STATES, State
    from workflows import telling

_ONCE = RetryPolicy(maximum_attempts=1)
_FOR_AS_LONG_AS_IT_TAKES = RetryPolicy(
    initial_interval=timedelta(seconds=limits.RETRY_FIRST_S),
    backoff_coefficient=limits.RETRY_COEFFICIENT,
    maximum_interval=timedelta(seconds=limits.RETRY_MAX_S),
    maximum_attempts=0,
)
_CALL_TIMEOUT = timedelta(seconds=limits.CALL_TIMEOUT_S_MAX + limits.ACTIVITY_SLACK_S)
_LOOK_UP_TIMEOUT = timedelta(seconds=limits.LOOKUP_TIMEOUT_S + limits.ACTIVITY_SLACK_S)
_RESULT_TIMEOUT = timedelta(seconds=limits.RECORD_RESULT_TIMEOUT_S)
_HEARTBEAT_TIMEOUT = timedelta(seconds=limits.HEARTBEAT_TIMEOUT_S)


@workflow.defn(name=WORKFLOW_TYPE)
class RechargeWorkflow:
    """One record's recharge. Its id is the record's position and the provider's idempotency key."""

    def __init__(self) -> None:
        self._status = State.SENDING

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Carry the record out, wait for certainty where there is none, and make it final in the ledger.

        Fails where the ledger contradicts the record (another one stood at this position) or itself; its lane is held then.
        """
        if record.invalid_reason is not None:
            finding = Finding(State.INVALID, record.invalid_reason)
        else:
            finding = await self._first_attempt(record)
        while finding.state not in FINAL_STATES:
            finding = await self._go_on(record, finding)
        return await self._record_result(record, finding)

    async def _first_attempt(self, record: RecordInput) -> Finding:
        try:
            finding: Finding = await workflow.execute_activity(
                RECHARGE_ACTIVITY,
                RechargeTask(record, first=True),
                result_type=Finding,
                start_to_close_timeout=_CALL_TIMEOUT,
                heartbeat_timeout=_HEARTBEAT_TIMEOUT,
                retry_policy=_ONCE,
                summary=telling.call(record),
            )
        except ActivityError as error:
            if is_cancelled_exception(error) or (
                isinstance(error.cause, ApplicationError) and error.cause.non_retryable
            ):
                raise
            return Finding(State.RETRYING, telling.without_outcome(error))
        return finding

    async def _go_on(self, record: RecordInput, finding: Finding) -> Finding:
        """One step on from an open state: send again where the ledger allows it, or wait for certainty."""
        self._tell(record, finding)
        match finding.state:
            case State.RETRYING:
                # The regular activity starts at once, so the pause after the first attempt is the workflow's own.
                pause_s = max(limits.RETRY_FIRST_S, finding.retry_after_s or 0.0)
                await workflow.sleep(timedelta(seconds=pause_s), summary=telling.pause(finding))
                return await self._send_again(record)
            case State.SENDING:
                return await self._send_again(record)
            case State.IN_DOUBT | State.PENDING | State.HELD:
                return await self._wait_for_certainty(record, finding)
            case State.SUCCEEDED | State.REJECTED | State.INVALID | State.SKIPPED:
                return finding
            case _:
                assert_never(finding.state)

    async def _send_again(self, record: RecordInput) -> Finding:
        finding: Finding = await workflow.execute_activity(
            RECHARGE_ACTIVITY,
            RechargeTask(record, first=False),
            result_type=Finding,
            start_to_close_timeout=_CALL_TIMEOUT,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            retry_policy=_FOR_AS_LONG_AS_IT_TAKES,
            summary=telling.call(record),
        )
        return finding

    async def _wait_for_certainty(self, record: RecordInput, finding: Finding) -> Finding:
        """Wait in one activity that Temporal runs again and again: that costs no history, however long it takes."""
        found: Finding = await workflow.execute_activity(
            LOOK_UP_ACTIVITY,
            LookUpTask(record),
            result_type=Finding,
            start_to_close_timeout=_LOOK_UP_TIMEOUT,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            retry_policy=_FOR_AS_LONG_AS_IT_TAKES,
            summary=telling.waiting(finding),
        )
        return found

    async def _record_result(self, record: RecordInput, finding: Finding) -> RechargeResult:
        result: RechargeResult = await workflow.execute_local_activity(
            RECORD_RESULT_ACTIVITY,
            ResultTask(record, finding),
            result_type=RechargeResult,
            start_to_close_timeout=_RESULT_TIMEOUT,
            retry_policy=_FOR_AS_LONG_AS_IT_TAKES,
            summary=telling.result(finding),
        )
        self._show(result.state)
        workflow.set_current_details(telling.ended(record, result))
        return result

    def _tell(self, record: RecordInput, finding: Finding) -> None:
        self._show(finding.state)
        workflow.set_current_details(telling.story(record, finding, workflow.now()))

    def _show(self, state: State) -> None:
        """Keep the search attribute equal to the ledger's state; each change is an event of the history, so only changes are written."""
        if state is not self._status:
            self._status = state
            workflow.upsert_search_attributes([STATUS.value_set(state)])
