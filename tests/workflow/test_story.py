"""What happens to one record, in order: the activities it calls, what the Web UI tells meanwhile, and how small its history stays."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError

from ingest.starter_words import FingerprintMismatch
from recharge import contract, limits
from recharge.contract import (
    AWAIT_ANSWER_ACTIVITY,
    ERROR_FINGERPRINT_MISMATCH,
    LOOK_UP_ACTIVITY,
    RECHARGE_ACTIVITY,
    RECORD_RESULT_ACTIVITY,
    AnswerTask,
    Finding,
    LookUpTask,
    RechargeResult,
    RechargeTask,
    RecordInput,
    ResultTask,
)
from recharge.outcome import ResolvedBy, State
from tests.support.records import record
from tests.workflow.stage import Call, Run, Stage, Step, event_names, held, not_answered, replay
from workflows import telling

CHARGED = Finding(State.SUCCEEDED, "attempt 1 was carried out", 1, 200, None, "P-1", resolved_by=ResolvedBy.ANSWER)
REFUSED = Finding(State.REJECTED, "attempt 1 was refused", 1, 422, "no such number", resolved_by=ResolvedBy.ANSWER)
RETRYING = Finding(State.RETRYING, "429 Too Many Requests", 1, 429)
IN_DOUBT = Finding(State.IN_DOUBT, "attempt 1 may have been carried out: read time-out", 1)
PENDING = Finding(State.PENDING, "attempt 1 is pending at the provider", 1, 202)
NOT_CHARGED = Finding(State.SENDING, "nothing sent so far was carried out", 1)
LOOKED_UP = Finding(
    State.SUCCEEDED, "attempt 1 was carried out: lookup", 1, None, None, "P-1", resolved_by=ResolvedBy.LOOKUP
)
LOOKED_UP_REFUSED = Finding(State.REJECTED, "the look-up says so", 1, None, "refused", resolved_by=ResolvedBy.LOOKUP)

NO_ROOM = Finding(State.SENDING, "it is sent by the task queue")

UNDER_WAY = Finding(State.SENDING, "the provider has not answered yet", is_under_way=True)

NUMBERS = ("600111222", "600333444")


def first(of: RecordInput) -> Call:
    return Call(RECHARGE_ACTIVITY, RechargeTask(of, first=True), 1)


def again(of: RecordInput, attempt: int = 1) -> Call:
    return Call(RECHARGE_ACTIVITY, RechargeTask(of, first=False), attempt)


def awaited(of: RecordInput, attempt: int = 1) -> Call:
    return Call(AWAIT_ANSWER_ACTIVITY, AnswerTask(of), attempt)


def looked(of: RecordInput, attempt: int = 1) -> Call:
    return Call(LOOK_UP_ACTIVITY, LookUpTask(of), attempt)


def written(of: RecordInput, finding: Finding, attempt: int = 1) -> Call:
    return Call(RECORD_RESULT_ACTIVITY, ResultTask(of, finding), attempt)


async def assert_tells(run: Run, state: State, *words: str) -> None:
    """Search attribute and current details tell the state, and no number stands in clear."""
    assert (await run.described()).typed_search_attributes[contract.STATUS] == state
    details = await run.details()
    for word in (state.value, *words):
        assert word in details
    assert not any(number in details for number in NUMBERS)


async def assert_ended(run: Run, finding: Finding, calls: list[Call], *, events_max: int) -> None:
    """It ended as found, by exactly these calls, with a small history that today's code replays."""
    result = await run.result()
    assert result == RechargeResult(
        finding.state,
        run.record.fingerprint,
        finding.reason,
        finding.provider_reference,
        finding.status,
        finding.attempts,
    )
    assert run.carried_out is not None
    assert await asyncio.wait_for(run.carried_out, 30) == result
    assert run.calls == calls
    await assert_tells(run, finding.state)
    history = await run.history()
    assert len(history.events) <= events_max, event_names(history)
    await replay(history)


async def test_a_record_charged_at_once_takes_one_call_and_one_result(stage: Stage, topup: RecordInput) -> None:
    sending = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [sending]})
    await run.until_called(RECHARGE_ACTIVITY)
    assert (await run.described()).typed_search_attributes[contract.STATUS] == State.SENDING
    sending.gate.set()
    await assert_ended(run, CHARGED, [first(topup), written(topup, CHARGED)], events_max=13)
    details = await run.details()
    assert "P-1" in details
    assert "Attempts: 1" in details


async def test_the_summary_of_the_intake_names_the_transfer_and_hides_the_numbers(
    stage: Stage, topup: RecordInput
) -> None:
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [CHARGED]})
    await run.result()
    described = await run.described()
    summary = await described.static_summary()
    assert summary == "OneShotTransfer 10.50 EUR from •••••••••222 to ••••••••444"
    assert not any(number in str(described.raw_description) for number in NUMBERS)
    scheduled = [event for event in (await run.history()).events if event.HasField("user_metadata")]
    summaries = [event.user_metadata.summary.data.decode() for event in scheduled]
    assert any("10.50 EUR" in text for text in summaries)
    assert not any(number in text for text in summaries for number in NUMBERS)


async def test_a_refused_record_ends_rejected_with_the_providers_reason(stage: Stage, topup: RecordInput) -> None:
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [REFUSED]})
    await assert_ended(run, REFUSED, [first(topup), written(topup, REFUSED)], events_max=13)
    assert "no such number" in await run.details()


async def test_an_invalid_record_is_written_down_and_nothing_is_sent(stage: Stage) -> None:
    broken = record(stage.source, stage.next_offset(), b'{"operationType": "OneShotTransfer"')
    assert broken.invalid_reason is not None
    run = await stage.start(broken)
    finding = Finding(State.INVALID, broken.invalid_reason)
    await assert_ended(run, finding, [written(broken, finding)], events_max=7)
    assert telling.literally(broken.invalid_reason) in await run.details()


async def test_a_record_that_was_not_sent_waits_the_backoff_and_is_then_retried_by_temporal(
    stage: Stage, topup: RecordInput
) -> None:
    charging = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [RETRYING, not_answered("503 says the provider"), charging]})
    await run.until_called(RECHARGE_ACTIVITY, 3)
    await assert_tells(run, State.RETRYING, "429 Too Many Requests")
    (pending,) = (await run.described()).raw_description.pending_activities
    assert pending.attempt == 2
    assert "503 says the provider" in pending.last_failure.message
    charging.gate.set()
    calls = [first(topup), again(topup), again(topup, 2), written(topup, CHARGED)]
    await assert_ended(run, CHARGED, calls, events_max=25)
    assert await pause_s(run) >= limits.RETRY_FIRST_S


async def pause_s(run: Run) -> float:
    """How long after the end of the first, local recharge the second was scheduled, by the server's clock."""
    history = await run.history()
    named = [
        (name, event.event_time.ToDatetime()) for name, event in zip(event_names(history), history.events, strict=True)
    ]
    ended = next(at for name, at in named if name == "MARKER_RECORDED")
    scheduled = next(at for name, at in named if name == "ACTIVITY_TASK_SCHEDULED")
    return (scheduled - ended).total_seconds()


async def test_retry_after_of_the_first_attempt_is_obeyed(stage: Stage, topup: RecordInput) -> None:
    wish = Finding(State.RETRYING, "429 Too Many Requests", 1, 429, retry_after_s=2.5)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [wish, CHARGED]})
    await run.until_status(State.RETRYING)
    await assert_ended(run, CHARGED, [first(topup), again(topup), written(topup, CHARGED)], events_max=25)
    assert await pause_s(run) >= 2.5


@pytest.mark.parametrize("said", ["the ledger gave no answer", "a worker shut down"])
async def test_a_first_attempt_that_failed_without_an_outcome_is_followed_by_a_regular_one(
    stage: Stage, topup: RecordInput, said: str
) -> None:
    lost = ApplicationError(said, type="LedgerUnavailable")
    charging = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [lost, charging]})
    await run.until_called(RECHARGE_ACTIVITY, 2)
    await assert_tells(run, State.RETRYING, said)
    charging.gate.set()
    await assert_ended(run, CHARGED, [first(topup), again(topup), written(topup, CHARGED)], events_max=25)


async def test_a_first_attempt_without_room_is_sent_once_by_the_task_queue_and_at_once(
    stage: Stage, topup: RecordInput
) -> None:
    charging = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [NO_ROOM, charging]})
    await run.until_called(RECHARGE_ACTIVITY, 2)
    assert (await run.described()).typed_search_attributes[contract.STATUS] == State.SENDING
    charging.gate.set()
    await assert_ended(run, CHARGED, [first(topup), first(topup), written(topup, CHARGED)], events_max=16)
    assert await pause_s(run) < limits.RETRY_FIRST_S


async def test_a_lost_worker_is_noticed_by_its_missing_heartbeats_and_the_ledger_is_asked_again(
    stage: Stage, topup: RecordInput
) -> None:
    frozen = held(CHARGED, beats=False)
    asked = held(IN_DOUBT)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [NO_ROOM, frozen, asked], LOOK_UP_ACTIVITY: [LOOKED_UP]})
    await run.until_called(RECHARGE_ACTIVITY, 3)
    frozen.gate.set()  # it thaws, and nobody listens to it any more
    await assert_tells(run, State.RETRYING, "the worker was lost")
    asked.gate.set()
    calls = [first(topup), first(topup), again(topup), looked(topup), written(topup, LOOKED_UP)]
    await assert_ended(run, LOOKED_UP, calls, events_max=34)


async def test_a_slow_call_leaves_its_workflow_task_and_is_followed_where_everybody_sees_it(
    stage: Stage, topup: RecordInput
) -> None:
    answered = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [UNDER_WAY], AWAIT_ANSWER_ACTIVITY: [answered]})
    await run.until_called(AWAIT_ANSWER_ACTIVITY)
    assert (await run.described()).typed_search_attributes[contract.STATUS] == State.SENDING
    details = await run.details()
    assert "Its answer is awaited below" in details
    assert "the provider has not answered yet" in details
    answered.gate.set()
    await assert_ended(run, CHARGED, [first(topup), awaited(topup), written(topup, CHARGED)], events_max=17)


async def test_a_slow_call_that_carried_nothing_out_is_sent_again_after_the_pause(
    stage: Stage, topup: RecordInput
) -> None:
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [UNDER_WAY, CHARGED], AWAIT_ANSWER_ACTIVITY: [RETRYING]})
    calls = [first(topup), awaited(topup), again(topup), written(topup, CHARGED)]
    await assert_ended(run, CHARGED, calls, events_max=32)
    assert "TIMER_FIRED" in event_names(await run.history())


async def test_a_slow_call_whose_worker_is_lost_is_followed_by_another_and_never_made_again(
    stage: Stage, topup: RecordInput
) -> None:
    lost = held(CHARGED, beats=False)
    script: dict[str, list[object]] = {
        RECHARGE_ACTIVITY: [UNDER_WAY],
        AWAIT_ANSWER_ACTIVITY: [lost, IN_DOUBT],
        LOOK_UP_ACTIVITY: [LOOKED_UP],
    }
    run = await stage.start(topup, script)
    await run.until_called(AWAIT_ANSWER_ACTIVITY, 2)
    lost.gate.set()
    calls = [first(topup), awaited(topup), awaited(topup, 2), looked(topup), written(topup, LOOKED_UP)]
    await assert_ended(run, LOOKED_UP, calls, events_max=25)


@pytest.mark.parametrize("doubt", [IN_DOUBT, PENDING], ids=["in_doubt", "pending"])
@pytest.mark.parametrize("found", [LOOKED_UP, LOOKED_UP_REFUSED], ids=["charged", "refused"])
async def test_what_is_not_certain_is_never_sent_again_but_looked_up_until_it_is(
    stage: Stage, topup: RecordInput, doubt: Finding, found: Finding
) -> None:
    looking = held(found)
    run = await stage.start(
        topup, {RECHARGE_ACTIVITY: [doubt], LOOK_UP_ACTIVITY: [not_answered("still unknown"), looking]}
    )
    await run.until_called(LOOK_UP_ACTIVITY, 2)
    await assert_tells(run, doubt.state, doubt.said)
    looking.gate.set()
    calls = [first(topup), looked(topup), looked(topup, 2), written(topup, found)]
    await assert_ended(run, found, calls, events_max=20)


async def test_a_doubt_that_the_provider_denies_is_sent_again_at_once(stage: Stage, topup: RecordInput) -> None:
    charging = held(CHARGED)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [IN_DOUBT, charging], LOOK_UP_ACTIVITY: [NOT_CHARGED]})
    await run.until_called(RECHARGE_ACTIVITY, 2)
    await assert_tells(run, State.SENDING)
    charging.gate.set()
    calls = [first(topup), looked(topup), again(topup), written(topup, CHARGED)]
    await assert_ended(run, CHARGED, calls, events_max=28)


async def test_a_second_doubt_waits_as_the_first_one_did(stage: Stage, topup: RecordInput) -> None:
    script = {RECHARGE_ACTIVITY: [IN_DOUBT, IN_DOUBT], LOOK_UP_ACTIVITY: [NOT_CHARGED, LOOKED_UP]}
    run = await stage.start(topup, script)
    calls = [first(topup), looked(topup), again(topup), looked(topup), written(topup, LOOKED_UP)]
    await assert_ended(run, LOOKED_UP, calls, events_max=36)


async def test_a_pending_record_that_is_given_up_by_the_provider_is_told_as_in_doubt_no_more(
    stage: Stage, topup: RecordInput
) -> None:
    """A retried activity may also come back with a doubt: the loop goes on from whatever state it finds."""
    script = {RECHARGE_ACTIVITY: [RETRYING, PENDING], LOOK_UP_ACTIVITY: [LOOKED_UP]}
    run = await stage.start(topup, script)
    calls = [first(topup), again(topup), looked(topup), written(topup, LOOKED_UP)]
    await assert_ended(run, LOOKED_UP, calls, events_max=32)


async def test_waiting_in_doubt_adds_no_event_however_often_it_is_looked_up(stage: Stage, topup: RecordInput) -> None:
    looks = 4
    looking = held(LOOKED_UP)
    unknown = [not_answered(f"still unknown after look {number}") for number in range(looks)]
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [*unknown, looking]})
    await run.until_called(LOOK_UP_ACTIVITY)
    before = await run.events()
    await run.until_called(LOOK_UP_ACTIVITY, looks + 1)
    assert await run.events() == before
    (pending,) = (await run.described()).raw_description.pending_activities
    assert pending.attempt == looks + 1
    assert pending.maximum_attempts == 0
    looking.gate.set()
    await run.result()


@pytest.mark.parametrize("where", ["first", "again", "look_up", "record_result"])
async def test_another_record_at_this_position_fails_the_workflow_for_good_and_stops_the_intake(
    stage: Stage, topup: RecordInput, where: str
) -> None:
    mismatch = ApplicationError("another record stands here", type=ERROR_FINGERPRINT_MISMATCH, non_retryable=True)
    scripts: dict[str, dict[str, list[object]]] = {
        "first": {RECHARGE_ACTIVITY: [mismatch]},
        "again": {RECHARGE_ACTIVITY: [RETRYING, mismatch]},
        "look_up": {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [mismatch]},
        "record_result": {RECHARGE_ACTIVITY: [CHARGED], RECORD_RESULT_ACTIVITY: [mismatch]},
    }
    run = await stage.start(topup, {name: list(steps) for name, steps in scripts[where].items()})
    with pytest.raises(WorkflowFailureError) as failed:
        await run.result()
    cause = failed.value.cause
    if isinstance(cause, ActivityError):
        assert cause.cause is not None
        cause = cause.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == ERROR_FINGERPRINT_MISMATCH
    assert (await run.described()).status is WorkflowExecutionStatus.FAILED
    assert run.carried_out is not None
    with pytest.raises(FingerprintMismatch):
        await asyncio.wait_for(run.carried_out, 30)
    await replay(await run.history())


async def test_a_ledger_that_contradicts_itself_fails_the_workflow_and_nothing_is_sent(
    stage: Stage, topup: RecordInput
) -> None:
    contradiction = ApplicationError("rows say what cannot be", type="LedgerContradiction", non_retryable=True)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [contradiction]})
    with pytest.raises(WorkflowFailureError):
        await run.result()
    assert run.calls == [first(topup)]


async def test_a_result_that_could_not_be_written_is_written_again(stage: Stage, topup: RecordInput) -> None:
    away = ApplicationError("the ledger gave no answer", type="LedgerUnavailable")
    result = RechargeResult(State.SUCCEEDED, topup.fingerprint, None, "P-1", 200, 1)
    script: dict[str, list[object]] = {
        RECHARGE_ACTIVITY: [CHARGED],
        RECORD_RESULT_ACTIVITY: [away, away, Step(result)],
    }
    run = await stage.start(topup, script)
    # Once inside the workflow task, then by Temporal's retries, which cost no history and show what is waited for.
    calls = [first(topup), *(written(topup, CHARGED, attempt) for attempt in (1, 1, 2))]
    await assert_ended(run, CHARGED, calls, events_max=16)


async def test_the_ledgers_word_is_the_result_whatever_was_found_before(stage: Stage, topup: RecordInput) -> None:
    """An answer may come late, between the finding and its writing: what the ledger made final is told."""
    in_ledger = RechargeResult(State.SUCCEEDED, topup.fingerprint, None, "P-9", 200, 1)
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [REFUSED], RECORD_RESULT_ACTIVITY: [in_ledger]})
    assert await run.result() == in_ledger
    await assert_tells(run, State.SUCCEEDED, "P-9")
