"""A worker tells the intake beside it of an end when Temporal has acknowledged it, and not before."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from app.telling_runner import TellingRunner
from devstack.processes import wait_until
from ingest.endings import Endings
from recharge.contract import RechargeResult
from recharge.outcome import State

TOLD_TIMEOUT_S = 30.0
RETURNED = RechargeResult(State.SUCCEEDED, "a fingerprint")

Handle = WorkflowHandle[Any, RechargeResult]
Told = list[tuple[str | None, RechargeResult | None]]


class Notebook(Endings):
    """Writes down what is told, whoever expects it."""

    def __init__(self) -> None:
        super().__init__()
        self.ended_runs: dict[str, Told] = {}

    def ended(self, workflow_id: str, run_id: str, result: RechargeResult | None) -> None:
        """The run and its result."""
        self.ended_runs.setdefault(workflow_id, []).append((run_id, result))


_interrupted: set[str] = set()


@activity.defn(name="interrupt")
async def interrupt() -> None:
    """Let a signal come in while the workflow's task is under way. Temporal refuses then to hear that the workflow is complete."""
    workflow_id = activity.info().workflow_id or ""
    if workflow_id not in _interrupted:
        _interrupted.add(workflow_id)
        await activity.client().get_workflow_handle(workflow_id).signal("come_in")


@workflow.defn(name="Ends")
class Ends:
    """Ends as it is told."""

    @workflow.run
    async def run(self, how: str) -> RechargeResult:
        """Run."""
        if how == "interrupted":
            await workflow.execute_local_activity(
                interrupt, start_to_close_timeout=timedelta(seconds=10), retry_policy=RetryPolicy(maximum_attempts=1)
            )
        elif how == "failed":
            raise ApplicationError("no result", non_retryable=True)
        elif how == "continued":
            workflow.continue_as_new("returned")
        elif how == "waits":
            await workflow.wait_condition(lambda: False)
        elif how == "another":
            return "no result of a recharge"  # type: ignore[return-value]  # it is meant to be none
        return RETURNED

    @workflow.signal
    def come_in(self) -> None:
        """Nothing follows from it."""


class Beside:
    """A worker that tells, and a client of the same process that starts eagerly."""

    def __init__(self, client: Client, notebook: Notebook, queue: str) -> None:
        self._client = client
        self._notebook = notebook
        self._queue = queue

    async def start(self, how: str) -> Handle:
        """Start a workflow that ends so."""
        return await self._client.start_workflow(
            "Ends",
            how,
            result_type=RechargeResult,
            id=f"{self._queue}-{how}",
            task_queue=self._queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            request_eager_start=True,
        )

    async def told(self, of: Handle, count: int) -> Told:
        """What was told of a workflow, once that are so many ends."""
        told = self._notebook.ended_runs.setdefault(of.id, [])
        await wait_until(lambda: len(told) >= count, TOLD_TIMEOUT_S, f"{count} ends of {of.id} are told")
        return told


@pytest.fixture
async def beside(client: Client) -> AsyncIterator[Beside]:
    """Until the test ends."""
    notebook, queue = Notebook(), f"telling-{uuid.uuid4().hex[:8]}"
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Ends],
        activities=[interrupt],
        workflow_runner=TellingRunner(notebook, client.data_converter.payload_converter),
        debug_mode=True,
        max_cached_workflows=1,
    ):
        yield Beside(client, notebook, queue)


async def test_the_end_that_temporal_has_taken_is_told_with_its_result(beside: Beside) -> None:
    handle = await beside.start("returned")
    assert await beside.told(handle, 1) == [(handle.result_run_id, RETURNED)]
    assert await handle.result() == RETURNED


async def test_what_a_workflow_returned_is_not_told_where_temporal_refused_to_hear_of_it(beside: Beside) -> None:
    """A decision that comes in meanwhile is looked at first; the workflow may return something else then."""
    handle = await beside.start("interrupted")
    run_id = handle.result_run_id
    assert await beside.told(handle, 2) == [(run_id, None), (run_id, RETURNED)]


async def test_an_end_without_a_result_is_told_as_one(beside: Beside) -> None:
    handle = await beside.start("failed")
    assert await beside.told(handle, 1) == [(handle.result_run_id, None)]
    with pytest.raises(WorkflowFailureError):
        await handle.result()


async def test_a_result_that_is_none_of_ours_is_not_told_and_stops_no_workflow(beside: Beside) -> None:
    handle = await beside.start("another")
    assert await beside.told(handle, 1) == [(handle.result_run_id, None)]
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_a_run_that_goes_on_as_another_is_no_end_of_either(beside: Beside) -> None:
    handle = await beside.start("continued")
    (first, nothing), (second, result) = (await beside.told(handle, 2))[:2]
    assert (first, nothing, result) == (handle.result_run_id, None, RETURNED)
    assert second != first


async def test_a_workflow_that_the_worker_lets_go_of_is_told_without_a_result(beside: Beside) -> None:
    """The worker of this test keeps one alone."""
    waits = await beside.start("waits")
    other = await beside.start("returned")
    assert await beside.told(other, 1) == [(other.result_run_id, RETURNED)]
    assert await beside.told(waits, 1) == [(waits.result_run_id, None)]
    await waits.terminate("the test is over")
