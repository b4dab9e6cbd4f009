"""What real processes show to Prometheus and to Temporal. How readiness follows the servers, is tested with their bad days."""

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from app.observed import release
from devstack.processes import wait_until
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.support.deployment import make_current
from tests.support.http import Ports, listening, metrics, until_ready
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, killed, stopped, until_logged


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> Service:
    return Service.of(stack, await make_site(partitions=2), client)


async def test_the_numbers_are_those_of_what_happened(service: Service, ports: Ports) -> None:
    ours, sdk, third = ports
    name = service.site.source
    await service.send(0, value(), value(simulate=["status:422"]), b"not json")
    await service.send(1, value(simulate=["charge+status:500"]), value())
    extra = {"RECHARGE_HTTP__SDK_LISTEN": f"127.0.0.1:{sdk}"}
    process = service.site.spawn("run", "--deployment", name, "--build-id", "7", env=listening(ours, **extra))
    await until_logged(process, "this build is not current")
    await make_current(service.stack, name, "7")
    await service.until_states({(0, 2): "invalid", (1, 0): "in_doubt"})
    await until_ready(ours, process)
    await service.until_committed({0: 3})

    await wait_until(lambda: lag_is(ours, 1, 2.0), FINAL_TIMEOUT_S, "the end of partition 1 is known", interval_s=0.2)
    found = await metrics(ours)
    expected = {
        f'recharge_build_info{{build_id="7",process="run",version="{release()}"}}': 1,
        'recharge_ready{part="assignment"}': 1,
        'recharge_ready{part="polling"}': 1,
        "recharge_stalled": 0,
        'recharge_partition_lag_offsets{partition="0"}': 0,
        'recharge_partition_commit_offset{partition="0"}': 3,
        'recharge_partition_blocked_seconds{partition="0"}': 0,
        'recharge_partition_open_records{partition="1"}': 2,
        "recharge_records_in_flight": 1,
        'recharge_workflow_starts_total{result="started"}': 4,
        'recharge_records_done_total{state="succeeded"}': 1,
        'recharge_records_done_total{state="rejected"}': 1,
        'recharge_records_done_total{state="invalid"}': 1,
        'recharge_dead_letters_total{state="invalid"}': 1,
        "recharge_record_seconds_count": 3,
        'recharge_attempts_total{outcome="charged"}': 1,
        'recharge_attempts_total{outcome="refused"}': 1,
        'recharge_attempts_total{outcome="unknown"}': 1,
        'recharge_provider_call_seconds_count{outcome="unknown"}': 1,
        'recharge_provider_call_seconds_bucket{le="90.0",outcome="unknown"}': 1,
        'recharge_records_final_total{resolved_by="answer",state="succeeded"}': 1,
        'recharge_records_final_total{resolved_by="intake",state="invalid"}': 1,
        'recharge_intake_paused{reason="person"}': 0,
        "recharge_refused_in_a_row": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found['recharge_partition_blocked_seconds{partition="1"}'] > 0
    assert found['recharge_commits_total{result="done"}'] >= 1
    assert found["recharge_ledger_transaction_seconds_count"] >= 10
    assert found["recharge_topic_retention_seconds"] > 0
    # What waits is looked for every few seconds, and by each worker when it begins.
    second = service.site.spawn("worker", "--deployment", name, "--build-id", "7", env=listening(third))
    await until_ready(third, second)
    looked = await wait_until(lambda: doubts(third), FINAL_TIMEOUT_S, "the ledger was looked at", interval_s=0.1)
    assert looked['recharge_records_waiting{state="in_doubt"}'] == 1
    assert 0 < looked["recharge_oldest_doubt_seconds"] < FINAL_TIMEOUT_S
    assert not any(each.startswith("recharge_partition") for each in looked)
    of_sdk = await metrics(sdk)
    assert any(name.startswith("temporal_workflow_task_execution_latency_seconds_bucket") for name in of_sdk)
    await killed([process, second])


async def lag_is(port: int, partition: int, lag: float) -> bool:
    return (await metrics(port)).get(f'recharge_partition_lag_offsets{{partition="{partition}"}}') == lag


async def doubts(port: int) -> dict[str, float]:
    """What a worker shows once it has looked at the ledger."""
    found = await metrics(port)
    return found if "recharge_oldest_doubt_seconds" in found else {}


async def test_an_address_that_is_taken_is_told_in_one_line(service: Service) -> None:
    taken = service.stack.temporal.address.rpartition(":")[2]
    for name in ("LISTEN", "SDK_LISTEN"):
        process = service.site.spawn("ingest", env={f"RECHARGE_HTTP__{name}": f"127.0.0.1:{taken}"})
        assert await process.wait(FINAL_TIMEOUT_S) == 1
        (line,) = [each for each in process.tail().splitlines() if not each.startswith("{")]
        assert line.startswith(f"recharge: RECHARGE_HTTP__{name}=127.0.0.1:{taken} cannot be listened on: ")


async def test_temporal_knows_which_release_polls_where(service: Service, ports: Ports) -> None:
    worker = service.site.spawn("worker", env=listening(ports[0]))
    await until_ready(ports[0], worker)
    answer = await service.client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=service.client.namespace,
            task_queue=TaskQueue(name=service.site.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    (identity,) = {poller.identity for poller in answer.pollers}
    assert identity.startswith(f"recharge@{release()} {worker.pid}@")
    await stopped([worker])
