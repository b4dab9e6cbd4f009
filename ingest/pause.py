"""The switch of a source's intake, in Temporal: a workflow that is open while the intake is paused.

It does nothing and needs no worker, so it can be thrown while none runs, and Temporal's Web UI shows it with who and why. These are the
bare calls; the ingester looks at it through `ingest.switch`, and a person throws it by `recharge pause` and `recharge resume`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from ingest.standing import PauseReason
from recharge import contract, limits
from recharge.payload_codec import PayloadUnreadable

_RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_SUMMARY_CHARS_MAX = 100
"""Temporal takes 400 bytes, which is a hundred characters of the widest kind."""
_OPEN = frozenset(
    {
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause of a source's intake, as long as it lasts."""

    run_id: str
    by: str
    note: str
    since: datetime
    """When it began, in UTC by Temporal's clock."""

    @property
    def reason(self) -> PauseReason:
        """Whether a person paused the intake, or an ingester did for refusals in a row."""
        return PauseReason.REFUSED_IN_A_ROW if self.by.startswith(contract.INGESTER_PREFIX) else PauseReason.PERSON

    def __str__(self) -> str:
        """Who, since when and why, as it is told to people."""
        return f"by {self.by} since {self.since:%Y-%m-%d %H:%M:%S} UTC: {self.note}"


async def read(client: Client, source: str) -> Pause | None:
    """The pause that lasts, or None where the intake is not paused.

    Raises:
        RPCError: Temporal gave no answer; NOT_FOUND where the source was never paused, or so long ago that this is forgotten.
    """
    # The SDK's own describe raises for a workflow that somebody paused in Temporal, which is still open.
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=contract.pause_workflow_id(source))
    )
    answer = await client.workflow_service.describe_workflow_execution(request, retry=True, timeout=_RPC_TIMEOUT)
    info = answer.workflow_execution_info
    if info.status not in _OPEN:
        return None
    keys = [key for key in (contract.MEMO_PAUSE_BY, contract.MEMO_PAUSE_NOTE) if key in info.memo.fields]
    try:
        values = await client.data_converter.decode([info.memo.fields[key] for key in keys])
    except PayloadUnreadable as error:
        # It is paused, whether or not we may read why.
        keys, values = [contract.MEMO_PAUSE_NOTE], [f"its reason cannot be read: {error}"]
    memo = dict(zip(keys, map(str, values), strict=True))
    return Pause(
        info.execution.run_id,
        memo.get(contract.MEMO_PAUSE_BY, "somebody"),
        memo.get(contract.MEMO_PAUSE_NOTE, "no reason is given"),
        info.start_time.ToDatetime(UTC),
    )


async def begin(client: Client, source: str, *, by: str, note: str) -> None:
    """Pause the intake of a source, with who and why.

    Raises:
        WorkflowAlreadyStartedError: it is paused already.
        RPCError: Temporal gave no answer.
    """
    by, note = by[: limits.NAME_CHARS_MAX], note[: limits.REASON_CHARS_MAX]
    await client.start_workflow(
        contract.PAUSE_WORKFLOW_TYPE,
        id=contract.pause_workflow_id(source),
        task_queue=contract.INTAKE_TASK_QUEUE,
        # It may be paused again later, but never twice at a time.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        # A pause lasts until somebody ends it.
        execution_timeout=None,
        run_timeout=None,
        retry_policy=None,
        memo={contract.MEMO_PAUSE_BY: by, contract.MEMO_PAUSE_NOTE: note},
        static_summary=f"Paused by {by}: {note}"[:_SUMMARY_CHARS_MAX],
        rpc_timeout=_RPC_TIMEOUT,
    )


async def end(client: Client, source: str, pause: Pause, *, by: str, note: str) -> None:
    """End this pause and no other, with who and why.

    Raises:
        RPCError: Temporal gave no answer; NOT_FOUND where somebody has ended it meanwhile.
    """
    handle = client.get_workflow_handle(contract.pause_workflow_id(source), run_id=pause.run_id)
    reason = f"resumed by {by[: limits.NAME_CHARS_MAX]}: {note}"[: limits.REASON_CHARS_MAX]
    await handle.terminate(reason=reason, rpc_timeout=_RPC_TIMEOUT)
