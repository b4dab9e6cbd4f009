"""A person's decision about one record: into the ledger first, where it stands, and then to the record's workflow."""

import asyncio
from dataclasses import dataclass

from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.ledger import LedgerError, OperatorLedger, Ruling, Wish, instead_of
from operations import names
from operations.runs import RPC_TIMEOUT, Run, newest_run, reopen, temporal_said
from recharge import limits
from recharge.contract import RESOLVE_UPDATE, Decision, DecisionReply
from recharge.outcome import FINAL_STATES, Action, State
from recharge.problem import Problem

DECISIONS_AT_ONCE = 8
"""Decisions of one command that are under way at the same time."""

_TRY_AGAIN_S = 0.25
"""How soon a workflow is told again that has not caught up with the ledger."""
_STANDS = "the decision stands"


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one decision, in one line for people."""

    workflow_id: str
    done: bool
    """The decision stands, and nothing is left for the person to do about it."""
    text: str


@dataclass
class _Progress:
    """How far the workflow has come with a decision when the time for it is over."""

    taken: bool = False
    refused_because: str | None = None


class Decider:
    """Carries the decisions of one command out.

    Args:
        ledger: where a decision is written.
        client: reaches the workflows.
        processing_time_s: the longest that the provider may go on with a request after we stopped waiting for it.
    """

    def __init__(self, ledger: OperatorLedger, client: Client, *, processing_time_s: float) -> None:
        self._ledger = ledger
        self._client = client
        self._processing_time_s = processing_time_s
        self._slots = asyncio.Semaphore(DECISIONS_AT_ONCE)

    async def decide(self, workflow_id: str, decision: Decision, provider_reference: str | None = None) -> Line:
        """Decide about one record. Whatever goes wrong is told in the line, so that the other records are decided all the same."""
        reserved = names.problem_of(decision.by)
        if reserved is not None:
            return Line(workflow_id, done=False, text=f"refused: {reserved}")
        async with self._slots:
            try:
                return await self._decide(workflow_id, decision, provider_reference)
            except LedgerError as error:
                return Line(workflow_id, done=False, text=f"not decided: {error}")
            except RPCError as error:
                return Line(workflow_id, done=False, text=f"not decided: {temporal_said(error)}")

    async def _decide(self, workflow_id: str, decision: Decision, provider_reference: str | None) -> Line:
        run = await newest_run(self._client, workflow_id)
        ended_early = run is not None and run.ended_early
        wish = Wish(workflow_id, decision.action, decision.by, decision.note, provider_reference, is_closed=ended_early)
        ruling = await self._ledger.decide(wish, processing_time_s=self._processing_time_s)
        if ruling.refused_because is not None:
            return await self._refused(ruling, run, decision)
        done, effect = await self._carry_on(workflow_id, run, decision)
        text = f"decided {decision.action} by {decision.by}; {effect}{instead_of(ruling.replaced)}"
        return Line(workflow_id, done, text)

    async def _refused(self, ruling: Ruling, run: Run | None, decision: Decision) -> Line:
        """Why not, and what was decided instead. A workflow that ended before it took that up is opened again for it.

        Where that is what was wished for, as in a command that is given again because the reset had failed, it is done.
        """
        said = str(ruling.refused_because)
        standing = ruling.standing
        if standing is not None and standing.action is not Action.HOLD and ruling.state in FINAL_STATES:
            said += f", after {standing.by} decided {standing.action}: {standing.note}"
        is_decided = standing is not None and standing.action is not Action.HOLD
        is_settled = ruling.state in FINAL_STATES or is_decided or ruling.is_answered
        if is_settled and run is not None and run.ended_early:
            is_open, effect = await self._reopen(ruling.workflow_id, run, "what was decided stands in the ledger")
            said += f"; {effect}"
            if is_open and standing is not None and standing.action is decision.action:
                return Line(ruling.workflow_id, done=True, text=said)
        return Line(ruling.workflow_id, done=False, text=f"refused: {said}")

    async def _carry_on(self, workflow_id: str, run: Run | None, decision: Decision) -> tuple[bool, str]:
        """Let the workflow hear of a decision that stands, and tell what it made of it; False where that has to be tried again."""
        try:
            if run is not None and run.is_open:
                told = await self._tell(workflow_id, decision)
                if told is not None:
                    return True, told
                run = await newest_run(self._client, workflow_id)  # it was closed meanwhile
            if run is None:
                return (
                    True,
                    f"{_STANDS}; Temporal has no such workflow: the ingester starts it when it reads the record",
                )
            if run.is_open or run.status == "completed":
                return True, f"{_STANDS}; its workflow is {run.status}"
            if decision.action is Action.HOLD:
                return True, f"{_STANDS}; its workflow is {run.status}, so nothing is sent for it"
            return await self._reopen(workflow_id, run, f"decided {decision.action} by {decision.by}")
        except (RPCError, Problem) as error:
            # A problem is that what the workflow answered cannot be read here, by a key that is missing for example.
            return False, f"{_STANDS}; {temporal_said(error) if isinstance(error, RPCError) else error}"

    async def _reopen(self, workflow_id: str, run: Run, reason: str) -> tuple[bool, str]:
        try:
            await reopen(self._client, workflow_id, run.run_id, f"recharge resolve: {reason}")
        except RPCError as error:
            return (
                False,
                f"its workflow {run.ending} and was not opened again ({temporal_said(error)}); give the command again",
            )
        return True, f"its workflow {run.ending} and is open again"

    async def _tell(self, workflow_id: str, decision: Decision) -> str | None:
        """Send the Update; None where the workflow is closed."""
        progress = _Progress()
        try:
            async with asyncio.timeout(limits.DECISION_TIMEOUT_S):
                reply = await self._update(workflow_id, decision, progress)
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            return f"{_STANDS}; {_not_yet(progress, decision.action)}"
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        if reply.state is State.HELD and decision.action is not Action.HOLD:
            return f"it is held still, for a reason that has to be decided by itself: {reply.said}"
        return f"it is {reply.state} now"

    async def _update(self, workflow_id: str, decision: Decision, progress: _Progress) -> DecisionReply:
        """Tell the workflow until it takes the decision: it may be a moment behind the ledger."""
        handle = self._client.get_workflow_handle(workflow_id)
        while True:
            try:
                update = await handle.start_update(
                    RESOLVE_UPDATE,
                    decision,
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=DecisionReply,
                    rpc_timeout=RPC_TIMEOUT,
                )
                progress.taken = True
                reply: DecisionReply = await update.result(rpc_timeout=RPC_TIMEOUT)
            except WorkflowUpdateFailedError as error:
                progress.taken = False
                progress.refused_because = str(error.cause)
            else:
                return reply
            await asyncio.sleep(_TRY_AGAIN_S)


def _not_yet(progress: _Progress, action: Action) -> str:
    if progress.taken and action is Action.HOLD:
        return "it takes effect when the call that is under way has ended"
    if progress.taken:
        return f"its workflow has it, and did not say within {limits.DECISION_TIMEOUT_S:g} s where that leads"
    if progress.refused_because is not None:
        return f"its workflow does not take it yet: {progress.refused_because}"
    return f"no worker took it within {limits.DECISION_TIMEOUT_S:g} s"
