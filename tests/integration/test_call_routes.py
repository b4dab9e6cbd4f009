"""Where the first call of a record leaves from: inside its workflow task while there is room, else by the queue of the calls."""

from collections.abc import Mapping

from temporalio.client import Client

from devstack.simulator.client import Rule
from devstack.site import Site
from devstack.stack import Devstack
from recharge import limits
from recharge.contract import RECHARGE_ACTIVITY
from tests.conftest import SiteMaker
from tests.integration.test_end_to_end import assert_each_charged_once, drained, produce, records
from tests.workflow.stage import started_activities

UNORDERED: Mapping[str, str] = {"RECHARGE_INGEST__ORDERING": "none"}


async def sent_by_the_queue(client: Client, site: Site, count: int) -> int:
    """How many of the records were sent by a regular activity."""
    ids = [f"{site.source}:{site.topic}:0:{offset}" for offset in range(count)]
    histories = [await client.get_workflow_handle(workflow_id).fetch_history() for workflow_id in ids]
    return sum(RECHARGE_ACTIVITY in started_activities(history) for history in histories)


async def test_a_slow_provider_does_not_fill_the_workflow_tasks_with_its_calls(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    count = limits.LOCAL_CALLS_MAX + 10
    site = await make_site(profile=UNORDERED)
    await stack.simulator.client.set_rules(Rule("delay:3+charge+ok", prefix=f"{site.source}:"))
    await produce(stack, site, records(count))
    site.spawn("run")
    await drained(stack, site)
    await assert_each_charged_once(stack, site, count)
    by_queue = await sent_by_the_queue(client, site, count)
    assert 0 < by_queue <= 10, f"{by_queue} of {count} went by the queue"


async def test_with_a_rate_to_keep_every_call_goes_by_the_queue_that_keeps_it(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    calls_per_s, count = 4, 16
    site = await make_site(profile={**UNORDERED, "RECHARGE_PROVIDER__CALLS_PER_S": str(calls_per_s)})
    await produce(stack, site, records(count))
    site.spawn("run")
    await drained(stack, site)
    await assert_each_charged_once(stack, site, count)
    assert await sent_by_the_queue(client, site, count) == count
    times = sorted(post.at for post in await stack.simulator.client.posts(f"{site.source}:"))
    # A second's worth may leave at once, the rest has to keep the rate.
    assert (times[-1] - times[0]).total_seconds() >= (count - calls_per_s) / calls_per_s * 0.7
