"""What a person decides, on the real servers: it stands at once, is told in a line, and never sends anything twice.

All tests share one site with our own worker and intake. Each has partitions of its own, so that one's lane is never another's.
"""

import asyncio
import itertools
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode
from typer.testing import CliRunner

from activities.ledger import Ledger, OperatorLedger
from activities.migrations import migrate
from app import process
from app.main import cli
from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.events import Post
from devstack.site import Site
from devstack.stack import Devstack
from operations.decide import Decider
from operations.runs import newest_run, reopen
from operations.web_ui import WebUi
from recharge import limits
from recharge.contract import Decision
from recharge.outcome import Action
from tests.support import command
from tests.support.command import Told
from tests.support.described import described
from tests.support.records import record, value
from tests.workflow.stage import event_names

PARTITIONS = 30
TIMEOUT_S = 60.0
PROFILE = {"RECHARGE_PROVIDER__TIMEOUT_S": "3", "RECHARGE_PROVIDER__PROCESSING_TIME_S": "2"}
DOUBT = "status:500"
"""Under a provider without promises nobody knows what a 500 means."""
NUMBERS = ("600111222", "600333444")
PERSON = ("--by", "alice", "--note", "asked the provider")


@dataclass
class Office:
    """The site of all tests here, its processes, and the commands of a person."""

    stack: Devstack
    client: Client
    site: Site
    worker: ManagedProcess
    ingest: ManagedProcess
    _partitions: "itertools.count[int]" = field(default_factory=itertools.count)

    async def record(self, *simulate: str, then: int = 0) -> str:
        """Send a record that the provider answers like this to a partition of its own, and `then` more; its workflow's id."""
        partition = next(self._partitions)
        raws = [value(simulate=list(simulate), requestId=f"p-{partition}")]
        raws += [value(requestId=f"p-{partition}-{number}") for number in range(then)]
        await self.stack.kafka.produce(self.site.topic, [(b"key", raw, partition, []) for raw in raws])
        return f"{self.site.source}:{self.site.topic}:{partition}:0"

    async def ask(self, *arguments: str, stdin: bytes = b"", **environment: str) -> Told:
        """Run a command as a person would."""
        return await command.ask(*arguments, environment=self.site.environment | environment, stdin=stdin)

    async def row(self, workflow_id: str, columns: str = "state") -> tuple[Any, ...]:
        found = await self.stack.mysql.execute(
            f"SELECT {columns} FROM {self.site.names.database}.recharges WHERE workflow_id = '{workflow_id}'"
        )
        return found[0] if found else ()

    async def actions(self, workflow_id: str) -> list[tuple[Any, ...]]:
        return await self.stack.mysql.execute(
            f"SELECT action, decided_by, note, refused_because FROM {self.site.names.database}.operator_actions "
            f"WHERE workflow_id = '{workflow_id}' ORDER BY id"
        )

    async def until(self, workflow_id: str, *states: str) -> None:
        """Wait until the ledger has the record in one of these states."""

        async def is_there() -> bool:
            return await self.row(workflow_id) in {(state,) for state in states}

        await wait_until(is_there, TIMEOUT_S, f"{workflow_id} is {' or '.join(states)}", interval_s=0.05)

    async def until_status(self, workflow_id: str, status: WorkflowExecutionStatus) -> None:
        """Wait until the newest run of a workflow has this status."""

        async def has_it() -> bool:
            found = await described(self.client.get_workflow_handle(workflow_id))
            return found is not None and found.status is status

        await wait_until(has_it, TIMEOUT_S, f"{workflow_id} is {status.name}", interval_s=0.05)

    async def until_judgeable(self, workflow_id: str) -> None:
        """Wait until the provider cannot be at work on the last request any more, by MySQL's clock."""

        async def is_over() -> bool:
            found = await self.stack.mysql.execute(
                f"SELECT MAX(deadline_at) + INTERVAL 3 SECOND < UTC_TIMESTAMP(6) "
                f"FROM {self.site.names.database}.recharge_attempts WHERE workflow_id = '{workflow_id}'"
            )
            return bool(found[0][0])

        await wait_until(is_over, TIMEOUT_S, f"{workflow_id} may be judged", interval_s=0.1)

    async def until_committed(self, workflow_id: str, offset: int) -> None:
        """Wait until the record's partition is committed up to this offset."""
        partition = partition_of(workflow_id)

        async def is_committed() -> bool:
            return (await self.committed()).get(partition) == offset

        await wait_until(is_committed, TIMEOUT_S, f"partition {partition} is committed up to {offset}", interval_s=0.1)

    async def committed(self) -> dict[int, int]:
        return await self.stack.kafka.committed(self.site.group, self.site.topic)

    async def posts(self, workflow_id: str) -> list[Post]:
        """The calls that reached the provider for exactly this record."""
        return [post for post in await self.stack.simulator.client.posts(workflow_id) if post.reference == workflow_id]

    async def in_doubt(self, *simulate: str, then: int = 0) -> str:
        """A record whose first call nobody knows the end of."""
        workflow_id = await self.record(DOUBT, *simulate, then=then)
        await self.until(workflow_id, "in_doubt")
        return workflow_id


def partition_of(workflow_id: str) -> int:
    return int(workflow_id.split(":")[2])


def position_of(workflow_id: str) -> str:
    """The same record, as topic/partition/offset."""
    return "/".join(workflow_id.split(":")[1:])


@pytest.fixture(scope="module")
async def office(stack: Devstack, client: Client, site_numbers: "itertools.count[int]") -> AsyncIterator[Office]:
    site = await stack.site(f"t-{next(site_numbers)}", partitions=PARTITIONS, profile=PROFILE)
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    yield Office(stack, client, site, site.spawn("worker"), site.spawn("ingest"))
    for each in site.processes:
        await each.kill_and_wait()


@pytest.fixture
async def decider(office: Office) -> AsyncIterator[Decider]:
    """What the commands use, in this process, so that a test can choose its limits and its faults."""
    ledger = OperatorLedger(office.site.environment["RECHARGE_MYSQL__URL"])
    yield Decider(ledger, office.client, processing_time_s=2.0)
    await ledger.close()


# --- Decisions --------------------------------------------------------------------------------------------------------


async def test_not_charged_is_refused_while_the_provider_may_be_at_it_and_then_pays_for_one_attempt(
    office: Office,
) -> None:
    workflow_id = await office.in_doubt(DOUBT)
    early = await office.ask(
        "resolve", workflow_id, "--not-charged", *PERSON, RECHARGE_PROVIDER__PROCESSING_TIME_S="600"
    )
    assert early.status == 1
    assert "refused: the last request may still be worked on; this will be taken from 20" in early.err
    assert early.err.count("\n") == 1
    assert len(await office.posts(workflow_id)) == 1

    await office.until_judgeable(workflow_id)
    taken = await office.ask("resolve", position_of(workflow_id), "--not-charged", *PERSON)
    assert (taken.status, taken.err) == (0, "")
    assert taken.out == f"{workflow_id}: decided not_charged by alice; it is sending now\n"
    await office.stack.simulator.client.wait_for_posts(workflow_id, 2, TIMEOUT_S)
    await office.until(workflow_id, "in_doubt")

    # The second call is in doubt as well, and the word about the first one does not pay for a third.
    attempts = await office.stack.mysql.execute(
        f"SELECT number, verdict FROM {office.site.names.database}.recharge_attempts WHERE workflow_id = '{workflow_id}'"
    )
    assert attempts == [(1, "not_charged"), (2, None)]
    again = await office.ask(
        "resolve", workflow_id, "--not-charged", *PERSON, RECHARGE_PROVIDER__PROCESSING_TIME_S="600"
    )
    assert again.status == 1
    assert len(await office.posts(workflow_id)) == 2
    refusals = [bool(refused) for _, _, _, refused in await office.actions(workflow_id)]
    assert refusals == [True, False, True]

    # Opened again, the workflow is not told of the first decision once more.
    await office.client.get_workflow_handle(workflow_id).terminate("by a test")
    opened = await office.ask("resolve", workflow_id, "--charged", *PERSON)
    assert opened.out.endswith("its workflow was terminated and is open again\n")
    await office.until_committed(workflow_id, 1)
    assert await office.row(workflow_id) == ("succeeded",)
    assert len(await office.posts(workflow_id)) == 2


async def test_charged_makes_it_succeed_without_a_call_and_its_lane_goes_on(office: Office) -> None:
    workflow_id = await office.in_doubt(then=1)
    told = await office.ask("resolve", workflow_id, "--charged", "--provider-reference", "R-77", *PERSON)
    assert (told.status, told.err) == (0, "")
    await office.until_committed(workflow_id, 2)
    assert await office.row(workflow_id, "state, provider_reference, resolved_by") == ("succeeded", "R-77", "person")
    assert len(await office.posts(workflow_id)) == 1

    late = await office.ask("resolve", workflow_id, "--skip", "--by", "bob", "--note", "too late")
    assert late.status == 1
    assert "it is final already: succeeded, after alice decided charged: asked the provider" in late.err


async def test_many_records_are_skipped_from_standard_input_with_a_line_about_each(office: Office) -> None:
    one, other = await asyncio.gather(office.in_doubt(), office.in_doubt())
    lines = f"{one}\n\n{position_of(other)}\n{office.site.source}:{office.site.topic}:0:999\n"
    told = await office.ask("resolve", "-", "--skip", *PERSON, stdin=lines.encode())
    assert told.status == 1
    assert [line.split(": ")[0] for line in told.out.splitlines()] == [one, other]
    assert told.err == (
        f"{office.site.source}:{office.site.topic}:0:999: "
        "refused: the ledger has no such record; it may not have been started yet\n"
    )
    for workflow_id in (one, other):
        await office.until_committed(workflow_id, 1)
        assert await office.row(workflow_id, "state, reason") == ("skipped", "skipped by alice: asked the provider")
        assert len(await office.posts(workflow_id)) == 1


async def test_of_two_operators_one_wins_and_the_other_is_told_what_was_decided(office: Office) -> None:
    workflow_id = await office.in_doubt()
    alice, bob = await asyncio.gather(
        office.ask("resolve", workflow_id, "--charged", "--by", "alice", "--note", "seen in the portal"),
        office.ask("resolve", workflow_id, "--skip", "--by", "bob", "--note", "paid back by hand"),
    )
    assert sorted((alice.status, bob.status)) == [0, 1]
    won, note, state = (
        ("charged", "seen in the portal", "succeeded")
        if alice.status == 0
        else ("skip", "paid back by hand", "skipped")
    )
    loser = bob if alice.status == 0 else alice
    assert won in loser.err
    assert note in loser.err
    await office.until(workflow_id, state)
    assert len(await office.posts(workflow_id)) == 1
    assert [refused is None for _, _, _, refused in await office.actions(workflow_id)] == [True, False]


# --- Hold -------------------------------------------------------------------------------------------------------------


async def test_a_retrying_record_is_held_at_once_and_released_by_not_charged(office: Office) -> None:
    workflow_id = await office.record("retry_after:600+status:429")
    await office.until(workflow_id, "retrying")
    refused = await office.ask("resolve", workflow_id, "--not-charged", *PERSON)
    assert refused.status == 1
    assert "it is retrying and does not wait for a person; to stop it first, use: recharge hold" in refused.err

    held = await office.ask("hold", workflow_id, *PERSON)
    assert (held.status, held.out) == (0, f"{workflow_id}: decided hold by alice; it is held now\n")
    listed = await office.ask("resolve", "--list", "--json")
    (waiting,) = [each for each in listed.json() if each["workflow_id"] == workflow_id]
    assert waiting["reason"] == "on hold by alice: asked the provider"
    twice = await office.ask("hold", workflow_id, *PERSON)
    assert twice.status == 1
    assert "it is on hold already" in twice.err

    released = await office.ask("resolve", workflow_id, "--not-charged", *PERSON)
    assert released.status == 0
    await office.until(workflow_id, "succeeded")
    assert len(await office.posts(workflow_id)) == 2


async def test_a_hold_during_a_call_is_told_at_once_and_gives_way_to_a_charge_alone(
    office: Office, decider: Decider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A person waits for a second here instead of ten, and the calls outlast that. The second call is a regular activity, which the
    # workflow hears about at once; the first one's workflow task would hear of it after four seconds.
    monkeypatch.setattr(limits, "DECISION_TIMEOUT_S", 1.0)
    charged, unknown = await asyncio.gather(
        office.record("status:429", "delay:2.5+charge+ok"), office.record("status:429", "delay:2.5+status:500")
    )
    for workflow_id in (charged, unknown):
        await office.stack.simulator.client.wait_for_posts(workflow_id, 2, TIMEOUT_S)
    wish = Decision(Action.HOLD, "alice", "asked the provider")
    lines = await asyncio.gather(decider.decide(charged, wish), decider.decide(unknown, wish))
    for line in lines:
        assert line.done
        assert line.text == (
            "decided hold by alice; the decision stands; it takes effect when the call that is under way has ended"
        )
        assert await office.row(line.workflow_id) == ("sending",)
        assert [action for action, _, _, _ in await office.actions(line.workflow_id)] == ["hold"]
    await office.until(charged, "succeeded")
    await office.until(unknown, "held")
    await office.until_committed(charged, 1)
    assert [len(await office.posts(workflow_id)) for workflow_id in (charged, unknown)] == [2, 2]


async def test_cancel_in_temporal_holds_the_record_until_a_person_decides(office: Office) -> None:
    workflow_id = await office.record("retry_after:600+status:429")
    await office.until(workflow_id, "retrying")
    await office.client.get_workflow_handle(workflow_id).cancel()
    await office.until(workflow_id, "held")
    told = await office.ask("resolve", workflow_id, "--skip", *PERSON)
    assert told.status == 0
    await office.until_committed(workflow_id, 1)
    assert await office.row(workflow_id) == ("skipped",)
    assert len(await office.posts(workflow_id)) == 1


async def test_a_record_that_was_cancelled_before_its_first_call_is_not_released_past_an_obstacle_that_nobody_saw(
    office: Office,
) -> None:
    await office.worker.kill_and_wait()
    try:
        workflow_id = await office.record()
        await office.until_status(workflow_id, WorkflowExecutionStatus.RUNNING)
        await office.client.get_workflow_handle(workflow_id).cancel()
        # What the old source had done must not be done again: a row as that one's service left it.
        raw = value(simulate=[], requestId=f"p-{partition_of(workflow_id)}")
        old_era = Ledger(office.site.environment["RECHARGE_MYSQL__URL"])
        await old_era.open_attempt(record("old-era", 0, raw), secrets.token_hex(16), timeout_s=1.0)
        await old_era.close()
    finally:
        office.worker = office.site.spawn("worker")
    await office.until(workflow_id, "held")
    first = await office.ask("resolve", workflow_id, "--not-charged", *PERSON)
    assert first.status == 0
    assert "it is held still, for a reason that has to be decided by itself" in first.out
    assert "the same content stands in the ledger as old-era:credit-transfers:0:0" in first.out
    assert await office.row(workflow_id) == ("held",)
    second = await office.ask("resolve", workflow_id, "--not-charged", *PERSON)
    assert second.status == 0
    await office.until_committed(workflow_id, 1)
    assert await office.row(workflow_id) == ("succeeded",)
    assert len(await office.posts(workflow_id)) == 1
    decided = [(action, by) for action, by, _, _ in await office.actions(workflow_id)]
    person = ("not_charged", "alice")
    assert decided == [("hold", "Temporal"), person, ("hold", "recharge"), person]


# --- Workflows that ended early ---------------------------------------------------------------------------------------


async def test_after_a_terminate_the_lane_is_held_and_a_decision_opens_the_workflow_again(office: Office) -> None:
    charged, not_charged = await asyncio.gather(office.in_doubt(then=1), office.in_doubt(then=1))
    for workflow_id in (charged, not_charged):
        await office.client.get_workflow_handle(workflow_id).terminate("by a test")

        def is_told(workflow_id: str = workflow_id) -> bool:
            lines = office.ingest.log_file.read_text().splitlines()
            return any("lane is held" in line and workflow_id in line for line in lines)

        await wait_until(is_told, TIMEOUT_S, "the intake says that the lane is held", interval_s=0.1)
    status = (await office.ask("status", "--json")).json()
    blocked = {each["blocked_by"]: each["blocked_workflow"] for each in status["partitions"]}
    assert blocked[charged] == blocked[not_charged] == "terminated"

    await office.until_judgeable(not_charged)
    told = await asyncio.gather(
        office.ask("resolve", charged, "--charged", *PERSON),
        office.ask("resolve", not_charged, "--not-charged", *PERSON),
    )
    assert [each.status for each in told] == [0, 0], told
    assert all(each.out.endswith("its workflow was terminated and is open again\n") for each in told)
    for workflow_id, calls in ((charged, 1), (not_charged, 2)):
        await office.until_committed(workflow_id, 2)
        assert await office.row(workflow_id) == ("succeeded",)
        assert len(await office.posts(workflow_id)) == calls
        assert len(await office.posts(workflow_id[:-1] + "1")) == 1


async def test_a_workflow_that_is_opened_again_hears_of_no_older_update_or_cancellation(office: Office) -> None:
    workflow_id = await office.in_doubt()
    assert (await office.ask("hold", workflow_id, *PERSON)).status == 0
    handle = office.client.get_workflow_handle(workflow_id)
    await handle.cancel()
    await handle.terminate("by a test")
    told = await office.ask("resolve", workflow_id, "--charged", *PERSON)
    assert told.out == f"{workflow_id}: decided charged by alice; its workflow was terminated and is open again\n"
    await office.until(workflow_id, "succeeded")
    events = event_names(await office.client.get_workflow_handle(workflow_id).fetch_history())
    assert not [name for name in events if "UPDATE" in name or "CANCEL_REQUESTED" in name], events
    assert [action for action, *_ in await office.actions(workflow_id)] == ["hold", "charged"]


async def test_a_workflow_that_was_terminated_during_its_first_call_is_opened_again_by_a_decision(
    office: Office,
) -> None:
    workflow_id = await office.record("delay:1+charge+status:500", then=1)
    await office.stack.simulator.client.wait_for_posts(workflow_id, 1, TIMEOUT_S)
    await office.client.get_workflow_handle(workflow_id).terminate("by a test")
    await office.until(workflow_id, "in_doubt")
    await office.until_judgeable(workflow_id)
    told = await office.ask("resolve", workflow_id, "--charged", *PERSON)
    assert (told.status, told.err) == (0, "")
    await office.until_committed(workflow_id, 2)
    assert await office.row(workflow_id) == ("succeeded",)
    assert len(await office.posts(workflow_id)) == 1


async def test_a_workflow_that_failed_is_opened_again_by_a_decision(office: Office) -> None:
    workflow_id = await office.record("delay:1+charge+ok", then=1)
    await office.stack.simulator.client.wait_for_posts(workflow_id, 1, TIMEOUT_S)
    # The attempt that the worker is about to close is taken for another one: the ledger contradicts itself.
    await office.stack.mysql.execute(
        f"UPDATE {office.site.names.database}.recharge_attempts SET token = REPEAT('0', 32) WHERE workflow_id = '{workflow_id}'"
    )
    await office.until_status(workflow_id, WorkflowExecutionStatus.FAILED)
    assert await office.row(workflow_id) == ("sending",)
    await office.until_judgeable(workflow_id)
    told = await office.ask("resolve", workflow_id, "--charged", *PERSON)
    assert (told.status, told.err) == (0, "")
    assert told.out == f"{workflow_id}: decided charged by alice; its workflow had failed and is open again\n"
    await office.until_committed(workflow_id, 2)
    assert await office.row(workflow_id, "state, resolved_by") == ("succeeded", "person")
    assert len(await office.posts(workflow_id)) == 1


async def test_a_decision_whose_reset_failed_is_completed_by_the_same_command(
    office: Office, decider: Decider, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id = await office.in_doubt(then=1)
    await office.client.get_workflow_handle(workflow_id).terminate("by a test")

    async def fails(*_: object) -> NoReturn:
        raise RPCError("the server went away", RPCStatusCode.UNAVAILABLE, b"")

    with monkeypatch.context() as without_resets:
        without_resets.setattr("operations.decide.reopen", fails)
        line = await decider.decide(workflow_id, Decision(Action.SKIP, "alice", "asked the provider"))
    assert not line.done
    assert line.text == (
        "decided skip by alice; its workflow was terminated and was not opened again "
        "(Temporal: unavailable: the server went away); give the command again"
    )
    again = await office.ask("resolve", workflow_id, "--skip", *PERSON)
    assert (again.status, again.err) == (0, "")
    assert again.out == (
        f"{workflow_id}: it was decided already: skip, by alice: asked the provider; "
        "its workflow was terminated and is open again\n"
    )
    await office.until_committed(workflow_id, 2)
    assert await office.row(workflow_id) == ("skipped",)
    assert [refused is None for _, _, _, refused in await office.actions(workflow_id)] == [True, False]
    assert len(await office.posts(workflow_id)) == 1


async def test_a_deleted_workflow_leaves_the_decision_to_the_ledger(office: Office) -> None:
    workflow_id = await office.in_doubt()
    handle = office.client.get_workflow_handle(workflow_id)
    await handle.terminate("by a test")
    await office.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=office.client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
        )
    )
    # The intake may have started it again by then; either way the decision stands and nothing is sent.
    told = await office.ask("resolve", workflow_id, "--charged", *PERSON)
    assert told.status == 0, told
    await office.until_committed(workflow_id, 1)
    assert await office.row(workflow_id) == ("succeeded",)
    assert len(await office.posts(workflow_id)) == 1


async def test_a_decision_stands_without_a_worker_and_is_carried_out_when_one_comes(office: Office) -> None:
    decided, final, held = await asyncio.gather(
        office.in_doubt(), office.record(), office.record("retry_after:600+status:429")
    )
    await office.until(held, "retrying")
    await office.until_status(final, WorkflowExecutionStatus.COMPLETED)
    await office.worker.kill_and_wait()
    try:
        run = await newest_run(office.client, final)
        assert run is not None
        await reopen(office.client, final, run.run_id, "by a test")
        await office.client.get_workflow_handle(final).terminate("by a test")
        told, too_late, stopped = await asyncio.gather(
            office.ask("resolve", decided, "--charged", *PERSON),
            office.ask("resolve", final, "--skip", *PERSON),
            office.ask("hold", held, *PERSON),
        )
        listed = await office.ask("resolve", "--list", "--json")
    finally:
        office.worker = office.site.spawn("worker")
    assert told.out == f"{decided}: decided charged by alice; the decision stands; no worker took it within 10 s\n"
    assert stopped.out == f"{held}: decided hold by alice; the decision stands; no worker took it within 10 s\n"
    assert told.status == stopped.status == 0
    (waiting,) = [each for each in listed.json() if each["workflow_id"] == decided]
    assert waiting["reason"].endswith("and no worker has taken that yet")
    await office.until(decided, "succeeded")
    await office.until(held, "held")
    assert len(await office.posts(decided)) == 1

    assert too_late.status == 1
    assert "it is final already: succeeded; its workflow was terminated and is open again" in too_late.err
    await office.until_status(final, WorkflowExecutionStatus.COMPLETED)
    assert len(await office.posts(final)) == 1


async def test_a_workflow_that_was_terminated_before_a_worker_took_it_is_decided_and_opened_again(
    office: Office,
) -> None:
    await office.worker.kill_and_wait()
    try:
        skipped, sent, open_yet = await asyncio.gather(office.record(then=1), office.record(then=1), office.record())
        for workflow_id in (skipped, sent, open_yet):
            await office.until_status(workflow_id, WorkflowExecutionStatus.RUNNING)
        for workflow_id in (skipped, sent):
            await office.client.get_workflow_handle(workflow_id).terminate("by a test")
        shown, too_early, held = await asyncio.gather(
            office.ask("show", skipped),
            office.ask("resolve", open_yet, "--skip", *PERSON),
            office.ask("hold", skipped, *PERSON),
        )
        told = await asyncio.gather(
            office.ask("resolve", skipped, "--skip", *PERSON), office.ask("resolve", sent, "--not-charged", *PERSON)
        )
        assert [await office.row(workflow_id) for workflow_id in (skipped, sent)] == [(), ()]
    finally:
        office.worker = office.site.spawn("worker")
    assert shown.err.startswith(f"recharge: the ledger has no record {skipped}")
    assert too_early.status == held.status == 1
    assert "the ledger has no such record; it may not have been started yet" in too_early.err
    assert "its workflow ended before anything was sent" in held.err
    assert [each.status for each in told] == [0, 0], told
    assert all(each.out.endswith("its workflow was terminated and is open again\n") for each in told)
    for workflow_id, state, calls in ((skipped, "skipped", 0), (sent, "succeeded", 1)):
        await office.until_committed(workflow_id, 2)
        assert await office.row(workflow_id) == (state,)
        assert len(await office.posts(workflow_id)) == calls
    assert [action for action, _, _, refused in await office.actions(sent) if refused is None] == ["reopen"]
    await office.until_committed(open_yet, 1)


async def test_an_invalid_record_may_be_skipped_before_a_worker_took_it_and_no_audit_holds_that_against_it(
    office: Office,
) -> None:
    await office.worker.kill_and_wait()
    try:
        partition = next(office._partitions)
        workflow_id = f"{office.site.source}:{office.site.topic}:{partition}:0"
        await office.stack.kafka.produce(office.site.topic, [(b"key", b"{", partition, [])])
        await office.until_status(workflow_id, WorkflowExecutionStatus.RUNNING)
        await office.client.get_workflow_handle(workflow_id).terminate("by a test")
        told = await office.ask("resolve", workflow_id, "--skip", *PERSON)
        assert told.status == 0, told
    finally:
        office.worker = office.site.spawn("worker")
    await office.until_committed(workflow_id, 1)
    assert await office.row(workflow_id) == ("invalid",)
    audited = await office.ask("audit", "--json")
    found = [each["problem"] for each in audited.json()["violations"] if each["workflow_id"] == workflow_id]
    assert found == []


async def test_a_verdict_under_a_look_ups_name_is_refused_and_not_written(office: Office, decider: Decider) -> None:
    workflow_id = await office.in_doubt()
    for action in (Action.CHARGED, Action.HOLD):
        line = await decider.decide(workflow_id, Decision(action, " Lookup", "asked the provider"))
        assert (line.done, line.text.startswith("refused: 'Lookup' is a word of the service's own")) == (False, True)
    assert (await office.row(workflow_id), await office.actions(workflow_id)) == (("in_doubt",), [])


# --- Bad input --------------------------------------------------------------------------------------------------------


WRONG_ARGUMENTS = [
    (("resolve", "0/0", *PERSON), "exactly one of"),
    (("resolve", "0/0", "--charged", "--skip", *PERSON), "exactly one of"),
    (("resolve", "0/0", "--skip", "--provider-reference", "R", *PERSON), "goes with --charged alone"),
    (("resolve", "0/0", "--charged", "--provider-reference", " ", *PERSON), "--provider-reference is empty"),
    (("resolve", "0/0", "--skip", "--by", "alice"), "--by WHO --note WHY"),
    (("hold", "0/0", "--by", "  ", "--note", "why"), "--by WHO --note WHY"),
    (("hold", "0/0", "--by", "a\u202ebc", "--note", "why"), "--by holds a character that cannot be seen (U+202E)"),
    (("resolve", "0/0", "--skip", "--by", "a", "--note", "w\x1b[2J"), "--note holds a character that cannot be seen"),
    (("resolve", "0/0", "--charged", "--by", "lookup", "--note", "w"), "'lookup' is a word of the service's own"),
    (("hold", "0/0", "--by", " Temporal ", "--note", "w"), "'Temporal' is a word of the service's own"),
    (("redrive", "0/0", "--by", "PERSON", "--note", "w"), "'PERSON' is a word of the service's own"),
    (("pause", "--by", "recharge ingest at a", "--note", "w"), "is a word of the service's own"),
    (("accept-gap", "0:1-2", "--by", "recharge", "--note", "w"), "'recharge' is a word of the service's own"),
    (("redact", "--older-than", "400", "--by", "Answer", "--note", "w"), "'Answer' is a word of the service's own"),
    (("resolve", "--list", "--skip"), "give it alone"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG_ARGUMENTS)
def test_wrong_arguments_are_refused_in_one_line(
    arguments: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command line itself, with its end replaced by an exception: these are refused before any setting is read.
    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(process, "leave", leave)
    told = CliRunner().invoke(cli, arguments, env={})
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1), told
    assert why in told.stderr


async def test_a_wrong_name_among_many_refuses_them_all_and_nothing_is_written(office: Office) -> None:
    workflow_id = f"{office.site.source}:{office.site.topic}:0:0"
    before = await office.actions(workflow_id)
    resolved, shown, none = await asyncio.gather(
        office.ask("resolve", workflow_id, "nonsense", "--skip", *PERSON),
        office.ask("show", "nonsense"),
        office.ask("hold", "-", *PERSON, stdin=b"\n"),
    )
    for told, why in ((resolved, "'nonsense' names"), (shown, "'nonsense' names"), (none, "no record is named")):
        assert (told.status, told.out, told.err.count("\n")) == (2, "", 1), told
        assert why in told.err
    assert await office.actions(workflow_id) == before


async def test_a_server_that_is_away_ends_a_command_in_one_line(office: Office) -> None:
    workflow_id = f"{office.site.source}:{office.site.topic}:0:0"
    before = await office.actions(workflow_id)
    nobody = "mysql://nobody:secret-word@127.0.0.1:1/nothing"
    no_ledger, no_temporal, status = await asyncio.gather(
        office.ask("resolve", workflow_id, "--skip", *PERSON, RECHARGE_MYSQL__URL=nobody),
        office.ask("resolve", workflow_id, "--skip", *PERSON, TEMPORAL_ADDRESS="127.0.0.1:1"),
        office.ask("status", "--json", RECHARGE_MYSQL__URL=nobody),
    )
    for told in (no_ledger, no_temporal, status):
        assert (told.status, told.err.count("\n")) == (1, 1), told
        assert "Traceback" not in told.err
        assert "secret-word" not in told.err + told.out
    assert "MySQL at 127.0.0.1:1" in no_ledger.err
    assert "Temporal at 127.0.0.1:1 gave no answer" in no_temporal.err
    assert "127.0.0.1:1" in status.json()["problems"]["ledger"]
    assert len(status.json()["partitions"]) == PARTITIONS
    assert await office.actions(workflow_id) == before


# --- What a person sees -----------------------------------------------------------------------------------------------


async def test_show_tells_the_whole_story_and_no_number(office: Office) -> None:
    workflow_id = await office.in_doubt()
    hidden, shown, revealed = await asyncio.gather(
        office.ask("show", position_of(workflow_id)),
        office.ask("show", workflow_id, "--json"),
        office.ask("show", workflow_id, "--json", "--reveal"),
    )
    assert [each.status for each in (hidden, shown, revealed)] == [0, 0, 0], (hidden, shown, revealed)
    assert workflow_id in hidden.out
    run_id = (await office.client.get_workflow_handle(workflow_id).describe()).run_id
    link = WebUi(office.stack.temporal.ui_url, office.client.namespace).link(workflow_id, run_id)
    assert link in hidden.out
    assert shown.json()["web_ui_url"] == link
    assert f"holds partition {partition_of(workflow_id)}" in hidden.out
    for number in NUMBERS:
        assert number not in hidden.out + shown.out
        assert number in revealed.out
    story = shown.json()
    assert (story["workflow_id"], story["state"], story["provider_reference"]) == (workflow_id, "in_doubt", None)
    (attempt,) = story["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["status"]) == (1, "unknown", 500)
    assert attempt["opened_at"] < attempt["closed_at"]
    assert "500" in attempt["error"]
    assert story["holds_lane"] is True
    assert story["workflow"]["status"] == "running"
    assert story["decisions"] == []
    assert json.loads(revealed.json()["record"]["value"])["phoneNumberReceiver"] == "34600333444"


async def test_status_and_list_tell_what_blocks_and_what_waits(office: Office) -> None:
    older, newer = await office.in_doubt(then=2), await office.in_doubt()
    status, screen, listed, readable = await asyncio.gather(
        office.ask("status", "--json"),
        office.ask("status"),
        office.ask("resolve", "--list", "--json"),
        office.ask("resolve", "--list"),
    )
    assert [each.status for each in (status, screen, listed, readable)] == [0, 0, 0, 0], (status, screen, listed)
    told = status.json()
    by_partition = {each["partition"]: each for each in told["partitions"]}
    assert sorted(by_partition) == list(range(PARTITIONS))
    blocked = by_partition[partition_of(older)]
    assert {name: blocked[name] for name in ("committed", "end", "lag", "blocked_by", "blocked_state")} == {
        "committed": 0,
        "end": 3,
        "lag": 3,
        "blocked_by": older,
        "blocked_state": "in_doubt",
    }
    empty = by_partition[PARTITIONS - 1]
    assert (empty["committed"], empty["end"], empty["lag"], empty["blocked_by"]) == (0, 0, 0, None)
    assert told["states"]["in_doubt"] >= 2
    assert told["problems"] == {}
    assert told["schema_is_current"] is True

    waiting = {each["workflow_id"]: each for each in listed.json()}
    assert list(waiting).index(older) < list(waiting).index(newer)
    assert waiting[older]["receiver"] == "••••••••444"
    assert waiting[older]["amount"] == "10.50"
    assert waiting[older]["waits_s"] > 0
    link = WebUi(office.stack.temporal.ui_url, office.client.namespace).link(older)
    assert waiting[older]["web_ui_url"] == link
    assert {each["web_ui_url"] for each in told["waiting"] if each["workflow_id"] == older} <= {link}
    assert link in readable.out
    assert "500" in waiting[older]["last_said"]
    assert f"recharge resolve {older} --charged|--not-charged|--skip --by WHO --note WHY" in readable.out
    for number in NUMBERS:
        assert not any(number in each.out for each in (status, screen, listed, readable))
    assert older in screen.out
