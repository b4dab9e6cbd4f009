"""The switch of a source's intake, in Temporal: a workflow that is open while the intake is paused.

It does nothing and needs no worker, so it can be thrown while none runs, and Temporal's Web UI shows it with who and why. These are the
bare calls; the ingester looks at it through `ingest.switch`, and a person throws it by `recharge pause` and `recharge resume`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from ingest.executions import described
from ingest.standing import PauseReason
from recharge import contract, limits
from recharge.payload_codec import PayloadUnreadable

_RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_SUMMARY_CHARS_MAX = 100
"""Temporal takes 400 bytes, which is a hundred characters of the widest kind."""


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
    switch = await described(client, contract.pause_workflow_id(source))
    if not switch.is_open:
        return None
    try:
        memo = await switch.memo()
    except PayloadUnreadable as error:
        # It is paused, whether or not we may read why.
        memo = {contract.MEMO_PAUSE_NOTE: f"its reason cannot be read: {error}"}
    return Pause(
        switch.run_id,
        str(memo.get(contract.MEMO_PAUSE_BY, "somebody")),
        str(memo.get(contract.MEMO_PAUSE_NOTE, "no reason is given")),
        switch.started_at,
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
