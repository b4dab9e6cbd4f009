"""What Temporal has of a workflow, read as it comes.

The SDK's own describe has no word for a workflow that somebody paused in Temporal and raises, though such a one is there and open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client

from recharge import limits

_RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_PREFIX = "WORKFLOW_EXECUTION_STATUS_"
_CLOSED = frozenset({"completed", "failed", "canceled", "terminated", "continued_as_new", "timed_out"})


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a workflow."""

    run_id: str
    status: str
    """Temporal's own word in lower case: running, paused, completed, terminated, failed, canceled, timed_out, …"""
    is_open: bool
    """So is one in a state that only a newer server knows: it can be awaited."""
    started_at: datetime
    """In UTC by Temporal's clock."""
    _memo: Mapping[str, Payload]
    _client: Client

    async def memo(self) -> dict[str, Any]:
        """What it was started with, for whoever looks at it.

        Raises:
            PayloadUnreadable: it is encrypted, and not with a key that is known here.
        """
        values = await self._client.data_converter.decode(list(self._memo.values()))
        return dict(zip(self._memo, values, strict=True))


async def described(client: Client, workflow_id: str, run_id: str | None = None) -> Execution:
    """This run of a workflow, the newest where none is named.

    Raises:
        RPCError: Temporal gave no answer; NOT_FOUND where there is no such run: never started, deleted, or past its retention.
    """
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id or "")
    )
    answer = await client.workflow_service.describe_workflow_execution(request, retry=True, timeout=_RPC_TIMEOUT)
    info = answer.workflow_execution_info
    status = status_word(info.status)
    return Execution(
        info.execution.run_id,
        status,
        is_open(status),
        info.start_time.ToDatetime(UTC),
        dict(info.memo.fields),
        client,
    )


def status_word(status: WorkflowExecutionStatus.ValueType) -> str:
    """Temporal's own word for a run's status, in lower case; its number where only a newer server knows the word."""
    try:
        return WorkflowExecutionStatus.Name(status).removeprefix(_PREFIX).lower()
    except ValueError:
        return f"in state {int(status)}"


def is_open(status: str) -> bool:
    """Tell whether a run of this status goes on, as one that somebody paused does."""
    return status not in _CLOSED
