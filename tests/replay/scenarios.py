"""The ways a record can end, as scripts for the stage. Each has a recorded history of its name in `histories/`.

A new way through the workflow gets a scenario here; `python -m tests.replay.record` then records what is missing. The history of
a release that is in use is never recorded anew: it stands for the workflows that are open when the next release comes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from temporalio.exceptions import ApplicationError

from recharge.contract import (
    AWAIT_ANSWER_ACTIVITY,
    ERROR_FINGERPRINT_MISMATCH,
    LOOK_UP_ACTIVITY,
    RECHARGE_ACTIVITY,
    RECORD_RESULT_ACTIVITY,
    Decision,
    Finding,
)
from recharge.outcome import Action, ResolvedBy, State
from tests.workflow.stage import LOOK_ONCE, Run, Step, held, not_answered

CHARGED = Finding(State.SUCCEEDED, "attempt 1 was carried out", 1, 200, None, "P-1", resolved_by=ResolvedBy.ANSWER)
REFUSED = Finding(State.REJECTED, "attempt 1 was refused", 1, 422, "no such number", resolved_by=ResolvedBy.ANSWER)
NO_ROOM = Finding(State.SENDING, "it is sent by the task queue")
UNDER_WAY = Finding(State.SENDING, "the provider has not answered yet", is_under_way=True)
RETRYING = Finding(State.RETRYING, "429 Too Many Requests", 1, 429)
IN_DOUBT = Finding(State.IN_DOUBT, "attempt 1 may have been carried out: read time-out", 1)
PENDING = Finding(State.PENDING, "attempt 1 is pending at the provider", 1, 202)
DENIED = Finding(State.SENDING, "nothing sent so far was carried out", 1)
LOOKED_UP = Finding(State.SUCCEEDED, "attempt 1 was carried out", 1, None, None, "P-1", resolved_by=ResolvedBy.LOOKUP)
LOOKED_UP_REFUSED = Finding(State.REJECTED, "the look-up says so", 1, None, "refused", resolved_by=ResolvedBy.LOOKUP)
LATE = Finding(State.SUCCEEDED, "attempt 1 was carried out", 1, 200, None, "P-1", resolved_by=ResolvedBy.LATE_ANSWER)
SKIPPED = Finding(State.SKIPPED, "a person decided to skip it", 1, resolved_by=ResolvedBy.PERSON)

MISMATCH = ApplicationError("another record stands here", type=ERROR_FINGERPRINT_MISMATCH, non_retryable=True)
LEDGER_AWAY = ApplicationError("the ledger gave no answer", type="LedgerUnavailable")


@dataclass(frozen=True)
class Scenario:
    """One record: its value (None: a valid one), and what its activities answer."""

    script: Mapping[str, Sequence[object]] = field(default_factory=dict)
    value: bytes | None = None
    succeeds: bool = True
    """Whether the workflow completes; otherwise it fails and holds its lane."""
    meanwhile: Callable[[Run], Awaitable[None]] | None = None
    """What happens to the workflow from outside while it runs."""


HELD = Finding(State.HELD, "on hold by Temporal: the workflow was cancelled", 1)
PATIENT = Finding(State.RETRYING, "429 Too Many Requests", 1, 429, retry_after_s=600)
BY_PERSON = Finding(State.SUCCEEDED, "carried out, by alice: ticket 7", 1, resolved_by=ResolvedBy.PERSON)


def thaw_when_given_up(step: Step) -> Callable[[Run], Awaitable[None]]:
    """Let a step go only after its activity has timed out."""

    async def meanwhile(run: Run) -> None:
        await run.until_called(RECHARGE_ACTIVITY, 3)
        step.gate.set()

    return meanwhile


def decide(*actions: Action, waits_in: State, cancelled: bool = False) -> Callable[[Run], Awaitable[None]]:
    """Cancel it, or not, once it waits in this state; then tell it of decisions, one after another."""

    async def meanwhile(run: Run) -> None:
        await run.until_status(waits_in)
        if cancelled:
            await run.handle.cancel()
            await run.until_status(State.HELD)
        for action in actions:
            await run.decide(Decision(action, "alice", "ticket 7"))

    return meanwhile


def cancel_then_let_go(step: Step) -> Callable[[Run], Awaitable[None]]:
    """Cancel the workflow while the step is under way, and let it go once it heard of that."""

    async def meanwhile(run: Run) -> None:
        await run.until_called(RECHARGE_ACTIVITY)
        await run.handle.cancel()
        await step.cancelled.wait()
        step.gate.set()

    return meanwhile


def cancel_in(slow: Step) -> Callable[[Run], Awaitable[None]]:
    """Cancel the workflow while a slow call is followed, let that end, and skip the record then."""

    async def meanwhile(run: Run) -> None:
        await run.until_called(AWAIT_ANSWER_ACTIVITY)
        await run.handle.cancel()
        slow.gate.set()
        await run.until_status(State.HELD)
        await run.decide(Decision(Action.SKIP, "alice", "ticket 7"))

    return meanwhile


def scenarios() -> dict[str, Scenario]:
    """All of them, made anew, since the steps of a script are used up."""
    frozen, under_way, slow = held(CHARGED, beats=False), held(CHARGED), held(RETRYING)
    later = not_answered("still unknown", delay_s=600)
    return {
        "charged_at_once": Scenario({RECHARGE_ACTIVITY: [CHARGED]}),
        "first_by_the_task_queue": Scenario({RECHARGE_ACTIVITY: [NO_ROOM, CHARGED]}),
        "slow_then_charged": Scenario({RECHARGE_ACTIVITY: [UNDER_WAY], AWAIT_ANSWER_ACTIVITY: [CHARGED]}),
        "slow_then_retried": Scenario({RECHARGE_ACTIVITY: [UNDER_WAY, CHARGED], AWAIT_ANSWER_ACTIVITY: [RETRYING]}),
        "slow_then_in_doubt": Scenario(
            {RECHARGE_ACTIVITY: [UNDER_WAY], AWAIT_ANSWER_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [LOOKED_UP]}
        ),
        "cancelled_in_a_slow_call_and_skipped": Scenario(
            {
                RECHARGE_ACTIVITY: [UNDER_WAY],
                AWAIT_ANSWER_ACTIVITY: [slow],
                LOOK_UP_ACTIVITY: [held(HELD)],
                LOOK_ONCE: [HELD, SKIPPED],
            },
            meanwhile=cancel_in(slow),
        ),
        "another_record_in_a_slow_call": Scenario(
            {RECHARGE_ACTIVITY: [UNDER_WAY], AWAIT_ANSWER_ACTIVITY: [MISMATCH]}, succeeds=False
        ),
        "refused": Scenario({RECHARGE_ACTIVITY: [REFUSED]}),
        "invalid": Scenario(value=b'{"operationType": "OneShotTransfer"'),
        "retried_until_charged": Scenario(
            {RECHARGE_ACTIVITY: [RETRYING, not_answered("503"), not_answered("503"), CHARGED]}
        ),
        "retried_until_refused": Scenario({RECHARGE_ACTIVITY: [RETRYING, REFUSED]}),
        "first_attempt_failed": Scenario({RECHARGE_ACTIVITY: [LEDGER_AWAY, CHARGED]}),
        "first_worker_lost": Scenario(
            {RECHARGE_ACTIVITY: [NO_ROOM, frozen, IN_DOUBT], LOOK_UP_ACTIVITY: [LOOKED_UP]},
            meanwhile=thaw_when_given_up(frozen),
        ),
        "in_doubt_then_charged": Scenario(
            {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [not_answered("still unknown"), LOOKED_UP]}
        ),
        "in_doubt_then_refused": Scenario({RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [LOOKED_UP_REFUSED]}),
        "in_doubt_then_late_answer": Scenario({RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [LATE]}),
        "in_doubt_then_skipped": Scenario({RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [SKIPPED]}),
        "in_doubt_then_sent_again": Scenario({RECHARGE_ACTIVITY: [IN_DOUBT, CHARGED], LOOK_UP_ACTIVITY: [DENIED]}),
        "in_doubt_twice": Scenario({RECHARGE_ACTIVITY: [IN_DOUBT, IN_DOUBT], LOOK_UP_ACTIVITY: [DENIED, LOOKED_UP]}),
        "pending_then_charged": Scenario({RECHARGE_ACTIVITY: [PENDING], LOOK_UP_ACTIVITY: [LOOKED_UP]}),
        "retried_then_pending": Scenario({RECHARGE_ACTIVITY: [RETRYING, PENDING], LOOK_UP_ACTIVITY: [LOOKED_UP]}),
        "result_written_late": Scenario(
            {RECHARGE_ACTIVITY: [CHARGED], RECORD_RESULT_ACTIVITY: [LEDGER_AWAY, LEDGER_AWAY]}
        ),
        "in_doubt_then_decided_charged": Scenario(
            {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [later], LOOK_ONCE: [BY_PERSON]},
            meanwhile=decide(Action.CHARGED, waits_in=State.IN_DOUBT),
        ),
        "in_doubt_then_decided_not_charged": Scenario(
            {RECHARGE_ACTIVITY: [IN_DOUBT, CHARGED], LOOK_UP_ACTIVITY: [later], LOOK_ONCE: [DENIED]},
            meanwhile=decide(Action.NOT_CHARGED, waits_in=State.IN_DOUBT),
        ),
        "in_doubt_then_cancelled_and_skipped": Scenario(
            {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [later, held(HELD)], LOOK_ONCE: [HELD, SKIPPED]},
            meanwhile=decide(Action.SKIP, waits_in=State.IN_DOUBT, cancelled=True),
        ),
        "cancelled_in_the_first_pause_and_released": Scenario(
            {RECHARGE_ACTIVITY: [PATIENT, CHARGED], LOOK_UP_ACTIVITY: [held(HELD)], LOOK_ONCE: [HELD, DENIED]},
            meanwhile=decide(Action.NOT_CHARGED, waits_in=State.RETRYING, cancelled=True),
        ),
        "cancelled_in_the_call_that_charged": Scenario(
            {RECHARGE_ACTIVITY: [under_way]}, meanwhile=cancel_then_let_go(under_way)
        ),
        "another_record_at_first": Scenario({RECHARGE_ACTIVITY: [MISMATCH]}, succeeds=False),
        "another_record_at_a_retry": Scenario({RECHARGE_ACTIVITY: [RETRYING, MISMATCH]}, succeeds=False),
        "another_record_in_doubt": Scenario(
            {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [MISMATCH]}, succeeds=False
        ),
    }
