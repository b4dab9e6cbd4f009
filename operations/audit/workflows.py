"""Do a record's workflow and its row agree? Pure."""

from collections.abc import Iterator

from activities.ledger import AuditedRow
from operations.audit.attempts import Problem
from operations.audit.facts import COMPLETED, NEVER_STARTED, Workflow
from operations.audit.findings import Kind, NoteKind
from recharge.outcome import FINAL_STATES, State


def is_suspicious(state: State | None, workflow: Workflow | None, *, is_committed: bool) -> bool:
    """Tell whether a row and what Temporal listed a while before it may disagree, so that both have to be asked again.

    `state` is None where there is no row, `workflow` where none is listed that is open, ended early, or is completed beyond the
    committed offset.
    """
    if state is None:
        return workflow is not None and not workflow.is_open and not is_committed
    if state not in FINAL_STATES:
        return workflow is None or not workflow.is_open
    return workflow is not None and workflow.is_open and is_committed


def check_listed(row: AuditedRow | None, workflow: Workflow | None) -> Iterator[Problem]:
    """What is wrong between a row and what Temporal listed, by that which changes no more.

    An open workflow hears of a new state only after the ledger has it, so its search attribute is compared when it is completed.
    """
    if row is None or workflow is None:
        return
    if workflow.fingerprint != row.fingerprint:
        said = "another record" if workflow.fingerprint else "no record"
        yield Kind.MEMO_DIFFERS, f"its workflow's memo has the fingerprint of {said}"
    if workflow.status == COMPLETED and row.state in FINAL_STATES and workflow.state != row.state:
        said = workflow.state or "nothing"
        yield (
            Kind.STATUS_DIFFERS,
            f"its workflow is completed and shows {said} as its status, and the record is {row.state}",
        )


def judge(state: State | None, workflow: Workflow, *, is_committed: bool) -> tuple[Kind | NoteKind, str] | None:
    """What is wrong between a row and its workflow, both as they are now; None where they agree."""
    if state is None:
        # What is committed is told as committed without a row.
        return None if is_committed else _judge_open("has no row", workflow, Kind.COMPLETED_WITHOUT_ROW)
    if state not in FINAL_STATES:
        if workflow.status == NEVER_STARTED:
            told = f"it is {state}, and Temporal has no workflow of it: the intake starts it when it reads the record again"
            return NoteKind.NOT_UNDER_WAY, told
        return _judge_open(f"is {state} in the ledger", workflow, Kind.COMPLETED_BUT_OPEN)
    if workflow.is_open and is_committed:
        return NoteKind.WORKFLOW_OPEN_AGAIN, f"it is {state} and committed, and its workflow is open: was it reset"
    return None


def _judge_open(standing: str, workflow: Workflow, completed: Kind) -> tuple[Kind | NoteKind, str] | None:
    if workflow.status == COMPLETED:
        return completed, f"its workflow is completed, and the record {standing}"
    if workflow.ended_early:
        told = f"its workflow is {workflow.status} and the record {standing}: its lane is held until `recharge resolve`"
        return NoteKind.LANE_HELD, told
    return None
