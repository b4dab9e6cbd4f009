"""A workflow of the real one's name that does what its record's field `test` says, so that the intake is tested alone."""

import asyncio
import json
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from recharge.contract import ERROR_FINGERPRINT_MISMATCH, WORKFLOW_TYPE, RechargeResult, RecordInput
from recharge.outcome import ResolvedBy, State


@activity.defn
async def take_a_moment() -> None:
    """Take a tenth of a second."""
    await asyncio.sleep(0.1)


@workflow.defn(name=WORKFLOW_TYPE)
class StubWorkflow:
    """`wait`: until it is told to finish. `fail`, `mismatch`: fails. `slow`: takes a moment. A number: refused by the provider with it.

    Otherwise it ends at once.
    """

    def __init__(self) -> None:
        self._state: str | None = None

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Return the state that the record or the test wants."""
        if record.transfer is None:
            return RechargeResult(State.INVALID, record.fingerprint, reason=record.invalid_reason)
        wish = json.loads(record.raw_value or b"{}").get("test", "succeeded")
        match wish:
            case "wait":
                await workflow.wait_condition(lambda: self._state is not None)
                return RechargeResult(State(self._state or ""), record.fingerprint, reason="as the test wants")
            case "slow":
                await workflow.execute_local_activity(take_a_moment, start_to_close_timeout=timedelta(seconds=10))
                return RechargeResult(State.SUCCEEDED, record.fingerprint)
            case "fail":
                raise ApplicationError("as the test wants", non_retryable=True)
            case "mismatch":
                raise ApplicationError("another record", type=ERROR_FINGERPRINT_MISMATCH, non_retryable=True)
            case int():
                return RechargeResult(
                    State.REJECTED, record.fingerprint, reason="no", status=wish, resolved_by=ResolvedBy.ANSWER
                )
            case _:
                return RechargeResult(State(wish), record.fingerprint, reason="as the test wants")

    @workflow.signal
    def finish(self, state: str) -> None:
        """End a waiting workflow."""
        self._state = state
