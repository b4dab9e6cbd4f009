"""What the intake does when a record or a partition cannot go on by itself: hold what must be held, and nothing else."""

import asyncio
from datetime import UTC, datetime

import pytest
import structlog.testing
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    RegisterNamespaceRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus

from app.ingest import intake
from devstack.processes import wait_until
from ingest.starter import Starter
from ingest.starter_words import StarterProblem
from recharge import limits
from tests.integration.conftest import CornerMaker
from tests.support.intake import FINAL_TIMEOUT_S, Corner, logged, some_started
from tests.support.records import record, value
from tests.support.unreadable import produce_unreadable

# --- Held and stopped -------------------------------------------------------------------------------------------------


async def test_a_terminated_workflow_holds_its_lane_until_a_newer_run_is_final(
    corner: Corner, quick_polls: None
) -> None:
    del quick_polls
    await corner.produce(0, ["wait", "succeeded"])
    handle = corner.client.get_workflow_handle(corner.workflow_id(0, 0))
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_open(0, 0)
            await handle.terminate("by a test")
            await wait_until(lambda: logged(logs, "lane is held"), FINAL_TIMEOUT_S, "the lane is held")
            await _reset(corner, 0, 0)
            await wait_until(lambda: logged(logs, "lane goes on"), FINAL_TIMEOUT_S, "the newer run is followed")
            assert await corner.committed() == {}
            assert await corner.status(0, 1) is None
            await corner.finish(0, 0)
            await corner.until_drained()
    (held,) = logged(logs, "lane is held")
    assert corner.workflow_id(0, 0) in held["to_do"]


async def test_a_reset_while_the_result_is_awaited_is_followed_without_holding_the_lane(corner: Corner) -> None:
    await corner.produce(0, ["wait", "succeeded"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_open(0, 0)
            await _reset(corner, 0, 0)
            await corner.finish(0, 0)
            await corner.until_drained()
    assert not logged(logs, "lane is held")


async def _reset(corner: Corner, partition: int, offset: int) -> None:
    handle = corner.client.get_workflow_handle(corner.workflow_id(partition, offset))

    async def first_task() -> HistoryEvent | None:
        history = await handle.fetch_history()
        return next((e for e in history.events if e.HasField("workflow_task_completed_event_attributes")), None)

    completed = await wait_until(first_task, FINAL_TIMEOUT_S, "a workflow task is completed", interval_s=0.05)
    assert completed is not None
    await corner.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=corner.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=(await handle.describe()).run_id),
            workflow_task_finish_event_id=completed.event_id,
            request_id=f"test-{handle.id}",
            reason="by a test",
        )
    )


async def test_a_failed_workflow_holds_its_lane_and_nothing_else(make_corner: CornerMaker, quick_polls: None) -> None:
    del quick_polls
    corner = await make_corner(2)
    await corner.produce(0, ["fail", "succeeded"])
    await corner.produce(1, ["succeeded"] * 3)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "lane is held"), FINAL_TIMEOUT_S, "the lane is held")
            await corner.until_committed({1: 3})
            assert await corner.status(0, 1) is None
    assert "as the test wants" in logged(logs, "lane is held")[0]["why"]


async def test_a_deleted_workflow_is_started_again(corner: Corner, quick_polls: None) -> None:
    del quick_polls
    await corner.produce(0, ["wait", "succeeded"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_open(0, 0)
            await corner.client.get_workflow_handle(corner.workflow_id(0, 0)).terminate("by a test")
            await wait_until(lambda: logged(logs, "lane is held"), FINAL_TIMEOUT_S, "the lane is held")
            await _delete(corner, 0, 0)

            def is_started_again() -> bool:
                return [line["offset"] for line in logged(logs, "record started")] == [0, 0]

            await wait_until(is_started_again, FINAL_TIMEOUT_S, "it starts again")
            await corner.finish(0, 0)
            await corner.until_drained()


async def _delete(corner: Corner, partition: int, offset: int) -> None:
    await corner.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=corner.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=corner.workflow_id(partition, offset)),
        )
    )


@pytest.mark.parametrize(
    ("wish", "is_paused"), [("wait", False), ("succeeded", False), ("wait", True)], ids=["open", "final", "paused"]
)
async def test_another_record_at_the_same_position_stops_its_partition_alone(
    make_corner: CornerMaker, wish: str, *, is_paused: bool
) -> None:
    corner = await make_corner(2)
    foreign = record(corner.site.source, 1, value(test=wish, amount="99"), topic=corner.site.topic)
    starter = Starter(corner.client, task_queue=corner.site.task_queue, hash_key=b"another key", beside=None)
    waiting = asyncio.create_task(starter.carry_out(foreign, None))
    await wait_until(
        lambda: some_started(corner, 1), FINAL_TIMEOUT_S, "the foreign workflow has started", interval_s=0.1
    )
    if is_paused:
        await corner.pause_in_temporal(foreign.workflow_id)
    await corner.produce(0, ["succeeded"] * 3)
    await corner.produce(1, ["succeeded"] * 3)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(
                lambda: logged(logs, "partition stands still"), FINAL_TIMEOUT_S, "the partition is stopped"
            )
            await corner.until_committed({0: 1, 1: 3})
            assert await corner.status(0, 2) is None
    (stopped,) = logged(logs, "partition stands still")
    assert stopped["workflow_id"] == foreign.workflow_id
    assert foreign.fingerprint in stopped["problem"]
    assert "RECHARGE_KAFKA__SOURCE" in stopped["problem"]
    if is_paused:
        await corner.unpause_in_temporal(foreign.workflow_id)
    if wish == "wait":
        await corner.finish(0, 1)
    assert (await waiting).fingerprint == foreign.fingerprint


async def test_after_a_restart_a_record_blocks_for_as_long_as_its_workflow_is_open(corner: Corner) -> None:
    await corner.produce(0, ["wait"])
    async with corner.intake():
        await corner.until_open(0, 0)
    began_at = (await corner.client.get_workflow_handle(corner.workflow_id(0, 0)).describe()).start_time

    def age_s() -> float:
        return (datetime.now(UTC) - began_at).total_seconds()

    def blocked_s() -> float:
        return sum(each.blocked_s for each in ingester.standing.partitions)

    await wait_until(lambda: age_s() > 2, FINAL_TIMEOUT_S, "the record has blocked for a while")
    stop = asyncio.Event()
    ingester = intake(corner.client, corner.settings(), beside=None)
    running = asyncio.create_task(ingester.run(stop))
    try:
        await wait_until(lambda: abs(age_s() - blocked_s()) < 1, FINAL_TIMEOUT_S, "it is told for how long")
    finally:
        await corner.finish(0, 0)
        stop.set()
        await running
    assert blocked_s() == 0


async def test_a_workflow_that_finds_another_fingerprint_stops_its_partition(corner: Corner) -> None:
    await corner.produce(0, ["mismatch", "succeeded"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(
                lambda: logged(logs, "partition stands still"), FINAL_TIMEOUT_S, "the partition is stopped"
            )
    assert await corner.status(0, 1) is None
    assert await corner.committed() == {}


@pytest.mark.parametrize("offset", [1000, 1])
async def test_a_committed_offset_that_the_topic_does_not_hold_stops_its_partition_alone(
    make_corner: CornerMaker, offset: int
) -> None:
    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["succeeded"] * 5)
    await corner.move_group({0: offset})
    if offset < 5:
        await _delete_before(corner, 0, 3)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(
                lambda: logged(logs, "partition stands still"), FINAL_TIMEOUT_S, "the partition is stopped"
            )
            await corner.until_committed({0: offset, 1: 5})
    (stopped,) = logged(logs, "partition stands still")
    assert f"offset {offset}" in stopped["out_of_range"]
    assert ("`recharge accept-gap 0:1-2 --by WHO --note WHY`" in stopped["out_of_range"]) is (offset < 5)
    assert (
        f"--group {corner.site.group} --topic {corner.site.topic}:0 --reset-offsets --to-offset 3 --execute"
        in (stopped["out_of_range"])
    ) is (offset < 5)
    assert all(run.id.split(":")[2] == "1" for run in await corner.runs())


async def test_records_that_retention_takes_from_under_a_running_intake_stop_their_partition_alone(
    make_corner: CornerMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So little is read ahead that what was deleted has to be fetched.
    monkeypatch.setattr(limits, "BUFFERED_RECORDS_MAX", 2)
    monkeypatch.setattr(limits, "FETCH_BYTES_MAX", 512)
    corner = await make_corner(2)
    for wish in ("wait", *["succeeded"] * 7):
        # One batch each, since a broker gives whole batches.
        await corner.produce(0, [wish])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_open(0, 0)
            await _delete_before(corner, 0, 7)
            await corner.finish(0, 0)
            await wait_until(
                lambda: logged(logs, "partition stands still"), FINAL_TIMEOUT_S, "the partition is stopped"
            )
            await corner.produce(1, ["succeeded"] * 3)
            await corner.until_status(1, 2, WorkflowExecutionStatus.COMPLETED)
    (stopped,) = logged(logs, "partition stands still")
    assert stopped["partition"] == 0
    assert "holds offsets 7 to 8" in stopped["out_of_range"]
    assert not [line for line in logged(logs, "record started") if line["offset"] == 7], "nothing is passed over"
    assert (await corner.committed()).get(0, 0) < 7


async def test_a_record_that_breaks_kafkas_own_format_stops_its_partition_alone(make_corner: CornerMaker) -> None:
    corner = await make_corner(3)
    for partition in (0, 1, 2):
        await corner.produce(partition, ["succeeded"] * 5)
    await produce_unreadable(corner, 0)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(
                lambda: logged(logs, "partition stands still"), FINAL_TIMEOUT_S, "the partition is stopped"
            )
            for partition in (1, 2):
                await corner.produce(partition, ["succeeded"] * 5)
            await corner.until_committed({0: 5, 1: 10, 2: 10})
    (stopped,) = logged(logs, "partition stands still")
    assert stopped["partition"] == 0
    assert "offset 5" in stopped["problem"]
    assert len(await corner.runs()) == 25


async def _delete_before(corner: Corner, partition: int, offset: int) -> None:
    async with corner.kafka_admin() as admin:
        await admin.delete_records(
            {TopicPartition(corner.site.topic, partition): RecordsToDelete(before_offset=offset)}
        )


# --- Namespaces that cannot be used ------------------------------------------------------------------------------------


async def test_a_namespace_without_our_search_attributes_is_refused_in_one_line(corner: Corner) -> None:
    name = f"bare-{corner.site.topic}"
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromSeconds(86_400)
    await corner.client.workflow_service.register_namespace(request)
    client = await Client.connect(corner.stack.temporal.address, namespace=name)
    starter = Starter(client, task_queue="none", hash_key=b"another key", beside=None)
    async with asyncio.timeout(FINAL_TIMEOUT_S):
        while True:
            with pytest.raises(StarterProblem) as refused:
                await starter.check()
            if "has no namespace" not in str(refused.value):
                break
            await asyncio.sleep(0.1)
    assert "RechargeStatus" in str(refused.value)
    assert "recharge migrate" in str(refused.value)
    with pytest.raises(StarterProblem, match="recharge migrate"):
        await starter.carry_out(record("source", 0), None)


async def test_a_namespace_that_does_not_exist_ends_the_intake_in_one_line(corner: Corner) -> None:
    client = await Client.connect(corner.stack.temporal.address, namespace="nowhere")
    with pytest.raises(StarterProblem, match="no namespace 'nowhere'"):
        await intake(client, corner.settings(), beside=None).run(asyncio.Event())
