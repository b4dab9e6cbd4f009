"""The ledger decides when a call may leave: its rules on a real MySQL."""

import asyncio
import contextlib
import dataclasses
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.calls import CallsInFlight
from activities.ledger import (
    Decisions,
    FingerprintMismatch,
    Ledger,
    LedgerContradiction,
    LedgerNotMigrated,
    LedgerUnavailable,
    LedgerUnfit,
    LookupFacts,
    Opened,
    Ruling,
    Wish,
)
from activities.ledger.connection import LedgerConnection
from activities.ledger.fitness import SCHEMA_VERSION
from activities.ledger.lookups import judge_attempt
from activities.ledger.opening import insert_attempt
from activities.ledger.reading import AttemptRow, read_attempts, read_known
from activities.ledger.rows import insert_row, move, new_row
from activities.ledger.tables import attempts, lookups, operator_actions, recharges, request_claims
from activities.migrations import migrate
from activities.profile import Answer, LookupReading
from activities.provider import boottime_s
from activities.recharge import Recharge
from devstack.processes import wait_until
from devstack.site import Site
from devstack.stack import Devstack
from recharge.contract import DuplicateRequests, Finding, RechargeTask, RecordInput
from recharge.late_evidence import NotFoundRules
from recharge.outcome import Action, LookupAnswer, Outcome, ResolvedBy, State, Verdict
from recharge.sending import Decided, KeyRules
from tests.conftest import SiteMaker
from tests.support.records import record, value
from tests.support.service import provider_of

TIMEOUT_S = 5.0
FORGIVING = NotFoundRules(processing_time_s=-30.0, forgets_after_s=86_400.0)
"""Rules under which 'not found' counts at once, so that a test need not wait out a deadline."""


@pytest.fixture(scope="module")
async def shared_site(stack: Devstack, site_numbers: "itertools.count[int]") -> Site:
    made = await stack.site(f"ledger-{next(site_numbers)}")
    await migrate(made.migrate_environment["RECHARGE_MYSQL__URL"])
    return made


@pytest.fixture
async def site(stack: Devstack, shared_site: Site) -> AsyncIterator[Site]:
    """The site of all tests here, with nothing in its ledger."""
    yield shared_site
    for table in (recharges, attempts, lookups, operator_actions, request_claims):
        await stack.mysql.execute(f"DELETE FROM {shared_site.names.database}.{table.name}")


@pytest.fixture
async def ledger(site: Site) -> AsyncIterator[Ledger]:
    opened = Ledger(site.environment["RECHARGE_MYSQL__URL"])
    yield opened
    await opened.close()


@pytest.fixture
async def keyed(site: Site) -> AsyncIterator[Ledger]:
    """The ledger of a provider that ignores a repetition under one key."""
    keys = KeyRules(lifetime_s=86_400.0, timeout_s=TIMEOUT_S)
    async with Ledger(site.environment["RECHARGE_MYSQL__URL"], keys=keys) as opened_ledger:
        yield opened_ledger


@pytest.fixture
async def decisions(site: Site) -> AsyncIterator[Decisions]:
    opened = Decisions(site.environment["RECHARGE_MYSQL__URL"])
    yield opened
    await opened.close()


def token() -> str:
    return secrets.token_hex(16)


async def opened(ledger: Ledger, one: RecordInput, name: str | None = None) -> Opened:
    result = await ledger.open_attempt(one, name or token(), timeout_s=TIMEOUT_S)
    assert isinstance(result, Opened), result
    return result


async def not_opened(ledger: Ledger, one: RecordInput) -> Finding:
    result = await ledger.open_attempt(one, token(), timeout_s=TIMEOUT_S)
    assert isinstance(result, Finding), result
    return result


async def rows(stack: Devstack, site: Site, query: str) -> list[tuple[Any, ...]]:
    return await stack.mysql.execute(query.replace("FROM ", f"FROM {site.names.database}."))


async def test_the_attempt_stands_in_the_ledger_before_the_call(stack: Devstack, site: Site, ledger: Ledger) -> None:
    one = record(site.source, 7)
    attempt = await opened(ledger, one)
    assert attempt.number == 1
    found = await rows(
        stack,
        site,
        "SELECT number, closed_at, TIMESTAMPDIFF(MICROSECOND, opened_at, deadline_at) FROM recharge_attempts",
    )
    assert found == [(1, None, TIMEOUT_S * 1_000_000)]
    assert await rows(stack, site, "SELECT state, amount, raw_value FROM recharges") == [
        ("sending", Decimal("10.5000"), one.raw_value)
    ]


@pytest.mark.parametrize(
    ("outcome", "state", "sent_again"),
    [
        (Outcome.CHARGED, State.SUCCEEDED, False),
        (Outcome.REFUSED, State.REJECTED, False),
        (Outcome.NOT_SENT, State.RETRYING, True),
        (Outcome.NOT_CHARGED, State.RETRYING, True),
        (Outcome.PENDING, State.PENDING, False),
        (Outcome.UNKNOWN, State.IN_DOUBT, False),
    ],
)
async def test_only_an_attempt_that_carried_nothing_out_is_followed_by_another(
    site: Site, ledger: Ledger, outcome: Outcome, state: State, sent_again: bool
) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    finding = await ledger.close_attempt(one, attempt.token, Answer(outcome, "as told", 200))
    assert finding.state is state
    if sent_again:
        assert (await opened(ledger, one)).number == 2
    else:
        assert (await not_opened(ledger, one)).state is state


async def test_an_opening_that_was_committed_when_the_ledger_went_away_is_sent_when_it_is_back_and_not_doubted(
    site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, opening = record(site.source, 1), ledger.open_attempt
    tokens: list[str] = []

    async def without_its_reply(record: RecordInput, token: str, *, timeout_s: float) -> Opened | Finding:
        tokens.append(token)
        opened = await opening(record, token, timeout_s=timeout_s)
        if len(tokens) == 1:
            raise LedgerUnavailable("the ledger went away after the commit, as the test wants")
        return opened

    monkeypatch.setattr(ledger, "open_attempt", without_its_reply)
    sender = Recharge(ledger, provider_of(site), CallsInFlight(), timeout_s=TIMEOUT_S, local_calls_max=1)
    finding = await ActivityEnvironment().run(sender.recharge, RechargeTask(one, first=True))
    assert (finding.state, finding.attempts) == (State.SUCCEEDED, 1)
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


async def gave_up_opening(
    site: Site,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    calls: CallsInFlight,
    one: RecordInput,
    *,
    is_committed: bool = True,
) -> Recharge:
    """A worker whose first opening lost the reply to its COMMIT, and was given up since the ledger refused it afterwards."""
    opening, tries = ledger.open_attempt, itertools.count()

    async def without_its_reply(record: RecordInput, token: str, *, timeout_s: float) -> Opened | Finding:
        if next(tries) > 0:
            return await opening(record, token, timeout_s=timeout_s)
        if is_committed:
            await opening(record, token, timeout_s=timeout_s)
        raise LedgerUnfit("the password was changed, as the test wants")

    monkeypatch.setattr(ledger, "open_attempt", without_its_reply)
    sender = Recharge(ledger, provider_of(site), calls, timeout_s=TIMEOUT_S, local_calls_max=1)
    with pytest.raises(ApplicationError, match="the password was changed"):
        await ActivityEnvironment().run(sender.recharge, RechargeTask(one, first=True))
    return sender


async def test_an_opening_that_is_given_up_after_its_commit_is_taken_back_and_leaves_no_doubt(
    stack: Devstack, site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, calls = record(site.source, 1), CallsInFlight()
    await gave_up_opening(site, ledger, monkeypatch, calls, one)
    # Another worker, which knows nothing of it, finds a doubt, and waits for the ledger to say more.
    assert (await not_opened(ledger, one)).state is State.IN_DOUBT

    async def is_sent_again() -> bool:
        return (await ledger.lookup_facts(one)).finding.state is State.SENDING

    await wait_until(is_sent_again, 10, "the worker that never sent it says so", interval_s=0.05)
    await calls.drained()
    found = await rows(stack, site, "SELECT outcome, error, late_outcome FROM recharge_attempts")
    assert found == [("not_sent", "not sent: the ledger went away while the attempt was opened", None)]
    assert await rows(stack, site, "SELECT state FROM recharges") == [("retrying",)]


async def test_an_opening_that_was_given_up_is_taken_back_before_the_same_worker_opens_another(
    stack: Devstack, site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, calls = record(site.source, 1), CallsInFlight()
    sender = await gave_up_opening(site, ledger, monkeypatch, calls, one)
    finding = await ActivityEnvironment().run(sender.recharge, RechargeTask(one, first=True))
    assert (finding.state, finding.attempts) == (State.SUCCEEDED, 2)
    await calls.drained()
    found = await rows(stack, site, "SELECT number, outcome FROM recharge_attempts ORDER BY number")
    assert found == [(1, "not_sent"), (2, "charged")]


async def test_an_opening_that_is_taken_back_after_another_attempt_was_charged_is_no_alarm(
    site: Site, keyed: Ledger
) -> None:
    one = record(site.source, 1)
    unsent, sent = await opened(keyed, one), await opened(keyed, one)
    finding = await keyed.close_attempt(one, sent.token, Answer(Outcome.CHARGED, "200 OK", 200))
    await keyed.record_result(one, finding)
    with structlog.testing.capture_logs() as logs:
        assert await keyed.close_unsent(one, [unsent.token]) == []
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_that_nothing_ever_left_is_an_alarm_where_a_person_has_said_charged(
    site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    attempt = await given_up_by(Action.CHARGED, ledger, decisions, one)
    await ledger.record_result(one, await not_opened(ledger, one))
    with structlog.testing.capture_logs() as logs:
        assert await ledger.close_unsent(one, [attempt.token]) == [1]
    assert [line["late_outcome"] for line in logs if line["log_level"] == "error"] == [Outcome.NOT_SENT]


async def test_an_opening_that_never_reached_the_ledger_leaves_nothing_to_take_back(
    stack: Devstack, site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, calls = record(site.source, 1), record(site.source, 2), CallsInFlight()
    sender = await gave_up_opening(site, ledger, monkeypatch, calls, one, is_committed=False)
    finding = await ActivityEnvironment().run(sender.recharge, RechargeTask(one, first=True))
    assert (finding.state, finding.attempts) == (State.SUCCEEDED, 1)
    assert await ledger.close_unsent(other, [token()]) == []
    await calls.drained()
    found = await rows(stack, site, "SELECT number, outcome FROM recharge_attempts ORDER BY number")
    assert found == [(1, "charged")]


async def test_the_time_that_the_ledger_took_to_open_an_attempt_is_taken_from_its_call(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    one, timeout_s = record(site.source, 1), 1.0
    sender = Recharge(ledger, provider_of(site), CallsInFlight(), timeout_s=timeout_s, local_calls_max=1)
    is_locked, go_on = asyncio.Event(), asyncio.Event()

    async def lock(connection: LedgerConnection) -> None:
        await insert_row(connection, new_row(one, State.SENDING))
        is_locked.set()
        await go_on.wait()
        raise LedgerUnavailable("rolled back, as the test wants")

    locking = asyncio.create_task(ledger.transact(lock))
    await is_locked.wait()
    sending = asyncio.create_task(ActivityEnvironment().run(sender.recharge, RechargeTask(one, first=True)))
    over_at_s = boottime_s() + timeout_s
    await wait_until(lambda: boottime_s() > over_at_s, 10, "the call's time is over", interval_s=0.1)
    go_on.set()
    try:
        assert (await sending).state is State.RETRYING
        found = await rows(stack, site, "SELECT outcome, error FROM recharge_attempts")
        assert found == [("not_sent", "not sent: the call's time is over")]
    finally:
        await asyncio.gather(locking, return_exceptions=True)


async def test_an_open_attempt_of_a_lost_worker_is_in_doubt(stack: Devstack, site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    await opened(ledger, one)
    assert (await not_opened(ledger, one)).state is State.IN_DOUBT
    assert await rows(stack, site, "SELECT state FROM recharges") == [("in_doubt",)]


async def test_a_call_has_not_ended_before_its_attempt_is_closed_or_its_deadline_has_passed(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    under_way, held, over = (record(site.source, offset) for offset in range(3))
    await opened(ledger, under_way)
    assert await ledger.ended_call(under_way) is None
    await opened(ledger, held)
    await decisions.decide(Wish(held.workflow_id, Action.HOLD, "alice", "wait"), processing_time_s=60.0)
    assert await ledger.ended_call(held) is None, "a hold takes effect after the call"
    # Its deadline and the second of grace behind it are over.
    await ledger.open_attempt(over, token(), timeout_s=-2.0)
    finding = await ledger.ended_call(over)
    assert finding is not None
    assert finding.state is State.IN_DOUBT
    states = await rows(stack, site, "SELECT state FROM recharges ORDER BY record_offset")
    assert states == [("sending",), ("sending",), ("in_doubt",)]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.CHARGED, State.SUCCEEDED),
        (Outcome.REFUSED, State.REJECTED),
        (Outcome.NOT_CHARGED, State.RETRYING),
        (Outcome.NOT_SENT, State.RETRYING),
        (Outcome.PENDING, State.PENDING),
        (Outcome.UNKNOWN, State.IN_DOUBT),
    ],
)
async def test_what_a_call_came_to_is_told_by_the_ledger_and_its_row_says_the_same(
    stack: Devstack, site: Site, ledger: Ledger, outcome: Outcome, state: State
) -> None:
    one = record(site.source, 0)
    attempt = await opened(ledger, one)
    await ledger.close_attempt(one, attempt.token, Answer(outcome, "so it was"))
    finding = await ledger.ended_call(one)
    assert finding is not None
    assert finding.state is state
    assert await rows(stack, site, "SELECT state FROM recharges") == [(state.value,)]


async def test_a_record_without_a_row_has_no_call_that_could_be_followed(site: Site, ledger: Ledger) -> None:
    finding = await ledger.ended_call(record(site.source, 0))
    assert finding is not None
    assert finding.state is State.RETRYING


async def test_an_opening_whose_commit_reply_was_lost_finds_its_own_row(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    name = token()
    first = await opened(ledger, one, name)
    assert await opened(ledger, one, name) == first


async def test_of_many_openings_at_once_one_sends(stack: Devstack, site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    results = await asyncio.gather(*(ledger.open_attempt(one, token(), timeout_s=TIMEOUT_S) for _ in range(40)))
    assert len([result for result in results if isinstance(result, Opened)]) == 1
    assert len(await rows(stack, site, "SELECT id FROM recharge_attempts")) == 1


async def test_an_answer_that_was_given_up_still_closes_its_attempt(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    assert (await not_opened(ledger, one)).state is State.IN_DOUBT
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "200 OK", 200, provider_reference="P-1"))
    facts = await ledger.lookup_facts(one)
    assert facts.finding.state is State.SUCCEEDED
    result = await ledger.record_result(one, facts.finding)
    assert (result.state, result.provider_reference) == (State.SUCCEEDED, "P-1")


async def test_closing_twice_is_closing_once(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    answer = Answer(Outcome.NOT_CHARGED, "429 Too Many Requests", 429, retry_after_s=7.0)
    first = await ledger.close_attempt(one, attempt.token, answer)
    assert await ledger.close_attempt(one, attempt.token, answer) == first
    assert first.retry_after_s == 7.0


async def test_a_final_state_is_final_and_written_once(stack: Devstack, site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "200 OK", 200))
    first = await ledger.record_result(one, finding)
    written = await rows(stack, site, "SELECT state, final_at, resolved_by FROM recharges")
    assert await ledger.record_result(one, finding) == first
    assert await rows(stack, site, "SELECT state, final_at, resolved_by FROM recharges") == written
    assert written[0][2] == "answer"
    assert (await not_opened(ledger, one)).state is State.SUCCEEDED


async def test_a_result_without_an_attempt_that_bears_it_out_is_refused(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    with pytest.raises(LedgerContradiction):
        await ledger.record_result(one, Finding(State.SUCCEEDED, "a guess"))
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.UNKNOWN, "500", 500))
    with pytest.raises(LedgerContradiction):
        await ledger.record_result(one, Finding(State.SUCCEEDED, "a guess"))


async def test_a_transition_that_the_table_does_not_know_is_refused(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    one = record(site.source, 1)
    await opened(ledger, one)
    # Somebody writes into the ledger by hand: what nothing of ours does, and nothing of ours repairs.
    await stack.mysql.execute(f"UPDATE {site.names.database}.recharges SET state = 'invalid'")

    async def make_it_final(connection: LedgerConnection) -> None:
        await move(connection, one, State.SUCCEEDED)

    with pytest.raises(LedgerContradiction, match="no transition leads"):
        await ledger.transact(make_it_final)
    assert (await not_opened(ledger, one)).state is State.INVALID
    assert await rows(stack, site, "SELECT state FROM recharges") == [("invalid",)]


async def test_an_invalid_record_ends_in_a_row_with_its_bytes(stack: Devstack, site: Site, ledger: Ledger) -> None:
    raw = b'{"amount": \xff\x00}'
    one = record(site.source, 3, raw)
    result = await ledger.record_result(one, Finding(State.INVALID, one.invalid_reason or ""))
    assert result.state is State.INVALID
    assert await ledger.record_result(one, Finding(State.INVALID, one.invalid_reason or "")) == result
    found = await rows(stack, site, "SELECT state, raw_value, raw_key, amount, resolved_by FROM recharges")
    assert found == [("invalid", raw, b"key", None, "intake")]


async def test_another_record_at_the_same_position_is_refused(site: Site, ledger: Ledger) -> None:
    await opened(ledger, record(site.source, 1))
    with pytest.raises(FingerprintMismatch, match="RECHARGE_KAFKA__SOURCE"):
        await ledger.open_attempt(record(site.source, 1, value(amount="99")), token(), timeout_s=TIMEOUT_S)


async def test_sources_that_differ_in_case_alone_are_two(stack: Devstack, site: Site, ledger: Ledger) -> None:
    await opened(ledger, record("EU", 1))
    await opened(ledger, record("eu", 1, value(amount="7")))
    assert len(await rows(stack, site, "SELECT id FROM recharges")) == 2


@pytest.mark.parametrize("amount", ["0.10", "999999999999999.9999", "0.0001", "10"])
async def test_amounts_reach_the_ledger_exactly(stack: Devstack, site: Site, ledger: Ledger, amount: str) -> None:
    one = record(site.source, 1, value(amount=amount))
    assert one.transfer is not None, one.invalid_reason
    await opened(ledger, one)
    assert await rows(stack, site, "SELECT amount FROM recharges") == [(Decimal(amount),)]


async def test_what_is_known_is_read_under_the_records_lock(stack: Devstack, site: Site, ledger: Ledger) -> None:
    """An answer that comes while another transaction gives its attempt up sees the attempt that was made instead."""
    one = record(site.source, 1)
    first = await opened(ledger, one)
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def send_again(connection: LedgerConnection) -> None:
        known = await read_known(connection, one)
        assert known is not None
        at_work.set()
        await go_on.wait()
        verdict = (connection, one.workflow_id, known.attempts[0], Verdict.NOT_CHARGED, "ana", None)
        await judge_attempt(*verdict)
        await insert_attempt(connection, one, token(), TIMEOUT_S, known.attempts)

    sending = asyncio.create_task(ledger.transact(send_again))
    await at_work.wait()
    # It does not end the record, so it goes the long way.
    closing = asyncio.create_task(ledger.close_attempt(one, first.token, Answer(Outcome.PENDING, "202", 202)))

    async def has_come_as_far_as_it_can() -> bool:
        return closing.done() or await waits_for_a_lock(stack)

    await wait_until(has_come_as_far_as_it_can, 10, "the closing waits for the record's lock", interval_s=0.05)
    go_on.set()
    await asyncio.gather(sending, closing)
    found = await rows(stack, site, "SELECT number, outcome, late_outcome FROM recharge_attempts ORDER BY number")
    assert found == [(1, "unknown", "pending"), (2, None, None)]


async def waits_for_a_lock(stack: Devstack) -> bool:
    # `innodb_trx` would be read from a cache that is renewed only where nobody has looked for a tenth of a second.
    ((count,),) = await stack.mysql.execute("SELECT COUNT(*) FROM performance_schema.data_lock_waits")
    return bool(count)


# --- Look-ups ---------------------------------------------------------------------------------------------------------


async def doubt(ledger: Ledger, one: RecordInput) -> None:
    attempt = await opened(ledger, one)
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.UNKNOWN, "500", 500))


async def looked_up(
    ledger: Ledger,
    one: RecordInput,
    answer: LookupAnswer,
    rules: NotFoundRules = FORGIVING,
    asked: LookupFacts | None = None,
) -> Finding:
    """What a look-up's answer leads to; `asked` tells what was known when the question left, where something has happened since."""
    facts = asked or await ledger.lookup_facts(one)
    assert facts.attempt is not None
    reading = LookupReading(answer, f"the look-up said {answer}", 200)
    return await ledger.apply_lookup(one, facts.attempt, reading, asked_at=facts.now, rules=rules)


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (LookupAnswer.CHARGED, State.SUCCEEDED),
        (LookupAnswer.REFUSED, State.REJECTED),
        (LookupAnswer.PENDING, State.IN_DOUBT),
        (LookupAnswer.UNREADABLE, State.IN_DOUBT),
        (LookupAnswer.NOT_FOUND, State.SENDING),
    ],
)
async def test_a_look_up_decides_what_nobody_here_can_know(
    site: Site, ledger: Ledger, answer: LookupAnswer, state: State, is_open: bool
) -> None:
    one = record(site.source, 1)
    if is_open:
        await opened(ledger, one)
    else:
        await doubt(ledger, one)
    finding = await looked_up(ledger, one, answer)
    assert finding.state is state
    if state in {State.SUCCEEDED, State.REJECTED}:
        assert (await ledger.record_result(one, finding)).state is state


@pytest.mark.parametrize("answer", [LookupAnswer.CHARGED, LookupAnswer.NOT_FOUND, LookupAnswer.REFUSED])
async def test_a_verdict_on_an_open_attempt_closes_it_as_unknown(
    stack: Devstack, site: Site, ledger: Ledger, answer: LookupAnswer
) -> None:
    one = record(site.source, 1)
    await opened(ledger, one)
    await looked_up(ledger, one, answer)
    found = await rows(stack, site, "SELECT outcome, closed_at IS NULL FROM recharge_attempts")
    assert found == [("unknown", 0)]


async def test_a_charge_that_a_look_up_hears_of_outranks_a_skip_that_has_not_taken_effect(
    site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    asked = await ledger.lookup_facts(one)
    # While the provider thinks about it, a person skips the record.
    assert (await decide(decisions, one, Action.SKIP)).refused_because is None
    finding = await looked_up(ledger, one, LookupAnswer.CHARGED, asked=asked)
    result = await ledger.record_result(one, finding)
    assert (result.state, result.resolved_by) == (State.SUCCEEDED, ResolvedBy.LOOKUP)


async def test_a_skip_after_a_look_up_that_heard_of_a_charge_is_refused(
    site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    await looked_up(ledger, one, LookupAnswer.CHARGED)
    refused = (await decide(decisions, one, Action.SKIP)).refused_because
    assert refused is not None
    assert "the provider has answered meanwhile: charged" in refused


async def test_a_charge_that_a_look_up_hears_of_while_a_person_says_not_charged_is_not_sent_again(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    asked = await ledger.lookup_facts(one)
    wish = Wish(one.workflow_id, Action.NOT_CHARGED, "ana", "they say so")
    assert (await decisions.decide(wish, processing_time_s=-TIMEOUT_S - 2)).refused_because is None
    finding = await looked_up(ledger, one, LookupAnswer.CHARGED, asked=asked)
    assert (finding.state, (await not_opened(ledger, one)).state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert (await ledger.record_result(one, finding)).resolved_by is ResolvedBy.LOOKUP
    found = await rows(stack, site, "SELECT number, outcome, verdict, verdict_by FROM recharge_attempts")
    assert found == [(1, "unknown", "charged", "lookup")]


async def test_not_found_before_the_processing_time_is_over_is_no_verdict(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    finding = await looked_up(ledger, one, LookupAnswer.NOT_FOUND, NotFoundRules(60.0, 86_400.0))
    assert finding.state is State.IN_DOUBT
    assert (await not_opened(ledger, one)).state is State.IN_DOUBT


async def test_not_found_pays_for_one_more_attempt_and_counts_once(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    assert (await looked_up(ledger, one, LookupAnswer.NOT_FOUND)).state is State.SENDING
    again = await opened(ledger, one)
    assert (again.number, again.after_unknown) == (2, True)
    await ledger.close_attempt(one, again.token, Answer(Outcome.UNKNOWN, "500", 500))
    assert (await looked_up(ledger, one, LookupAnswer.NOT_FOUND)).state is State.IN_DOUBT


async def test_not_found_after_the_provider_acknowledged_is_no_verdict(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.PENDING, "202 Accepted", 202))
    assert (await looked_up(ledger, one, LookupAnswer.NOT_FOUND)).state is State.PENDING


async def test_a_late_answer_replaces_a_verdict_where_nothing_else_was_decided(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    assert (await looked_up(ledger, one, LookupAnswer.NOT_FOUND)).state is State.SENDING
    finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "200 OK", 200))
    assert finding.state is State.SUCCEEDED
    assert (await not_opened(ledger, one)).state is State.SUCCEEDED


async def test_a_late_answer_after_another_attempt_is_kept_beside_it(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    one = record(site.source, 1)
    first = await opened(ledger, one)
    await looked_up(ledger, one, LookupAnswer.NOT_FOUND)
    second = await opened(ledger, one)
    await ledger.close_attempt(one, first.token, Answer(Outcome.CHARGED, "200 OK", 200))
    finding = await ledger.close_attempt(one, second.token, Answer(Outcome.CHARGED, "200 OK", 200))
    assert finding.state is State.SUCCEEDED
    found = await rows(stack, site, "SELECT number, outcome, late_outcome FROM recharge_attempts ORDER BY number")
    assert found == [(1, "unknown", "charged"), (2, "charged", None)]


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.NOT_CHARGED, Outcome.UNKNOWN, Outcome.REFUSED])
async def test_a_charge_that_a_late_answer_tells_is_not_sent_again_whatever_came_of_the_attempt_after_it(
    site: Site, ledger: Ledger, outcome: Outcome
) -> None:
    one = record(site.source, 1, value(requestId="r-1"))
    first = await opened(ledger, one)
    await looked_up(ledger, one, LookupAnswer.NOT_FOUND)
    second = await opened(ledger, one)
    await ledger.close_attempt(one, second.token, Answer(outcome, "as told", 400))
    with structlog.testing.capture_logs() as logs:
        finding = await ledger.close_attempt(one, first.token, Answer(Outcome.CHARGED, "200 OK", 200))
    assert [line["late_outcome"] for line in logs if line["log_level"] == "error"] == [Outcome.CHARGED]
    assert (finding.state, (await not_opened(ledger, one)).state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert (await ledger.record_result(one, finding)).resolved_by is ResolvedBy.LATE_ANSWER


async def test_a_rejected_record_whose_charge_a_late_answer_tells_keeps_its_claim(site: Site, ledger: Ledger) -> None:
    one, other = (record(site.source, offset, value(requestId="r-1")) for offset in (1, 2))
    first = await opened(ledger, one)
    await looked_up(ledger, one, LookupAnswer.NOT_FOUND)
    second = await opened(ledger, one)
    refused = await ledger.close_attempt(one, second.token, Answer(Outcome.REFUSED, "no such number", 422))
    assert (await ledger.record_result(one, refused)).state is State.REJECTED
    await ledger.close_attempt(one, first.token, Answer(Outcome.CHARGED, "200 OK", 200))
    found = await not_opened(ledger, other)
    assert (found.state, found.reason) == (
        State.REJECTED,
        f"duplicate of {one.workflow_id}: the same request was made there",
    )


async def test_not_found_judges_no_attempt_that_the_provider_may_have_forgotten(site: Site, keyed: Ledger) -> None:
    one = record(site.source, 1)
    await doubt(keyed, one)
    again = await opened(keyed, one)
    await keyed.close_attempt(one, again.token, Answer(Outcome.NOT_SENT, "no connection"))
    known = await keyed.lookup_facts(one)
    assert known.attempt is not None
    later = known.now + timedelta(hours=1)
    rules = NotFoundRules(processing_time_s=-30.0, forgets_after_s=3600.0)
    reading = LookupReading(LookupAnswer.NOT_FOUND, "404", 404)
    await keyed.apply_lookup(one, known.attempt, reading, asked_at=later, rules=rules)
    assert all(row.facts.verdict is None for row in (await rows_of(keyed, one)))


async def rows_of(ledger: Ledger, one: RecordInput) -> list[AttemptRow]:
    return await ledger.transact(lambda connection: read_attempts(connection, one.workflow_id))


@pytest.mark.parametrize("answer", [LookupAnswer.NOT_FOUND, LookupAnswer.PENDING, LookupAnswer.REFUSED])
async def test_a_look_up_that_was_asked_about_an_older_attempt_judges_no_newer_one(
    stack: Devstack, site: Site, ledger: Ledger, answer: LookupAnswer
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    asked = await ledger.lookup_facts(one)
    # While the provider thinks about it, it is sent again, and the new call is on its way.
    await looked_up(ledger, one, LookupAnswer.NOT_FOUND)
    await opened(ledger, one)
    finding = await looked_up(ledger, one, answer, asked=asked)
    assert finding.state is State.IN_DOUBT
    found = await rows(stack, site, "SELECT number, outcome, verdict FROM recharge_attempts ORDER BY number")
    assert found == [(1, "unknown", "not_charged"), (2, None, None)]


@pytest.mark.parametrize("newer", [None, Outcome.NOT_SENT, Outcome.NOT_CHARGED])
async def test_a_charge_that_a_look_up_hears_of_after_another_attempt_was_opened_is_not_sent_again(
    stack: Devstack, site: Site, ledger: Ledger, newer: Outcome | None
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    asked = await ledger.lookup_facts(one)
    await looked_up(ledger, one, LookupAnswer.NOT_FOUND)
    again = await opened(ledger, one)
    if newer is not None:
        await ledger.close_attempt(one, again.token, Answer(newer, "nothing was done"))
    with structlog.testing.capture_logs() as logs:
        finding = await looked_up(ledger, one, LookupAnswer.CHARGED, asked=asked)
    assert (finding.state, (await not_opened(ledger, one)).state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert (await ledger.record_result(one, finding)).state is State.SUCCEEDED
    found = await rows(
        stack, site, "SELECT number, outcome, verdict, late_outcome FROM recharge_attempts ORDER BY number"
    )
    if newer is None:  # the call that is on its way may be the one that the provider speaks of
        assert found == [(1, "unknown", "not_charged", None), (2, "unknown", "charged", None)]
    else:
        assert found == [(1, "unknown", "not_charged", "charged"), (2, newer.value, None, None)]
    events = [line["event"] for line in logs]
    assert ("an answer came after another decision and contradicts it" in events) is (newer is not None)


async def test_a_charge_that_a_look_up_hears_of_after_a_skip_is_kept_and_told(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    asked = await ledger.lookup_facts(one)
    assert (await decide(decisions, one, Action.SKIP)).refused_because is None
    assert (await ledger.record_result(one, await not_opened(ledger, one))).state is State.SKIPPED
    with structlog.testing.capture_logs() as logs:
        assert (await looked_up(ledger, one, LookupAnswer.CHARGED, asked=asked)).state is State.SKIPPED
    assert "an answer came after another decision and contradicts it" in [line["event"] for line in logs]
    assert await rows(stack, site, "SELECT late_outcome FROM recharge_attempts") == [("charged",)]


async def given_up_by(action: Action, ledger: Ledger, decisions: Decisions, one: RecordInput) -> Opened:
    """An open attempt about whose record a person decides, as soon as that may be."""
    attempt = await ledger.open_attempt(one, token(), timeout_s=0.0)
    assert isinstance(attempt, Opened)

    async def is_decided() -> bool:
        return (await decide(decisions, one, action)).refused_because is None

    await wait_until(is_decided, 10, "the open attempt is over by a second", interval_s=0.2)
    return attempt


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(Outcome.CHARGED, ("unknown", "charged")), (Outcome.REFUSED, ("refused", "refused"))],
)
async def test_an_answer_after_a_final_state_never_changes_it_and_is_kept(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions, outcome: Outcome, kept: tuple[str, str]
) -> None:
    one = record(site.source, 1)
    attempt = await given_up_by(Action.SKIP, ledger, decisions, one)
    await ledger.record_result(one, await not_opened(ledger, one))
    with structlog.testing.capture_logs() as logs:
        finding = await ledger.close_attempt(one, attempt.token, Answer(outcome, "as told", 200))
    alarms = [line for line in logs if line["log_level"] == "error"]
    assert [line["late_outcome"] for line in alarms] == ([Outcome.CHARGED] if outcome is Outcome.CHARGED else [])
    assert finding.state is State.SKIPPED
    assert await rows(stack, site, "SELECT outcome, late_outcome FROM recharge_attempts") == [kept]
    assert await rows(stack, site, "SELECT state FROM recharges") == [("skipped",)]
    refusals = await rows(stack, site, "SELECT refused_because FROM operator_actions WHERE refused_because IS NOT NULL")
    assert refusals, "a decision was taken while the call could still be on its way"


async def test_a_late_charge_outranks_a_skip_that_has_not_taken_effect(
    site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    attempt = await given_up_by(Action.SKIP, ledger, decisions, one)
    finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "as told", 200))
    result = await ledger.record_result(one, finding)
    assert (result.state, result.resolved_by) == (State.SUCCEEDED, ResolvedBy.LATE_ANSWER)


async def test_what_the_provider_accepted_after_a_person_skipped_it_is_kept_beside_that_and_is_an_alarm(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    attempt = await given_up_by(Action.SKIP, ledger, decisions, one)
    with structlog.testing.capture_logs() as logs:
        await ledger.close_attempt(one, attempt.token, Answer(Outcome.PENDING, "202 Accepted", 202))
    assert [line["late_outcome"] for line in logs if line["log_level"] == "error"] == [Outcome.PENDING]
    assert (await ledger.record_result(one, await not_opened(ledger, one))).state is State.SKIPPED
    assert await rows(stack, site, "SELECT outcome, late_outcome FROM recharge_attempts") == [("unknown", "pending")]


async def test_a_refusal_that_comes_after_a_person_said_charged_is_kept_beside_that_and_is_an_alarm(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1, value(requestId="r-1"))
    attempt = await given_up_by(Action.CHARGED, ledger, decisions, one)
    with structlog.testing.capture_logs() as logs:
        finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.REFUSED, "no such number", 422))
    alarms = [(line["late_outcome"], line["state"]) for line in logs if line["log_level"] == "error"]
    assert alarms == [(Outcome.REFUSED, State.SUCCEEDED)]
    assert (finding.state, (await not_opened(ledger, one)).state) == (State.SUCCEEDED, State.SUCCEEDED)
    result = await ledger.record_result(one, finding)
    assert (result.state, result.resolved_by) == (State.SUCCEEDED, ResolvedBy.PERSON)
    found = await rows(stack, site, "SELECT outcome, verdict, late_outcome FROM recharge_attempts")
    assert found == [("unknown", "charged", "refused")]
    # Nobody else is sent for the same request, whichever of the two was right.
    other = record(site.source, 2, value(requestId="r-1"))
    assert (await not_opened(ledger, other)).state is State.REJECTED


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.NOT_CHARGED, Outcome.REFUSED])
async def test_a_charge_that_a_look_up_has_told_is_not_sent_again_whatever_a_late_answer_says(
    stack: Devstack, site: Site, ledger: Ledger, outcome: Outcome
) -> None:
    """The look-up speaks of the reference, and so of an earlier attempt, too, about which somebody was wrong."""
    one = record(site.source, 1)
    await doubt(ledger, one)
    assert (await looked_up(ledger, one, LookupAnswer.NOT_FOUND)).state is State.SENDING
    second = await opened(ledger, one)
    assert (await looked_up(ledger, one, LookupAnswer.CHARGED)).state is State.SUCCEEDED
    with structlog.testing.capture_logs() as logs:
        finding = await ledger.close_attempt(one, second.token, Answer(outcome, "as told", 429))
    assert [line["late_outcome"] for line in logs if line["log_level"] == "error"] == [outcome]
    assert (finding.state, (await not_opened(ledger, one)).state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert (await ledger.record_result(one, finding)).resolved_by is ResolvedBy.LOOKUP
    assert await rows(stack, site, "SELECT outcome, verdict, late_outcome FROM recharge_attempts WHERE number = 2") == [
        ("unknown", "charged", outcome)
    ]


# --- Decisions --------------------------------------------------------------------------------------------------------


async def test_a_decision_whose_commit_reply_was_lost_finds_its_own_row(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = record(site.source, 1)
    await doubt(ledger, one)
    transact = decisions.transact

    async def carried_out_twice(work: Callable[[LedgerConnection], Awaitable[Ruling]]) -> Ruling:
        await transact(work)
        return await transact(work)

    monkeypatch.setattr(decisions, "transact", carried_out_twice)
    assert (await decide(decisions, one, Action.SKIP)).refused_because is None
    assert await rows(stack, site, "SELECT action, refused_because FROM operator_actions") == [("skip", None)]


@pytest.mark.parametrize("outcome", [Outcome.CHARGED, Outcome.REFUSED])
async def test_a_decision_after_an_answer_that_is_not_final_yet_is_refused(
    site: Site, ledger: Ledger, decisions: Decisions, outcome: Outcome
) -> None:
    one = record(site.source, 1)
    first = await opened(ledger, one)
    await ledger.close_attempt(one, first.token, Answer(Outcome.NOT_SENT, "refused"))
    attempt = await opened(ledger, one)
    answered = await ledger.close_attempt(one, attempt.token, Answer(outcome, "as told", 200))
    # The worker dies here, and a person who does not know of the answer opens the record again.
    for action in (Action.CHARGED, Action.SKIP, Action.NOT_CHARGED):
        refused = (await decide(decisions, one, action)).refused_because
        assert refused is not None
        assert f"the provider has answered meanwhile: {outcome}" in refused
    assert (await ledger.record_result(one, await not_opened(ledger, one))).state is answered.state


@pytest.mark.parametrize("first", [Action.CHARGED, Action.SKIP, Action.NOT_CHARGED])
async def test_a_decision_that_has_not_had_its_effect_is_not_overruled(
    site: Site, ledger: Ledger, decisions: Decisions, first: Action
) -> None:
    one = record(site.source, 1)
    attempt = await ledger.open_attempt(one, token(), timeout_s=0.0)
    assert isinstance(attempt, Opened)
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.UNKNOWN, "500", 500))

    async def is_decided() -> bool:
        wish = Wish(one.workflow_id, first, "ana", "why", is_closed=True)
        return (await decisions.decide(wish, processing_time_s=0.0)).refused_because is None

    await wait_until(is_decided, 10, "the provider cannot be at it any more", interval_s=0.2)
    for other in set(Action) - {first, Action.HOLD}:
        refused = (await decide(decisions, one, other)).refused_because
        assert refused == f"it was decided already: {first}, by ana: why"


async def cancelled_before_a_retry(ledger: Ledger, one: RecordInput) -> None:
    """Its first attempt was not sent, and it was put on hold before there was another one."""
    attempt = await opened(ledger, one)
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.NOT_SENT, "refused"))
    await ledger.hold(one, by="Temporal", note="cancelled")


@pytest.mark.parametrize("first", [Action.CHARGED, Action.SKIP])
async def test_a_hold_overrules_no_decision_that_ends_the_record(
    site: Site, ledger: Ledger, decisions: Decisions, first: Action
) -> None:
    """Neither a person's hold nor a cancellation, both of which only mean that nothing is to be sent."""
    one = record(site.source, 1)
    await cancelled_before_a_retry(ledger, one)
    assert (await decide(decisions, one, first)).refused_because is None
    ruling = await decide(decisions, one, Action.HOLD)
    assert ruling.refused_because == f"it was decided already: {first}, by ana: why"
    assert ruling.standing is not None
    await ledger.hold(one, by="Temporal", note="cancelled")
    ends = {Action.CHARGED: State.SUCCEEDED, Action.SKIP: State.SKIPPED}
    assert (await ledger.record_result(one, await not_opened(ledger, one))).state is ends[first]


async def test_a_hold_after_a_release_that_has_not_taken_effect_says_what_it_takes_the_place_of(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await cancelled_before_a_retry(ledger, one)
    assert (await decide(decisions, one, Action.NOT_CHARGED)).replaced is None
    ruling = await decide(decisions, one, Action.HOLD)
    assert ruling.replaced == Decided(Action.NOT_CHARGED, "ana", "why")
    assert (await not_opened(ledger, one)).state is State.HELD
    assert (await decide(decisions, one, Action.NOT_CHARGED)).refused_because is None
    await ledger.hold(one, by="Temporal", note="cancelled")
    notes = await rows(stack, site, "SELECT note FROM operator_actions WHERE decided_by = 'Temporal' ORDER BY id")
    said = "it stands instead of not_charged by ana, which had not taken effect: why"
    assert [note for (note,) in notes] == ["cancelled", f"cancelled; {said}"]
    assert (await not_opened(ledger, one)).state is State.HELD
    assert (await decide(decisions, one, Action.NOT_CHARGED)).refused_because is None
    await opened(ledger, one)
    assert (await decide(decisions, one, Action.HOLD)).replaced is None


# --- The usual way, in one message a step -------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "state"), [(Outcome.CHARGED, "succeeded"), (Outcome.REFUSED, "rejected")])
async def test_an_answer_to_the_first_attempt_closes_it_and_ends_the_record_in_one_commit(
    stack: Devstack, site: Site, ledger: Ledger, outcome: Outcome, state: str
) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    finding = await ledger.close_attempt(one, attempt.token, Answer(outcome, "as told", 200, provider_reference="P-1"))
    assert (finding.state, finding.is_recorded) == (state, True)
    attempts = await rows(
        stack, site, "SELECT outcome, status, error FROM recharge_attempts WHERE closed_at IS NOT NULL"
    )
    assert attempts == [(outcome, 200, "as told")]
    final = "SELECT state, reason, provider_reference, status, resolved_by, final_at = updated_at FROM recharges"
    reason = "as told" if outcome is Outcome.REFUSED else None
    assert await rows(stack, site, final) == [(state, reason, "P-1", 200, "answer", 1)]
    assert await ledger.record_result(one, finding) == dataclasses.replace(
        finding.result(one.fingerprint), attempts=finding.attempts
    )


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.NOT_CHARGED, Outcome.PENDING, Outcome.UNKNOWN])
async def test_an_answer_that_ends_nothing_leaves_the_record_open(
    stack: Devstack, site: Site, ledger: Ledger, outcome: Outcome
) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    finding = await ledger.close_attempt(one, attempt.token, Answer(outcome, "as told", 200))
    assert not finding.is_recorded
    assert await rows(stack, site, "SELECT final_at FROM recharges") == [(None,)]


async def test_an_answer_beside_a_decision_closes_its_attempt_and_leaves_the_end_to_record_result(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    await ledger.hold(one, by="Ann", note="wait")
    finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "as told", 200))
    assert (finding.state, finding.is_recorded) == (State.SUCCEEDED, False)
    assert await rows(stack, site, "SELECT state FROM recharges") == [("held",)]
    assert await rows(stack, site, "SELECT outcome FROM recharge_attempts") == [("charged",)]
    assert (await ledger.record_result(one, finding)).state is State.SUCCEEDED


async def test_an_answer_beside_a_decision_that_nobody_has_acted_upon_ends_nothing_by_itself(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    one = record(site.source, 1)
    attempt = await opened(ledger, one)
    database = site.names.database
    await stack.mysql.execute(
        f"INSERT INTO {database}.operator_actions (workflow_id, action, decided_by, note, decided_at) "  # names of ours
        f"VALUES ('{one.workflow_id}', 'hold', 'Ann', 'wait', UTC_TIMESTAMP(6))"
    )
    finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "as told", 200))
    assert not finding.is_recorded
    assert await rows(stack, site, "SELECT state FROM recharges") == [("sending",)]


async def test_a_connection_that_was_lost_before_any_step_costs_nothing_but_a_new_one(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    one, other = record(site.source, 1), record(site.source, 2)
    await _lose_connections(stack, site)
    attempt = await opened(ledger, one)
    await _lose_connections(stack, site)
    finding = await ledger.close_attempt(one, attempt.token, Answer(Outcome.CHARGED, "as told", 200))
    await _lose_connections(stack, site)
    assert (await ledger.record_result(one, finding)).state is State.SUCCEEDED
    await _lose_connections(stack, site)
    await opened(ledger, other)
    assert await rows(stack, site, "SELECT COUNT(*) FROM recharge_attempts") == [(2,)]


async def _lose_connections(stack: Devstack, site: Site) -> None:
    connected = "SELECT id FROM performance_schema.processlist WHERE db = '{}'"
    for (number,) in await stack.mysql.execute(connected.format(site.names.database)):
        await stack.mysql.execute(f"KILL {number}")


# --- The server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["sync_binlog", "innodb_flush_log_at_trx_commit"])
async def test_a_server_that_may_lose_a_commit_is_refused(stack: Devstack, ledger: Ledger, variable: str) -> None:
    await ledger.check()
    await stack.mysql.execute(f"SET GLOBAL {variable} = 0")
    try:
        with pytest.raises(LedgerUnfit, match=f"{variable}=0, which may lose"):
            await ledger.check()
    finally:
        await stack.mysql.execute(f"SET GLOBAL {variable} = 1")


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


async def test_a_server_without_tls_is_refused_where_tls_was_asked_for(site: Site) -> None:
    """The driver would go on in plaintext: whoever stands between could take TLS away by a bit of the server's greeting."""
    fine = b"\0\0\0\2\0\0\0"
    # Protocol 4.1, a plugin for the password, a database to connect to; and no TLS.
    greeting = b"\x0a8.4.0\0" + bytes(4) + b"saltsalt\0" + b"\x08\x82" + b"\xff\2\0" + b"\x08\0" + b"\x15" + bytes(10)
    greeting += b"saltsaltsalt\0mysql_native_password\0"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(packet(0, greeting))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(4)
                await reader.readexactly(int.from_bytes(head[:3], "little"))
                writer.write(packet(head[3] + 1, fine))
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        query = site.environment["RECHARGE_MYSQL__URL"].partition("?")[2]
        downgraded = Ledger(f"mysql://user:password@127.0.0.1:{port}/ledger?{query}")
        try:
            with pytest.raises(Exception, match="offers no TLS although RECHARGE_MYSQL__URL asks for it"):
                await downgraded.check()
        finally:
            await downgraded.close()


async def test_an_unmigrated_ledger_says_to_migrate(stack: Devstack, site_numbers: Any) -> None:
    site = await stack.site(f"bare-{next(site_numbers)}")
    bare = Ledger(site.environment["RECHARGE_MYSQL__URL"])
    try:
        with pytest.raises(LedgerNotMigrated, match="recharge migrate"):
            await bare.check()
    finally:
        await bare.close()


async def test_a_newer_schema_is_refused_unless_it_was_only_expanded(stack: Devstack, make_site: SiteMaker) -> None:
    site = await make_site()
    ledger = Ledger(site.environment["RECHARGE_MYSQL__URL"])
    await ledger.check()
    table, url = f"{site.names.database}.alembic_version", site.migrate_environment["RECHARGE_MYSQL__URL"]
    await stack.mysql.execute(f"UPDATE {table} SET version_num = '9999'")
    await ledger.check()
    assert await migrate(url) == "9999"  # a release that is taken back runs its migration too, and changes nothing
    for comment in ("oldest reader 9999", ""):
        await stack.mysql.execute(f"ALTER TABLE {table} COMMENT = '{comment}'")
        for refused in (ledger.check, lambda: migrate(url)):
            with pytest.raises(LedgerUnfit, match="newer"):
                await refused()
    await ledger.close()


async def test_a_wrong_password_is_told_without_showing_it(site: Site) -> None:
    url = site.environment["RECHARGE_MYSQL__URL"]
    wrong = Ledger(url.replace("@", "wr0ng@", 1))
    try:
        with pytest.raises(LedgerUnfit, match="RECHARGE_MYSQL__URL") as told:
            await wrong.check()
        assert "wr0ng" not in str(told.value)
    finally:
        await wrong.close()


async def test_migrating_twice_changes_nothing(make_site: SiteMaker) -> None:
    site = await make_site()
    url = site.migrate_environment["RECHARGE_MYSQL__URL"]
    assert list(await asyncio.gather(migrate(url), migrate(url))) == [SCHEMA_VERSION, SCHEMA_VERSION]


async def test_a_ledger_of_the_release_before_is_migrated_with_its_records_even_where_that_stopped_half_way(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site()
    url, database = site.migrate_environment["RECHARGE_MYSQL__URL"], site.names.database
    ledger = Ledger(site.environment["RECHARGE_MYSQL__URL"])
    await opened(ledger, record(site.source, 1))
    await stack.mysql.execute(f"ALTER TABLE {database}.recharges DROP COLUMN redrive_of")
    for _ in range(2):  # the second time the column stands there already
        await stack.mysql.execute(f"UPDATE {database}.alembic_version SET version_num = '0004'")
        with pytest.raises(LedgerNotMigrated, match="recharge migrate"):
            await ledger.check()
        assert await migrate(url) == SCHEMA_VERSION
        await ledger.check()
    assert await rows(stack, site, "SELECT state, redrive_of FROM recharges") == [("sending", None)]
    await ledger.close()


async def test_a_server_that_is_away_is_unavailable_in_one_line() -> None:
    away = Ledger("mysql://u:p@127.0.0.1:1/nowhere")
    try:
        with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1:1") as told:
            await away.check()
        assert "\n" not in str(told.value)
    finally:
        await away.close()


# --- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.NOT_CHARGED])
async def test_a_repetition_under_a_key_that_carried_nothing_out_waits_before_the_next(
    site: Site, keyed: Ledger, outcome: Outcome
) -> None:
    one = record(site.source, 1)
    await doubt(keyed, one)
    again = await opened(keyed, one)
    finding = await keyed.close_attempt(one, again.token, Answer(outcome, "come back later", 429, retry_after_s=120.0))
    assert (finding.state, finding.retry_after_s) == (State.RETRYING, 120.0)
    assert (await opened(keyed, one)).number == 3


async def test_nobody_decides_while_the_first_of_two_sendings_under_one_key_is_under_way(
    site: Site, keyed: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await opened(keyed, one)
    second = await opened(keyed, one)
    await keyed.close_attempt(one, second.token, Answer(Outcome.UNKNOWN, "409: it is in progress", 409))
    for action in (Action.SKIP, Action.CHARGED, Action.NOT_CHARGED):
        refused = (await decide(decisions, one, action)).refused_because
        assert refused is not None
        assert "may still be worked on" in refused


async def test_a_late_answer_to_the_first_of_two_sendings_under_one_key_decides_the_record(
    stack: Devstack, site: Site, keyed: Ledger
) -> None:
    one = record(site.source, 1)
    first = await opened(keyed, one)
    second = await opened(keyed, one)
    assert (second.number, second.after_unknown) == (2, True)
    finding = await keyed.close_attempt(one, first.token, Answer(Outcome.CHARGED, "200 OK", 200))
    assert finding.state is State.SUCCEEDED
    await keyed.record_result(one, finding)
    await keyed.close_attempt(one, second.token, Answer(Outcome.CHARGED, "200 OK", 200))
    found = await rows(stack, site, "SELECT number, outcome, late_outcome FROM recharge_attempts ORDER BY number")
    assert found == [(1, "charged", None), (2, "charged", None)]


# --- Obstacles --------------------------------------------------------------------------------------------------------


async def test_of_two_records_with_one_request_id_the_second_is_rejected_and_names_the_first(
    site: Site, ledger: Ledger
) -> None:
    first = record(site.source, 1, value(requestId="r-1"))
    await opened(ledger, first)
    # The same numbers, though one is written with a plus and the other without.
    second = record(site.source, 2, value(requestId="r-1", amount="11", phoneNumberDonor="34600111222"))
    finding = await not_opened(ledger, second)
    assert finding.state is State.REJECTED
    result = await ledger.record_result(second, finding)
    assert result.reason is not None
    assert first.workflow_id in result.reason


async def deadlocks(stack: Devstack) -> int:
    query = "SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"
    return int((await stack.mysql.execute(query))[0][0])


async def test_of_many_records_with_one_request_id_at_once_one_is_sent_and_none_meets_a_deadlock(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    before = await deadlocks(stack)
    many = [record(site.source, offset, value(requestId="r-1", amount=str(offset + 1))) for offset in range(100)]
    results = await asyncio.gather(*(ledger.open_attempt(one, token(), timeout_s=TIMEOUT_S) for one in many))
    assert len([result for result in results if isinstance(result, Opened)]) == 1
    assert await deadlocks(stack) == before


async def test_of_two_redrives_of_one_record_one_is_sent(site: Site, ledger: Ledger) -> None:
    # The record has no requestId, so nothing else tells that the second repeats the first.
    first, second = redriven(site, range(1, 3))
    await opened(ledger, first)
    finding = await not_opened(ledger, second)
    assert (finding.state, first.workflow_id in finding.said) == (State.REJECTED, True)


def redriven(site: Site, offsets: range) -> list[RecordInput]:
    """Copies of one record."""
    first = f"{site.source}:credit-transfers:0:0"
    return [dataclasses.replace(record(site.source, offset), redrive_of=first) for offset in offsets]


async def test_the_row_of_a_copy_tells_what_it_repeats_however_it_was_begun(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    copies = redriven(site, range(1, 4))
    await opened(ledger, copies[0])
    await ledger.record_result(
        copies[1], await not_opened(ledger, copies[1])
    )  # found to be unusual, and begun the long way
    unreadable = dataclasses.replace(copies[2], transfer=None, invalid_reason="no JSON")
    await ledger.record_result(unreadable, Finding(State.INVALID, "no JSON"))
    await opened(ledger, record(site.source, 4, value(amount="11")))
    found = await rows(stack, site, "SELECT state, redrive_of FROM recharges ORDER BY record_offset")
    root = copies[0].redrive_of
    assert found == [("sending", root), ("rejected", root), ("invalid", root), ("sending", None)]


async def test_a_rejected_winner_frees_its_claim_and_a_doubtful_one_does_not(site: Site, ledger: Ledger) -> None:
    first = record(site.source, 1, value(requestId="r-1"))
    attempt = await opened(ledger, first)
    await ledger.record_result(
        first, await ledger.close_attempt(first, attempt.token, Answer(Outcome.REFUSED, "404", 404, "unknown number"))
    )
    second = record(site.source, 2, value(requestId="r-1", amount="11"))
    attempt = await opened(ledger, second)
    await ledger.close_attempt(second, attempt.token, Answer(Outcome.UNKNOWN, "500", 500))
    third = record(site.source, 3, value(requestId="r-1", amount="12"))
    assert (await not_opened(ledger, third)).state is State.REJECTED


async def test_the_same_content_under_another_source_is_held_and_a_person_releases_it(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    await opened(ledger, record("old-era", 1))
    moved = record("new-era", 1)
    finding = await not_opened(ledger, moved)
    assert finding.state is State.HELD
    assert "old-era" in finding.said
    assert [row[0] for row in await rows(stack, site, "SELECT state FROM recharges ORDER BY id")] == ["sending", "held"]
    wish = Wish(moved.workflow_id, Action.NOT_CHARGED, "ana", "it was not done in the old era")
    assert (await decisions.decide(wish, processing_time_s=60.0)).refused_because is None
    await opened(ledger, moved)


async def test_the_same_content_under_one_source_at_once_meets_no_deadlock(
    stack: Devstack, site: Site, ledger: Ledger
) -> None:
    before = await deadlocks(stack)
    many = [record(site.source, number, partition=number % 8) for number in range(100)]
    await asyncio.gather(*(opened(ledger, one) for one in many))
    assert await deadlocks(stack) == before


async def test_of_the_same_content_under_two_sources_at_once_one_sees_the_other(ledger: Ledger) -> None:
    pairs = [[record(era, n, value(amount=str(n + 1))) for era in ("old-era", "new-era")] for n in range(20)]
    many = [one for pair in pairs for one in pair]
    results = await asyncio.gather(*(ledger.open_attempt(one, token(), timeout_s=TIMEOUT_S) for one in many))
    for pair in zip(results[::2], results[1::2], strict=True):
        assert len([result for result in pair if isinstance(result, Opened)]) <= 1, pair


async def decide(ledger: Decisions, one: RecordInput, action: Action) -> Ruling:
    return await ledger.decide(Wish(one.workflow_id, action, "ana", "why", is_closed=True), processing_time_s=60.0)


async def test_what_was_decided_before_a_record_was_begun_stands_when_it_is(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    finals = {Action.SKIP: State.SKIPPED, Action.CHARGED: State.SUCCEEDED}
    for offset, (action, state) in enumerate(finals.items()):
        one = record(site.source, offset, value(amount=str(offset + 1)))
        assert (await decide(decisions, one, action)).refused_because is None
        other = await decide(decisions, one, Action.NOT_CHARGED)
        assert other.refused_because == f"it was decided already: {action}, by ana: why"
        finding = await not_opened(ledger, one)
        assert (await ledger.record_result(one, finding)).state is state
    assert await rows(stack, site, "SELECT id FROM recharge_attempts") == []


async def test_opening_an_unbegun_record_again_releases_no_obstacle_that_nobody_has_seen(
    ledger: Ledger, decisions: Decisions
) -> None:
    await opened(ledger, record("old-era", 1))
    moved = record("new-era", 1)
    assert (await decide(decisions, moved, Action.NOT_CHARGED)).refused_because is None
    assert (await not_opened(ledger, moved)).state is State.HELD
    assert (await not_opened(ledger, moved)).state is State.HELD


async def test_of_a_decision_and_an_opening_at_the_same_time_one_sees_the_other(
    site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    many = [record(site.source, offset, value(amount=str(offset + 1))) for offset in range(60)]
    skips = asyncio.gather(*(decide(decisions, one, Action.SKIP) for one in many))
    openings = asyncio.gather(*(ledger.open_attempt(one, token(), timeout_s=TIMEOUT_S) for one in many))
    for ruling, opening in zip(await skips, await openings, strict=True):
        assert (ruling.refused_because is None) != isinstance(opening, Opened), (ruling, opening)


async def release(ledger: Decisions, one: RecordInput) -> None:
    ruling = await ledger.decide(Wish(one.workflow_id, Action.NOT_CHARGED, "ana", "why"), processing_time_s=60.0)
    assert ruling.refused_because is None


async def holds(stack: Devstack, site: Site) -> list[tuple[Any, ...]]:
    query = "SELECT decided_by, LEFT(note, 9) FROM operator_actions WHERE action = 'hold' AND refused_because IS NULL ORDER BY id"
    return await rows(stack, site, query)


async def test_what_a_cancellation_held_before_its_first_attempt_is_released_from_that_alone(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    """A twin, a duplicate and its age stand in its way. Each is shown after the one before was decided about, none is passed by."""
    twin = record("old-era", 1)
    attempt = await opened(ledger, twin)
    await ledger.close_attempt(twin, attempt.token, Answer(Outcome.NOT_SENT, "refused"))
    one = dataclasses.replace(
        record("new-era", 1, value(requestId="r-1")),
        content_digest=twin.content_digest,
        duplicate_requests=DuplicateRequests.HOLD,
        timestamp_ms=1_000_000_000_000,
        stale_after_s=3600.0,
    )
    await opened(ledger, record("new-era", 0, value(requestId="r-1", amount="11")))
    await ledger.hold(one, by="Temporal", note="cancelled")
    seen = [(await ledger.lookup_facts(one)).finding.said]
    for began_anew in (False, True, False):
        await release(decisions, one)
        if began_anew:  # by a reset, so that the decision is met by what would open an attempt
            await not_opened(ledger, one)
        await ledger.lookup_facts(one)
        again = (await ledger.lookup_facts(one)).finding
        assert again.state is State.HELD
        seen.append(again.said)
        refused = await decisions.decide(Wish(one.workflow_id, Action.HOLD, "ana", "why"), processing_time_s=60.0)
        assert refused.refused_because == "it is on hold already"
    shown = [("Temporal", "cancelled"), ("recharge", "the same "), ("recharge", "duplicate"), ("recharge", "stale: th")]
    assert await holds(stack, site) == shown
    assert all(f"{by}: {note}" in said for (by, note), said in zip(shown, seen, strict=True))
    reasons = await rows(stack, site, f"SELECT reason FROM recharges WHERE workflow_id = '{one.workflow_id}'")
    assert reasons[0][0].startswith("stale")
    await release(decisions, one)
    assert (await ledger.lookup_facts(one)).finding.state is State.SENDING
    attempt = await opened(ledger, one)
    await ledger.close_attempt(one, attempt.token, Answer(Outcome.NOT_SENT, "refused"))
    await opened(ledger, one)  # its age was decided about, so it is not asked for again


async def test_a_record_that_became_stale_on_hold_is_not_sent_by_its_release(
    stack: Devstack, site: Site, ledger: Ledger, decisions: Decisions
) -> None:
    one = record(site.source, 1)
    await cancelled_before_a_retry(ledger, one)
    await release(decisions, one)
    old = dataclasses.replace(one, timestamp_ms=1_000_000_000_000, stale_after_s=3600.0)
    assert (await not_opened(ledger, old)).state is State.HELD
    await release(decisions, one)
    await opened(ledger, old)
    assert [by for by, _ in await holds(stack, site)] == ["Temporal", "recharge"]


async def test_a_duplicate_of_its_own_twin_is_one_question_and_of_another_record_two(
    ledger: Ledger, decisions: Decisions
) -> None:
    raw = value(requestId="r-1")
    await opened(ledger, record("old-era", 1, raw))
    moved = record("new-era", 1, raw)
    assert (await not_opened(ledger, moved)).state is State.HELD
    await release(decisions, moved)
    await opened(ledger, moved)
    refused = record("old-era", 2, value(requestId="r-2"))
    attempt = await opened(ledger, refused)
    await ledger.record_result(
        refused,
        await ledger.close_attempt(refused, attempt.token, Answer(Outcome.REFUSED, "404", 404, "unknown number")),
    )
    await opened(ledger, record("new-era", 2, value(requestId="r-2", amount="11")))
    moved = record("new-era", 3, value(requestId="r-2"))
    assert (await not_opened(ledger, moved)).state is State.HELD
    await release(decisions, moved)
    finding = await not_opened(ledger, moved)
    assert (finding.state, finding.said[:29]) == (State.REJECTED, "duplicate of new-era:credit-t")


async def test_a_stale_record_is_held_before_it_is_sent(site: Site, ledger: Ledger) -> None:
    old = dataclasses.replace(record(site.source, 1), timestamp_ms=1_000_000_000_000, stale_after_s=3600.0)
    finding = await not_opened(ledger, old)
    assert finding.state is State.HELD
    assert "stale" in finding.said
