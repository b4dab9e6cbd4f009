"""What Temporal has of a record's workflow, and how one that ended early is opened again."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from ingest.executions import described
from recharge import limits

RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_PAGE_EVENTS = 100
_TASK_ENDS = frozenset(f"workflow_task_{end}_event_attributes" for end in ("completed", "failed", "timed_out"))


@dataclass(frozen=True, slots=True)
class Run:
    """The newest run of a record's workflow."""

    run_id: str
    status: str
    """Temporal's own word in lower case: running, completed, terminated, failed, canceled, timed_out, …"""
    is_open: bool

    @property
    def ended_early(self) -> bool:
        """It is closed without a result, so nothing is done for the record any more, and its lane is held."""
        return not self.is_open and self.status != "completed"

    @property
    def ending(self) -> str:
        """How it ended, as a sentence goes on that speaks of the workflow."""
        return {"failed": "had failed", "timed_out": "had timed out"}.get(self.status, f"was {self.status}")


async def newest_run(client: Client, workflow_id: str) -> Run | None:
    """The newest run, or None where there is no such workflow: never started, deleted, or past its retention.

    Raises RPCError where Temporal does not answer.
    """
    try:
        found = await described(client, workflow_id)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return Run(found.run_id, found.status, found.is_open)


async def reopen(client: Client, workflow_id: str, run_id: str, reason: str) -> None:
    """Open a closed workflow again at its first decision point. Whatever it does anew, the ledger keeps it from sending twice.

    Updates and cancellations of the closed run are not delivered again: what was decided stands in the ledger.

    Raises RPCError where Temporal does not answer or refuses it.
    """
    exclude = (
        ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
        ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
        ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST,
    )
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        reason=reason,
        workflow_task_finish_event_id=await _reset_point(client, workflow_id, run_id),
        request_id=str(uuid.uuid4()),
        reset_reapply_exclude_types=exclude,
    )
    await client.workflow_service.reset_workflow_execution(request, retry=True, timeout=RPC_TIMEOUT)


async def _reset_point(client: Client, workflow_id: str, run_id: str) -> int:
    """The end of the first workflow task, whatever it was; the last event where no worker ever took one.

    A workflow that is terminated during its first task has that task's failure and its own end written in one step, and cannot be reset
    to a place inside it: so not to the end of the workflow.
    """
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    last = 1
    async for event in handle.fetch_history_events(page_size=_PAGE_EVENTS, rpc_timeout=RPC_TIMEOUT):
        if event.WhichOneof("attributes") in _TASK_ENDS:
            return event.event_id
        last = event.event_id
    return last


def temporal_said(error: RPCError) -> str:
    """A call to Temporal that failed, in one line."""
    return f"Temporal: {error.status.name.lower().replace('_', ' ')}: {error.message}"
