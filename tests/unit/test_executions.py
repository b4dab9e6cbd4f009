"""A workflow is read as Temporal has it: one that somebody paused is open, and so is one in a state that is not known here."""

from types import SimpleNamespace
from typing import cast

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.converter import DataConverter

from ingest.executions import described

MEMO = {"by": "ann", "offsets": {"0": 3}}
CLOSED = ("completed", "failed", "canceled", "terminated", "continued_as_new", "timed_out")


async def answering(status: int) -> Client:
    """A client whose server knows one workflow, in this state."""
    values = await DataConverter.default.encode(list(MEMO.values()))

    async def answer(request: DescribeWorkflowExecutionRequest, **_: object) -> DescribeWorkflowExecutionResponse:
        response = DescribeWorkflowExecutionResponse()
        info = response.workflow_execution_info
        info.execution.CopyFrom(request.execution)
        info.status = cast("WorkflowExecutionStatus.ValueType", status)
        info.start_time.FromSeconds(7)
        for name, payload in zip(MEMO, values, strict=True):
            info.memo.fields[name].CopyFrom(payload)
        return response

    service = SimpleNamespace(describe_workflow_execution=answer)
    client = SimpleNamespace(namespace="default", workflow_service=service, data_converter=DataConverter.default)
    return cast("Client", client)


@pytest.mark.parametrize("name", WorkflowExecutionStatus.keys()[1:])
async def test_every_state_of_temporals_is_read_and_one_that_is_not_closed_is_open(name: str) -> None:
    found = await described(await answering(WorkflowExecutionStatus.Value(name)), "source:pause", "a run")
    assert found.status == name.removeprefix("WORKFLOW_EXECUTION_STATUS_").lower()
    assert found.is_open is (found.status not in CLOSED)
    assert (found.run_id, found.started_at.timestamp()) == ("a run", 7)
    assert await found.memo() == MEMO


async def test_a_state_that_only_a_newer_server_knows_is_taken_for_open() -> None:
    found = await described(await answering(99), "source:pause")
    assert (found.is_open, found.status) == (True, "in state 99")
    assert await found.memo() == MEMO
