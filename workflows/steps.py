"""The steps of a record's story: how each activity is started, with its time-outs and its retry policy, and what the Web UI shows of it."""

from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from recharge import limits
    from recharge.contract import (
        AWAIT_ANSWER_ACTIVITY,
        LOOK_UP_ACTIVITY,
        RECHARGE_ACTIVITY,
        AnswerTask,
        Finding,
        LookUpTask,
        RechargeTask,
        RecordInput,
        calls_task_queue,
    )
    from workflows import telling

_T = TypeVar("_T")

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
_AFTER_THE_CALL = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
_HEARTBEAT_TIMEOUT = timedelta(seconds=limits.HEARTBEAT_TIMEOUT_S)


async def in_the_ledger(name: str, task: object, result_type: type[_T], summary: str) -> _T:
    """Run one transaction of the ledger inside the workflow task; where the ledger is away, go on by Temporal's retries.

    A local activity that is tried again and again costs three events every few seconds, so an outage of a day would fill the
    history, and nobody would see what is waited for. A regular one costs none and shows its last failure.
    """
    try:
        result: _T = await workflow.execute_local_activity(
            name,
            task,
            result_type=result_type,
            start_to_close_timeout=_RESULT_TIMEOUT,
            retry_policy=_ONCE,
            summary=summary,
        )
    except (ActivityError, ApplicationError) as error:
        if ends_the_workflow(error):
            raise
        result = await workflow.execute_activity(
            name,
            task,
            result_type=result_type,
            start_to_close_timeout=_RESULT_TIMEOUT,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            retry_policy=_FOR_AS_LONG_AS_IT_TAKES,
            summary=summary,
        )
    return result


def ends_the_workflow(error: FailureError) -> bool:
    """Tell whether an activity failed by what only a person can mend."""
    cause = telling.cause_of(error)
    return isinstance(cause, ApplicationError) and cause.non_retryable


def local_recharge(record: RecordInput) -> workflow.ActivityHandle[Finding]:
    """Start the first sending inside the workflow task: no event and no dispatch, and the whole way of a record that succeeds is one task.

    It runs again where its worker dies before the task is completed; the ledger answers then what became of the attempt.
    """
    return workflow.start_local_activity(
        RECHARGE_ACTIVITY,
        RechargeTask(record, first=True),
        result_type=Finding,
        start_to_close_timeout=_CALL_TIMEOUT,
        retry_policy=_ONCE,
        cancellation_type=_AFTER_THE_CALL,
        summary=telling.call(record),
    )


def recharge(record: RecordInput, *, first: bool) -> workflow.ActivityHandle[Finding]:
    """Start the regular activity that sends: once the first time, then by Temporal's retry policy for as long as sending again is safe."""
    return workflow.start_activity(
        RECHARGE_ACTIVITY,
        RechargeTask(record, first=first),
        task_queue=calls_task_queue(workflow.info().task_queue),
        result_type=Finding,
        start_to_close_timeout=_CALL_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_ONCE if first else _FOR_AS_LONG_AS_IT_TAKES,
        cancellation_type=_AFTER_THE_CALL,
        summary=telling.call(record),
    )


async def await_answer(record: RecordInput) -> Finding:
    """Wait for the end of a call that goes on in its worker's process. The activity sends nothing, so it is tried until it ends."""
    finding: Finding = await workflow.execute_activity(
        AWAIT_ANSWER_ACTIVITY,
        AnswerTask(record),
        result_type=Finding,
        start_to_close_timeout=_CALL_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_FOR_AS_LONG_AS_IT_TAKES,
        summary=telling.call(record),
    )
    return finding


def look_up(record: RecordInput, finding: Finding) -> workflow.ActivityHandle[Finding]:
    """Start the wait for certainty: one activity that Temporal runs again and again costs no history, however long it takes."""
    return workflow.start_activity(
        LOOK_UP_ACTIVITY,
        LookUpTask(record),
        result_type=Finding,
        start_to_close_timeout=_LOOK_UP_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_FOR_AS_LONG_AS_IT_TAKES,
        cancellation_type=_AFTER_THE_CALL,
        summary=telling.waiting(finding),
    )
