"""The record that a topic's intake has begun, and where: a workflow that does nothing and never ends.

It outlives the group's committed offsets, so it tells a group that never was from one that lost them, and `latest` applies once.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from ingest.executions import described
from ingest.patience import DeletedError, Patience
from recharge import contract, limits
from recharge.settings import FirstStart

_RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """That the intake of a topic has begun."""

    by: str
    at: str
    first_offsets: Mapping[int, int]
    """Where each partition began under `latest`. A partition that is missing begins at its start."""


async def read(client: Client, source: str, topic: str) -> Begun:
    """The record of this topic, whatever became of its workflow.

    Raises:
        RPCError: Temporal gave no answer; NOT_FOUND where there is none.
    """
    memo = await (await described(client, contract.intake_workflow_id(source, topic))).memo()
    offsets = memo.get(contract.MEMO_INTAKE_FIRST_OFFSETS, {})
    return Begun(
        str(memo.get(contract.MEMO_INTAKE_BY, "")),
        str(memo.get(contract.MEMO_INTAKE_AT, "")),
        {int(partition): int(offset) for partition, offset in offsets.items()},
    )


class IntakeRecord:
    """Reads and writes these records."""

    def __init__(self, client: Client, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def read(self, source: str, topic: str) -> Begun | None:
        """The record of this topic, whatever became of its workflow; None where there is none.

        Raises:
            StarterProblem: waiting for Temporal cannot help.
        """
        workflow_id = contract.intake_workflow_id(source, topic)
        try:
            return await self._patience.ask(workflow_id, lambda: read(self._client, source, topic))
        except DeletedError:
            return None

    async def write(self, source: str, topic: str, first_start: FirstStart, first_offsets: Mapping[int, int]) -> Begun:
        """Record that the intake begins here. Where another process was first, its record holds, and is returned.

        Raises:
            StarterProblem: waiting for Temporal cannot help.
        """
        workflow_id = contract.intake_workflow_id(source, topic)
        begun = Begun(socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"), first_offsets)
        memo = {
            contract.MEMO_INTAKE_BY: begun.by,
            contract.MEMO_INTAKE_AT: begun.at,
            contract.MEMO_INTAKE_FIRST_START: first_start.value,
            contract.MEMO_INTAKE_FIRST_OFFSETS: {str(number): offset for number, offset in first_offsets.items()},
        }
        try:
            await self._patience.ask(
                workflow_id,
                lambda: self._client.start_workflow(
                    contract.INTAKE_WORKFLOW_TYPE,
                    id=workflow_id,
                    task_queue=contract.INTAKE_TASK_QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo=memo,
                    static_summary=f"The intake of {topic} began at {first_start.value}; this workflow records it",
                    rpc_timeout=_RPC_TIMEOUT,
                ),
            )
        except WorkflowAlreadyStartedError:
            return await self.read(source, topic) or begun
        _log.info("intake begins", workflow_id=workflow_id, first_start=first_start.value, first_offsets=first_offsets)
        return begun
