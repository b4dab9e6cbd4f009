"""Short campaigns: a service of several processes under faults drawn from a fixed seed keeps every promise, by its own audit.

Seed 12 has both kinds of intake and worker, the order `partition`, and a provider that can be asked. `make campaign` runs larger ones.
"""

from collections.abc import AsyncIterator

import pytest

from devstack.campaign.campaign import Campaign
from devstack.campaign.plan import WIRES, make_plan
from devstack.stack import Devstack

RECORDS = 40
FAULTS = 8


@pytest.fixture(scope="module")
async def stormy_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devstack]:
    """Servers that this module alone uses, since it kills them."""
    async with Devstack(tmp_path_factory.mktemp("stormy-stack"), proxied_count=WIRES) as running:
        yield running


@pytest.mark.timeout(480)
@pytest.mark.parametrize("seed", [12, *(pytest.param(seed, marks=pytest.mark.long) for seed in (3, 4, 5))])
async def test_whatever_happens_to_it_a_service_keeps_every_promise(stormy_stack: Devstack, seed: int) -> None:
    plan = make_plan(seed, RECORDS, FAULTS)
    campaign = Campaign(stormy_stack, plan)
    result = await campaign.run()
    assert result.problems == [], (plan.command, result.problems, campaign.around_first_problem(result))
    assert campaign.timeline is not None
    told = [line["what"] for line in campaign.timeline.lines]
    assert told.count("begins") == told.count("ends") == FAULTS
    assert result.counts["rows"] == RECORDS
    assert 0 < result.charges <= result.posts
