"""Alerts of what stands still until somebody acts, by the same means as in test_alerts_live.py. Run by hand."""

import re
from collections.abc import AsyncIterator

import pytest
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from app.temporal import register_search_attributes
from devstack.processes import wait_until
from devstack.prometheus import Prometheus
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.support.alerting import answers, until_firing, until_seen
from tests.support.http import Ports, listening, until_ready
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, killed, logged_by
from tests.support.unreadable import produce_unreadable

pytestmark = pytest.mark.long

CALL_S = 160
"""Longer than it takes for a poll to be answered, and for the SDK to give up: it goes on polling for a minute in spite of a refusal."""


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
    await service.stack.mysql.execute(
        f"UPDATE {site.names.database}.recharges SET final_at = final_at - INTERVAL 1 HOUR WHERE partition_id = 0"
    )
    told = (await answers(service, "RechargePartitionStopped"))["RechargePartitionStopped"]
    status, _, audit = told.partition("never twice")
    assert re.search(r"│ +0 │ +0 │ +1 │ +1 │ final 1 h \d+ min ago, and not", status)
    assert re.search(r"│ +1 │ +1 │ +2 │ +1 │ +│", status)
    assert "another record at this position than the one that was carried out" in audit
    assert f"{service.workflow_id(1, 1)}  what the topic holds there cannot be taken apart" in audit
    said = {line["partition"]: line["problem"] for line in logged_by(running, "partition stands still")}
    assert "RECHARGE_KAFKA__SOURCE" in said[0]
    assert "stands still at offset 1: What Kafka delivered cannot be read (UnicodeDecodeError" in said[1]
    await killed([running])


@pytest.mark.timeout(420)
async def test_a_worker_of_temporals_that_has_ended_while_its_process_waits_for_a_call(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    """Its namespace is deleted while a call is on its way: no poll is answered any more, and the process ends once the call has."""
    stack, name = service.stack, service.site.source
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromSeconds(86_400)
    await service.client.workflow_service.register_namespace(request)
    client = await Client.connect(stack.temporal.address, namespace=name)

    async def registered() -> bool:
        try:
            await register_search_attributes(client)
        except RPCError:
            return False
        return True

    await wait_until(registered, FINAL_TIMEOUT_S, "the namespace is known", interval_s=0.2)
    own = {"TEMPORAL_NAMESPACE": name, "RECHARGE_PROVIDER__TIMEOUT_S": f"{CALL_S + 20}"}
    # The second attempt, since the first one is the workflow's own.
    await service.send(0, value(simulate=["status:429", f"charge+delay:{CALL_S}+ok"]))
    ingest = service.site.spawn("ingest", env=own)
    worker = service.site.spawn("worker", env=listening(ports[0], **own))
    await until_ready(ports[0], worker)
    prometheus.watch("recharge", ports[:1])
    await until_seen(prometheus, "recharge_stalled == 0", 1)
    await stack.simulator.client.wait_for_charges(service.workflow_id(0, 0), 1, FINAL_TIMEOUT_S)
    await service.client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace=name))
    await until_firing(prometheus, "RechargeStalled", timeout_s=CALL_S)
    told = await answers(service, "RechargeStalled", port=ports[0])
    assert "a Temporal worker of this process has ended" in told["RechargeStalled"]
    assert await worker.wait(CALL_S) == 1
    said = worker.log_file.read_text().splitlines()[-1]
    assert said.startswith(
        f"recharge: Temporal gives the worker no work any more: NotFound: Namespace {name} is not found."
    )
    assert "Traceback" not in [line for line in worker.log_file.read_text().splitlines() if not line.startswith("{")]
    closed = await stack.mysql.execute(
        f"SELECT number, outcome FROM {service.site.names.database}.recharge_attempts ORDER BY number"
    )
    assert closed == [(1, "not_charged"), (2, "charged")]
    await killed([ingest])
