"""A person's decision reaches the workflow at any point of its story, sends nothing by itself, and is answered once it counts.

The decision stands in the ledger before the workflow hears of it. So what these tests script as the answer of a look into the ledger
is what the ledger would judge after that decision.
"""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from devstack.processes import wait_until
from recharge import contract
from recharge.contract import (
    AWAIT_ANSWER_ACTIVITY,
    ERROR_FINGERPRINT_MISMATCH,
    HOLD_ACTIVITY,
    LOOK_UP_ACTIVITY,
    RECHARGE_ACTIVITY,
    Decision,
    DecisionReply,
    Finding,
    HoldTask,
    LookUpTask,
    RecordInput,
)
from recharge.outcome import Action, ResolvedBy, State
from tests.workflow.stage import LOOK_ONCE, TIMEOUT_S, Call, Run, Stage, event_names, held, not_answered, replay
from tests.workflow.test_story import (
    CHARGED,
    IN_DOUBT,
    NO_ROOM,
    NOT_CHARGED,
    PENDING,
    RETRYING,
    UNDER_WAY,
    again,
    assert_ended,
    assert_tells,
    awaited,
    first,
    looked,
    written,
)

BY_PERSON = Finding(State.SUCCEEDED, "carried out, by alice: ticket 7", 1, resolved_by=ResolvedBy.PERSON)
SKIPPED = Finding(State.SKIPPED, "skipped by alice: ticket 7", 1, reason="skipped", resolved_by=ResolvedBy.PERSON)
HELD = Finding(State.HELD, "on hold by alice: ticket 7", 1)
MISMATCH = ApplicationError("another record stands here", type=ERROR_FINGERPRINT_MISMATCH, non_retryable=True)


def decision(action: Action) -> Decision:
    return Decision(action, "alice", "ticket 7")


def read_once(of: RecordInput) -> Call:
    return Call(LOOK_UP_ACTIVITY, LookUpTask(of, once=True), 1)


async def until_accepted(run: Run) -> None:
    async def accepted() -> bool:
        return "WORKFLOW_EXECUTION_UPDATE_ACCEPTED" in event_names(await run.history())

    await wait_until(accepted, TIMEOUT_S, "the workflow has heard of the decision", interval_s=0.05)


def put_on_hold(of: RecordInput) -> Call:
    return Call(HOLD_ACTIVITY, HoldTask(of, "Temporal", "the workflow was cancelled"), 1)


@pytest.mark.parametrize("doubt", [IN_DOUBT, PENDING], ids=["in_doubt", "pending"])
@pytest.mark.parametrize(
    ("action", "judged"), [(Action.CHARGED, BY_PERSON), (Action.SKIP, SKIPPED)], ids=["charged", "skip"]
)
@pytest.mark.parametrize("where", ["in_a_look", "between_looks"])
async def test_a_decision_ends_the_waiting_at_once(
    stage: Stage, topup: RecordInput, doubt: Finding, action: Action, judged: Finding, where: str
) -> None:
    looking = held(doubt) if where == "in_a_look" else not_answered("still unknown", delay_s=600)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [doubt], LOOK_UP_ACTIVITY: [looking], LOOK_ONCE: [judged]})
    await run.until_called(LOOK_UP_ACTIVITY)
    await run.until_status(doubt.state)
    reply = await run.decide(decision(action))
    assert reply == DecisionReply(judged.state, judged.said)
    calls = [first(topup), looked(topup), read_once(topup), written(topup, judged)]
    await assert_ended(run, judged, calls, events_max=30)


async def test_the_verdict_not_charged_sends_again_and_is_answered_before_that_call_ends(
    stage: Stage, topup: RecordInput
) -> None:
    charging = held(CHARGED)
    run = await stage.start(
        topup,
        {
            RECHARGE_ACTIVITY: [IN_DOUBT, charging],
            LOOK_UP_ACTIVITY: [not_answered("still unknown", delay_s=600)],
            LOOK_ONCE: [NOT_CHARGED],
        },
    )
    await run.until_status(State.IN_DOUBT)
    assert (await run.decide(decision(Action.NOT_CHARGED))).state is State.SENDING
    await run.until_called(RECHARGE_ACTIVITY, 2)
    await assert_tells(run, State.SENDING)
    charging.gate.set()
    calls = [first(topup), looked(topup), read_once(topup), again(topup), written(topup, CHARGED)]
    await assert_ended(run, CHARGED, calls, events_max=37)


async def test_a_decision_that_is_delivered_again_sends_nothing_more(stage: Stage, topup: RecordInput) -> None:
    charging = held(CHARGED)
    run = await stage.start(
        topup,
        {
            RECHARGE_ACTIVITY: [IN_DOUBT, charging],
            LOOK_UP_ACTIVITY: [held(IN_DOUBT)],
            LOOK_ONCE: [IN_DOUBT, NOT_CHARGED],
        },
    )
    await run.until_status(State.IN_DOUBT)
    run.plays(LOOK_UP_ACTIVITY, held(IN_DOUBT))
    assert (await run.decide(decision(Action.NOT_CHARGED))).state is State.IN_DOUBT
    assert (await run.decide(decision(Action.NOT_CHARGED))).state is State.SENDING
    await run.until_called(RECHARGE_ACTIVITY, 2)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.decide(decision(Action.NOT_CHARGED))
    assert "does not wait for a person" in str(refused.value.cause)
    charging.gate.set()
    await run.result()
    assert run.names().count(RECHARGE_ACTIVITY) == 2
    await replay(await run.history())


@pytest.mark.parametrize(
    ("refused", "because"),
    [
        (Decision(Action.CHARGED, "", "ticket 7"), "--by WHO --note WHY"),
        (Decision(Action.CHARGED, "alice", " "), "--by WHO --note WHY"),
        (decision(Action.CHARGED), "does not wait for a person"),
        (decision(Action.SKIP), "does not wait for a person"),
        (decision(Action.NOT_CHARGED), "does not wait for a person"),
    ],
)
async def test_a_decision_that_cannot_be_taken_is_refused_and_leaves_no_event(
    stage: Stage, topup: RecordInput, refused: Decision, because: str
) -> None:
    sending = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [NO_ROOM, sending]})
    await run.until_called(RECHARGE_ACTIVITY, 2)
    with pytest.raises(WorkflowUpdateFailedError) as error:
        await run.decide(refused)
    assert because in str(error.value.cause)
    assert not [name for name in event_names(await run.history()) if "UPDATE" in name]
    sending.gate.set()
    await assert_ended(run, CHARGED, [first(topup), first(topup), written(topup, CHARGED)], events_max=16)


async def test_a_closed_workflow_takes_no_decision(stage: Stage, topup: RecordInput) -> None:
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [CHARGED]})
    await run.result()
    with pytest.raises(RPCError):
        await run.decide(decision(Action.SKIP))


async def test_a_cancellation_puts_a_doubt_on_hold_and_a_person_releases_it(stage: Stage, topup: RecordInput) -> None:
    run = await stage.start(
        topup,
        {
            RECHARGE_ACTIVITY: [IN_DOUBT, CHARGED],
            LOOK_UP_ACTIVITY: [not_answered("still unknown", delay_s=600), held(HELD)],
            LOOK_ONCE: [HELD, NOT_CHARGED],
        },
    )
    await run.until_status(State.IN_DOUBT)
    await run.handle.cancel()
    await run.until_status(State.HELD)
    await assert_tells(run, State.HELD, "On hold")
    assert (await run.described()).status is WorkflowExecutionStatus.RUNNING
    await run.until_called(LOOK_UP_ACTIVITY, 3)
    assert (await run.decide(decision(Action.NOT_CHARGED))).state is State.SENDING
    calls = [
        first(topup),
        looked(topup),
        put_on_hold(topup),
        read_once(topup),
        looked(topup),
        read_once(topup),
        again(topup),
        written(topup, CHARGED),
    ]
    await assert_ended(run, CHARGED, calls, events_max=52)


async def test_a_charge_that_is_on_its_way_makes_the_record_final_in_spite_of_a_cancellation(
    stage: Stage, topup: RecordInput
) -> None:
    sending = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [sending]})
    await run.until_called(RECHARGE_ACTIVITY)
    await run.handle.cancel()
    async with asyncio.timeout(TIMEOUT_S):
        await sending.cancelled.wait()
    sending.gate.set()
    await assert_ended(run, CHARGED, [first(topup), written(topup, CHARGED)], events_max=19)


async def assert_held_until_a_person_decides(
    run: Run, deciding: "asyncio.Task[DecisionReply] | None", before: list[Call], *, events_max: int
) -> None:
    """The hold takes effect after these calls, be it an update (`deciding`) or a cancellation, and a decision ends it."""
    if deciding is not None:
        assert (await deciding).state is State.HELD
    await run.until_called(LOOK_UP_ACTIVITY, 2)
    await assert_tells(run, State.HELD)
    assert (await run.decide(decision(Action.CHARGED))).state is State.SUCCEEDED
    hold = [put_on_hold(run.record)] if deciding is None else []
    after = [read_once(run.record), looked(run.record), read_once(run.record), written(run.record, BY_PERSON)]
    await assert_ended(run, BY_PERSON, [*before, *hold, *after], events_max=events_max)


@pytest.mark.parametrize("way", ["cancel", "update"])
@pytest.mark.parametrize("found", [RETRYING, IN_DOUBT], ids=["retrying", "in_doubt"])
async def test_a_hold_in_the_middle_of_a_call_takes_effect_after_it(
    stage: Stage, topup: RecordInput, found: Finding, way: str
) -> None:
    sending, waiting = held(found), held(HELD)
    run = await stage.start(
        topup, {RECHARGE_ACTIVITY: [sending], LOOK_ONCE: [HELD, BY_PERSON], LOOK_UP_ACTIVITY: [waiting]}
    )
    await run.until_called(RECHARGE_ACTIVITY)
    deciding = asyncio.create_task(run.decide(decision(Action.HOLD))) if way == "update" else None
    if deciding is None:
        await run.handle.cancel()
    async with asyncio.timeout(TIMEOUT_S):
        await sending.cancelled.wait()
    assert run.calls == [first(topup)]
    sending.gate.set()
    await assert_held_until_a_person_decides(run, deciding, [first(topup)], events_max=42)


@pytest.mark.parametrize("way", ["cancel", "update"])
@pytest.mark.parametrize("found", [CHARGED, RETRYING, IN_DOUBT], ids=["charged", "retrying", "in_doubt"])
async def test_a_hold_in_the_middle_of_a_slow_call_takes_effect_after_it(
    stage: Stage, topup: RecordInput, found: Finding, way: str
) -> None:
    following = held(found)
    script: dict[str, list[object]] = {RECHARGE_ACTIVITY: [UNDER_WAY], AWAIT_ANSWER_ACTIVITY: [following]}
    run = await stage.start(topup, script | {LOOK_ONCE: [HELD, BY_PERSON], LOOK_UP_ACTIVITY: [held(HELD)]})
    await run.until_called(AWAIT_ANSWER_ACTIVITY)
    deciding = asyncio.create_task(run.decide(decision(Action.HOLD))) if way == "update" else None
    if deciding is None:
        await run.handle.cancel()
    else:
        await until_accepted(run)
    assert run.calls == [first(topup), awaited(topup)]
    following.gate.set()
    if found is CHARGED:
        assert deciding is None or (await deciding).state is State.SUCCEEDED
        await assert_ended(run, CHARGED, [first(topup), awaited(topup), written(topup, CHARGED)], events_max=25)
        return
    await assert_held_until_a_person_decides(run, deciding, [first(topup), awaited(topup)], events_max=50)


@pytest.mark.parametrize("where", ["in_the_first_pause", "between_retries"])
async def test_a_hold_while_nothing_is_sent_takes_effect_at_once(stage: Stage, topup: RecordInput, where: str) -> None:
    patient = Finding(State.RETRYING, "429 Too Many Requests", 1, 429, retry_after_s=600)
    steps: list[object] = [patient] if where == "in_the_first_pause" else [RETRYING, not_answered("503", delay_s=600)]
    run = await stage.start(
        topup, {RECHARGE_ACTIVITY: steps, LOOK_ONCE: [HELD, SKIPPED], LOOK_UP_ACTIVITY: [held(HELD)]}
    )
    await run.until_called(RECHARGE_ACTIVITY, len(steps))
    await run.until_status(State.RETRYING)
    await run.handle.cancel()
    await run.until_status(State.HELD)
    await run.until_called(LOOK_UP_ACTIVITY, 2)
    assert (await run.decide(decision(Action.SKIP))).state is State.SKIPPED
    await run.result()
    assert run.names().count(RECHARGE_ACTIVITY) == len(steps)
    await replay(await run.history())


async def test_a_hold_that_could_not_be_written_is_written_again_before_anything_else(
    stage: Stage, topup: RecordInput
) -> None:
    away = ApplicationError("the ledger gave no answer", type="LedgerUnavailable")
    run = await stage.start(
        topup,
        {
            RECHARGE_ACTIVITY: [IN_DOUBT],
            HOLD_ACTIVITY: [away, None],
            LOOK_UP_ACTIVITY: [not_answered("still unknown", delay_s=600), held(HELD)],
            LOOK_ONCE: [HELD, SKIPPED],
        },
    )
    await run.until_status(State.IN_DOUBT)
    await run.handle.cancel()
    await run.until_status(State.HELD)
    assert run.names()[:5] == [RECHARGE_ACTIVITY, LOOK_UP_ACTIVITY, HOLD_ACTIVITY, HOLD_ACTIVITY, LOOK_UP_ACTIVITY]
    await run.until_called(LOOK_UP_ACTIVITY, 3)
    await run.decide(decision(Action.SKIP))
    await run.result()


async def test_an_answer_that_comes_before_the_look_decides_and_the_hold_stays_without_effect(
    stage: Stage, topup: RecordInput
) -> None:
    """The ledger is believed, not the order in which the workflow hears of things."""
    late = Finding(
        State.SUCCEEDED, "attempt 1 was carried out", 1, 200, None, "P-1", resolved_by=ResolvedBy.LATE_ANSWER
    )
    run = await stage.start(
        topup,
        {
            RECHARGE_ACTIVITY: [IN_DOUBT],
            LOOK_UP_ACTIVITY: [not_answered("still unknown", delay_s=600)],
            LOOK_ONCE: [late],
        },
    )
    await run.until_status(State.IN_DOUBT)
    await run.handle.cancel()
    calls = [first(topup), looked(topup), put_on_hold(topup), read_once(topup), written(topup, late)]
    await assert_ended(run, late, calls, events_max=32)


@pytest.mark.parametrize("where", ["look", "record_result"])
async def test_a_workflow_that_fails_while_it_hears_of_a_decision_fails_and_never_hangs(
    stage: Stage, topup: RecordInput, where: str
) -> None:
    run = await stage.start(
        topup,
        {
            RECHARGE_ACTIVITY: [IN_DOUBT],
            LOOK_UP_ACTIVITY: [not_answered("still unknown", delay_s=600)],
            LOOK_ONCE: [MISMATCH if where == "look" else BY_PERSON],
            contract.RECORD_RESULT_ACTIVITY: [MISMATCH],
        },
    )
    await run.until_status(State.IN_DOUBT)
    deciding = asyncio.create_task(run.decide(decision(Action.CHARGED)))
    with pytest.raises(WorkflowFailureError):
        await run.result()
    await wait_until(deciding.done, TIMEOUT_S, "the decision is answered")
    deciding.exception()
    await replay(await run.history())


async def test_a_look_that_fails_at_the_moment_of_a_decision_does_not_fail_the_workflow(
    stage: Stage, topup: RecordInput
) -> None:
    """Temporal tries nothing again that it was asked to cancel, so the failure of that try comes to the workflow."""
    failing = held(not_answered("still unknown"))
    script: dict[str, list[object]] = {
        RECHARGE_ACTIVITY: [IN_DOUBT],
        LOOK_UP_ACTIVITY: [failing],
        LOOK_ONCE: [BY_PERSON],
    }
    run = await stage.start(topup, script)
    await run.until_called(LOOK_UP_ACTIVITY)
    failing.fails_when_cancelled = True
    assert (await run.decide(decision(Action.CHARGED))).state is State.SUCCEEDED
    await run.result()
    await replay(await run.history())
