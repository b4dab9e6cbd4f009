"""A call that takes longer than its workflow task should: everybody sees it, any worker may follow it, and it is made once."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import ActivityEnvironment

from activities.await_answer import AwaitAnswer
from activities.calls import CallsInFlight
from activities.ledger import Ledger
from activities.recharge import Recharge
from devstack.processes import wait_until
from devstack.stack import Devstack
from recharge import limits
from recharge.contract import AWAIT_ANSWER_ACTIVITY, RECHARGE_ACTIVITY, AnswerTask, RechargeTask
from recharge.outcome import State
from tests.conftest import SiteMaker
from tests.support.described import described
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import record, value
from tests.support.service import Service, provider_of
from tests.workflow.stage import event_names, started_activities

SLOW_S = 2 * limits.LOCAL_CALL_S_MAX
UNORDERED = {"RECHARGE_INGEST__ORDERING": "none", "RECHARGE_PROVIDER__TIMEOUT_S": "20"}


@pytest.fixture
async def service(stack: Devstack, client: Client, make_site: SiteMaker) -> Service:
    """A service whose records go beside each other."""
    return Service.of(stack, await make_site(profile=UNORDERED), client)


async def history(service: Service, offset: int) -> WorkflowHistory:
    return await service.client.get_workflow_handle(service.workflow_id(0, offset)).fetch_history()


async def until_followed(service: Service, offset: int) -> None:
    """Wait until the record's page shows that its call is under way."""
    handle = service.client.get_workflow_handle(service.workflow_id(0, offset))

    async def followed() -> bool:
        found = await described(handle)
        pending = found.raw_description.pending_activities if found else ()
        return [each.activity_type.name for each in pending] == [AWAIT_ANSWER_ACTIVITY]

    await wait_until(followed, FINAL_TIMEOUT_S, "the call is followed by an activity", interval_s=0.1)


async def test_a_slow_call_shows_on_its_page_while_it_is_under_way_and_costs_no_further_workflow_task(
    service: Service,
) -> None:
    await service.send(0, value(simulate=[f"delay:{SLOW_S}+charge+ok"]))
    service.site.spawn("run")
    await until_followed(service, 0)
    await service.until_drained()
    assert await service.states() == {(0, 0): "succeeded"}
    assert await service.posts() == await service.charges() == {(0, 0): 1}
    told = await history(service, 0)
    assert started_activities(told) == {AWAIT_ANSWER_ACTIVITY: 1}
    assert event_names(told).count("WORKFLOW_TASK_COMPLETED") == 2, (
        "the tasks were renewed or lost while the call went on"
    )


async def test_a_slow_call_that_was_not_charged_is_sent_again(service: Service) -> None:
    await service.send(0, value(simulate=[f"delay:{SLOW_S}+status:429", "charge+ok"]))
    service.site.spawn("run")
    await service.until_drained()
    assert await service.posts() == {(0, 0): 2}
    assert await service.charges() == {(0, 0): 1}
    assert started_activities(await history(service, 0)) == {AWAIT_ANSWER_ACTIVITY: 1, RECHARGE_ACTIVITY: 1}


@pytest.fixture
async def ledger(service: Service) -> AsyncIterator[Ledger]:
    """The ledger as a worker has it."""
    made = Ledger(service.site.environment_of("worker")["RECHARGE_MYSQL__URL"])
    yield made
    await made.close()


@pytest.mark.parametrize("where", ["in_the_same_worker", "in_another_worker"])
@pytest.mark.parametrize(
    ("behaviour", "state", "attempts"),
    [("charge+ok", State.SUCCEEDED, 1), ("status:429", State.RETRYING, 1), ("charge+status:500", State.IN_DOUBT, 1)],
)
async def test_whoever_follows_a_slow_call_learns_its_end_and_no_doubt_before(  # fixtures and cases
    service: Service, ledger: Ledger, where: str, behaviour: str, state: State, attempts: int
) -> None:
    one = record(service.site.source, 0, value(simulate=[f"delay:{SLOW_S}+{behaviour}"]))
    calls = CallsInFlight()
    sender = Recharge(ledger, provider_of(service.site), calls, timeout_s=20.0, local_calls_max=1)
    local = ActivityEnvironment()
    local.info = dataclasses.replace(local.info, is_local=True, scheduled_time=datetime.now(UTC))
    began_s = time.monotonic()
    let_go = await local.run(sender.recharge, RechargeTask(one, first=True))
    assert time.monotonic() - began_s > limits.LOCAL_CALL_S_MAX / 2, "it let the call go before its time"
    assert let_go.is_under_way
    assert let_go.state is State.SENDING
    assert len(calls) == 1
    follower = AwaitAnswer(ledger, calls if where == "in_the_same_worker" else CallsInFlight())
    finding = await ActivityEnvironment().run(follower.await_answer, AnswerTask(one))
    assert (finding.state, finding.attempts) == (state, attempts)
    await calls.drained()
    assert len(await service.stack.simulator.client.posts(one.workflow_id)) == 1


async def test_an_activity_that_runs_again_beside_its_call_awaits_that_call_and_is_in_no_doubt(
    service: Service, ledger: Ledger
) -> None:
    """Temporal gives a task up whose worker was slow, and hands it to the same worker again."""
    one = record(service.site.source, 0, value(simulate=["delay:1+charge+ok"]))
    calls = CallsInFlight()
    sender = Recharge(ledger, provider_of(service.site), calls, timeout_s=20.0, local_calls_max=1)
    task = RechargeTask(one, first=True)
    findings = await asyncio.gather(*(ActivityEnvironment().run(sender.recharge, task) for _ in range(3)))
    assert [finding.state for finding in findings] == [State.SUCCEEDED] * 3
    assert len(await service.stack.simulator.client.posts(one.workflow_id)) == 1


async def test_a_slow_call_whose_worker_dies_is_a_doubt_when_its_deadline_has_passed_and_is_never_made_again(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    site = await make_site(profile={"RECHARGE_PROVIDER__TIMEOUT_S": "6"})
    service = Service.of(stack, site, client)
    await service.send(0, value(simulate=["charge+delay:5+ok"]))
    site.spawn("ingest")
    worker = site.spawn("worker")
    await until_followed(service, 0)
    await worker.kill_and_wait()
    site.spawn("worker")
    await service.until_states({(0, 0): "in_doubt"})
    assert await service.posts() == await service.charges() == {(0, 0): 1}
