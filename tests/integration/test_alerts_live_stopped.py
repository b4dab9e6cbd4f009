"""Alerts of what stands still until somebody acts, by the same means as in test_alerts_live.py. Run by hand."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from devstack.processes import wait_until
from devstack.prometheus import Prometheus
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.support.alerting import answers, until_firing
from tests.support.http import Ports, listening
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, killed, logged_by
from tests.support.unreadable import produce_unreadable

pytestmark = pytest.mark.long


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> AsyncIterator[Service]:
    yield Service.of(stack, await make_site(partitions=3), client)
    await stack.simulator.client.clear_rules()


async def test_a_topic_that_was_made_again_and_a_record_that_breaks_kafkas_own_format(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    """Partition 0 begins with another record than the one that was carried out, 1 cannot be taken apart, and 2 goes on."""
    site = service.site
    first = site.spawn("run")
    await service.send(0, value())
    await service.until_drained()
    await killed([first])
    await service.create_topic_again(3)
    await service.send(0, value(amount="99"))
    await service.send(1, value())
    await produce_unreadable(service, 1)
    await service.send(2, value())
    running = site.spawn("run", env=listening(ports[0]))
    prometheus.watch("recharge", ports[:1])
    await until_firing(prometheus, "RechargePartitionStopped")
    await service.until_states({(1, 0): "succeeded", (2, 0): "succeeded"})

    async def both_stand_still() -> bool:
        found = await prometheus.query("max by (partition, reason) (recharge_partition_stopped) == 1")
        return {tuple(sorted(each.labels.items())) for each in found} == {
            (("partition", "0"), ("reason", "other_record")),
            (("partition", "1"), ("reason", "unreadable")),
        }

    await wait_until(both_stand_still, FINAL_TIMEOUT_S, "both partitions stand still", interval_s=0.2)
    told = (await answers(service, "RechargePartitionStopped"))["RechargePartitionStopped"]
    status, _, audit = told.partition("never twice")
    for lagging in (
        "│         0 │         0 │   1 │   1 │            │",
        "│         1 │         1 │   2 │   1 │            │",
    ):
        assert lagging in status
    assert "another record at this position than the one that was carried out" in audit
    assert f"{service.workflow_id(1, 1)}  what the topic holds there cannot be taken apart" in audit
    said = {line["partition"]: line["problem"] for line in logged_by(running, "partition stands still")}
    assert "RECHARGE_KAFKA__SOURCE" in said[0]
    assert "stands still at offset 1: What Kafka delivered cannot be read (UnicodeDecodeError" in said[1]
    await killed([running])
