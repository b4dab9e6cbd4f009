"""`recharge run`: an intake with its worker in the same process."""

import pytest
from temporalio.client import Client

from devstack.stack import Devstack
from recharge import limits
from tests.conftest import SiteMaker
from tests.support.http import Ports, listening, metrics, until_ready
from tests.support.records import value
from tests.support.service import Service, killed

SLOW_S = limits.RUN_ENDS_WITHIN_S + 1


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> Service:
    return Service.of(stack, await make_site(), client)


async def questions(sdk_port: int) -> float:
    """How many times the process has asked Temporal for a workflow's end."""
    found = await metrics(sdk_port)
    return sum(
        count
        for name, count in found.items()
        if name.startswith(("temporal_request_total{", "temporal_long_request_total{"))
        and 'operation="GetWorkflowExecutionHistory"' in name
    )


async def test_an_intake_asks_temporal_for_no_end_that_the_worker_beside_it_tells(
    service: Service, ports: Ports
) -> None:
    """A usual record is one start and one completed workflow task. What takes long is asked for, and is final all the same."""
    ours, sdk, _ = ports
    await service.send(0, *(value(requestId=f"usual-{number}") for number in range(20)))
    await service.send(0, value(simulate=["status:422"]), b"not json")
    process = service.site.spawn("run", env=listening(ours, RECHARGE_HTTP__SDK_LISTEN=f"127.0.0.1:{sdk}"))
    await until_ready(ours, process)
    await service.until_committed({0: 22})
    assert await questions(sdk) == 0
    assert (await metrics(ours))['recharge_workflow_starts_total{result="started"}'] == 22
    await service.send(0, value(simulate=[f"delay:{SLOW_S}+charge+ok"]), value())
    await service.until_committed({0: 24})
    assert 1 <= await questions(sdk) <= 3
    assert await service.posts() == dict.fromkeys([(0, offset) for offset in range(24) if offset != 21], 1)
    await killed([process])
