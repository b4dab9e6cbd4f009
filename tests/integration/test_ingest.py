"""The intake on real servers: in order, never lost, started once, committed only when final."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

import pytest
import structlog.testing
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    RegisterNamespaceRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from app.ingest import intake
from devstack.processes import wait_until
from devstack.stack import Devstack
from ingest.starter import Starter
from ingest.starter_words import StarterProblem
from recharge import limits
from tests.integration.stub_workflow import StubWorkflow, take_a_moment
from tests.support.intake import FINAL_TIMEOUT_S, Corner
from tests.support.records import record, value

ACCOUNT_ORDER = {"RECHARGE_INGEST__ORDERING": "account"}
STATIC_MEMBER = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "test-0"}
CornerMaker = Callable[..., Awaitable[Corner]]
Logs = Sequence[MutableMapping[str, Any]]


@pytest.fixture
async def make_corner(stack: Devstack, client: Client, site_numbers: Iterator[int]) -> AsyncIterator[CornerMaker]:
    """Makes sites with a worker that runs the stub workflow."""
    async with contextlib.AsyncExitStack() as workers:

        async def make(partitions: int = 1) -> Corner:
            site = await stack.site(f"intake-{next(site_numbers)}", partitions=partitions)
            worker = Worker(
                client,
                task_queue=site.task_queue,
                workflows=[StubWorkflow],
                activities=[take_a_moment],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
            await workers.enter_async_context(worker)
            return Corner(stack, site, client)

        yield make


@pytest.fixture
async def corner(make_corner: CornerMaker) -> Corner:
    """A site with one partition."""
    return await make_corner()


@pytest.fixture(autouse=True)
def quick_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits two seconds for a lane that is held for good, so that a test need not wait longer."""
    monkeypatch.setattr(limits, "STOP_TIMEOUT_S", 2.0)


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held lane is looked at five times a second, so that a test need not wait."""
    monkeypatch.setattr(limits, "HELD_LANE_POLL_S", 0.2)


def logged(logs: Logs, event: str) -> list[MutableMapping[str, Any]]:
    return [line for line in logs if line["event"].startswith(event)]


# --- In order ---------------------------------------------------------------------------------------------------------


async def test_records_of_a_partition_go_one_after_another_and_partitions_side_by_side(
    make_corner: CornerMaker,
) -> None:
    corner = await make_corner(4)
    await corner.produce(0, ["wait", "succeeded"])
    for partition in (1, 2, 3):
        await corner.produce(partition, ["slow", "succeeded"] * 8)
    async with corner.intake():
        await corner.until_committed({1: 16, 2: 16, 3: 16})
        assert await corner.status(0, 1) is None
        await corner.finish(0, 0)
        await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 2, 1: 16, 2: 16, 3: 16})


async def test_account_order_holds_only_those_who_share_a_number(corner: Corner) -> None:
    await corner.produce(0, ["wait"], accounts=("11111", "22222"))
    await corner.produce(0, ["succeeded"], accounts=("33333", "44444"))
    await corner.produce(0, ["succeeded"], accounts=("55555", "+11111"))
    await corner.produce(0, ["wait"], accounts=("66666", "77777"))
    async with corner.intake(ACCOUNT_ORDER):
        await corner.until_open(0, 3)
        await corner.until_status(0, 1, WorkflowExecutionStatus.COMPLETED)
        assert await corner.status(0, 2) is None
        assert await corner.committed() == {}
        await corner.finish(0, 0)
        await corner.until_committed({0: 3})
        await corner.finish(0, 3)
        await corner.until_committed({0: 4})


async def test_no_more_workflows_are_in_flight_than_allowed_and_no_partition_is_starved(
    make_corner: CornerMaker,
) -> None:
    corner = await make_corner(2)
    await corner.produce(0, ["slow"] * 40)
    await corner.produce(1, ["slow"] * 3)
    async with corner.intake({"RECHARGE_INGEST__ORDERING": "none", "RECHARGE_INGEST__MAX_IN_FLIGHT": "2"}):
        await corner.until_drained()
    await wait_until(lambda: _listed(corner, 43), FINAL_TIMEOUT_S, "43 runs are listed", interval_s=0.1)
    runs = await corner.runs()
    edges = sorted(
        [(run.start_time, 1) for run in runs] + [(run.close_time, -1) for run in runs if run.close_time is not None]
    )
    in_flight, most = 0, 0
    for _, step in edges:
        in_flight += step
        most = max(most, in_flight)
    assert most <= 2
    first_of_small = min(run.start_time for run in runs if ":1:" in run.id)
    assert sum(run.start_time < first_of_small for run in runs) <= 4


async def _listed(corner: Corner, count: int) -> bool:
    runs = await corner.runs()
    return len(runs) == count and all(run.close_time is not None for run in runs)


# --- Never lost, never started twice ----------------------------------------------------------------------------------


async def test_an_intake_killed_between_start_and_commit_attaches_to_what_it_started(corner: Corner) -> None:
    await corner.produce(0, ["succeeded", "wait", "succeeded"])
    first = corner.site.spawn("ingest", env=STATIC_MEMBER)
    await corner.until_open(0, 1)
    first.kill()
    second = corner.site.spawn("ingest", env=STATIC_MEMBER)
    await wait_until(
        lambda: "record attached" in second.log_file.read_text(),
        FINAL_TIMEOUT_S,
        "the workflow is attached to",
        process=second,
    )
    assert await corner.status(0, 2) is None
    await corner.finish(0, 1)
    await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 3})
    assert await second.terminate(30) == 0


async def test_an_intake_killed_again_and_again_loses_nothing_and_starts_nothing_twice(
    make_corner: CornerMaker,
) -> None:
    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["slow"] * 40)
    for kills in range(4):
        process = corner.site.spawn("ingest", env=STATIC_MEMBER)
        wanted = (kills + 1) * 12
        await wait_until(
            functools.partial(_started, corner, wanted), FINAL_TIMEOUT_S, f"{wanted} have started", process=process
        )
        process.kill()
    corner.site.spawn("ingest", env=STATIC_MEMBER)
    await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 40, 1: 40})


async def _started(corner: Corner, count: int) -> bool:
    return len(await corner.runs()) >= count


async def test_records_that_are_read_again_attach_to_their_workflows(corner: Corner) -> None:
    await corner.produce(0, ["succeeded"] * 20 + ["rejected"])
    async with corner.intake():
        await corner.until_drained()
    await corner.move_group({0: 0})
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_drained()
    assert len(logged(logs, "record attached")) == 21
    assert not logged(logs, "record started")
    await corner.assert_each_ran_once_in_order({0: 21})
    assert len(await corner.stack.kafka.read_all(f"{corner.site.topic}.dlt")) == 2


async def test_a_rebalance_with_work_in_flight_loses_nothing(make_corner: CornerMaker) -> None:
    corner = await make_corner(4)
    for partition in range(4):
        await corner.produce(partition, ["slow"] * 40)
    async with corner.intake():
        await wait_until(lambda: _started(corner, 20), FINAL_TIMEOUT_S, "the first has begun", interval_s=0.1)
        async with corner.intake():
            await wait_until(lambda: _started(corner, 90), FINAL_TIMEOUT_S, "both have worked", interval_s=0.1)
        await corner.until_drained()
    await corner.assert_each_ran_once_in_order(dict.fromkeys(range(4), 40))


async def test_a_partition_that_stays_ours_in_a_rebalance_keeps_what_is_in_flight(make_corner: CornerMaker) -> None:
    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["succeeded", "wait", "succeeded"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            for partition in (0, 1):
                await corner.until_open(partition, 1)
            async with corner.intake():
                await wait_until(
                    lambda: any(line["kept"] for line in logged(logs, "partition assigned")),
                    FINAL_TIMEOUT_S,
                    "one is kept",
                )
                for partition in (0, 1):
                    await corner.finish(partition, 1)
                await corner.until_drained()
    kept = next(line["partition"] for line in logged(logs, "partition assigned") if line["kept"])
    assert [line["partition"] for line in logged(logs, "record attached")] == [1 - kept]


# --- Consumed only when done ------------------------------------------------------------------------------------------


async def test_a_stop_lets_what_is_in_flight_end_and_commits_it(corner: Corner) -> None:
    await corner.produce(0, ["wait", "succeeded"])
    process = corner.site.spawn("ingest")
    await corner.until_open(0, 0)
    stopped = asyncio.create_task(process.terminate(30))
    await wait_until(lambda: "stopping" in process.log_file.read_text(), FINAL_TIMEOUT_S, "it stops", process=process)
    await corner.finish(0, 0)
    assert await stopped == 0
    assert await corner.committed() == {0: 1}
    assert await corner.status(0, 1) is None
    # It left the group, so that the next one need not wait for its session to end.
    async with corner.intake():
        await corner.until_committed({0: 2}, timeout_s=limits.KAFKA_SESSION_TIMEOUT_S / 2)


async def test_a_transactions_gaps_are_passed_and_aborted_records_never_start(corner: Corner) -> None:
    producer = AIOKafkaProducer(**corner.stack.kafka.client_options(), transactional_id=f"{corner.site.topic}-tx")
    await producer.start()
    try:
        for commits in (True, False, True, False):
            await producer.begin_transaction()
            for _ in range(3):
                await producer.send_and_wait(corner.site.topic, value(), partition=0)
            await (producer.commit_transaction() if commits else producer.abort_transaction())
    finally:
        await producer.stop()
    async with corner.intake():
        # Four transactions of three records, each with a marker, and the last one aborted.
        await corner.until_committed({0: 16})
    runs = await corner.runs()
    assert sorted(int(run.id.rsplit(":", 1)[1]) for run in runs) == [0, 1, 2, 8, 9, 10]


async def test_an_offset_is_committed_only_after_its_dead_letter_is_acknowledged(
    corner: Corner, quick_polls: None
) -> None:
    del quick_polls
    raw = b"\xff" * 2000
    await _limit_dead_letters(corner, "500")
    await corner.stack.kafka.produce(corner.site.topic, [(b"\x00key", raw, 0, [("app", b"one"), ("app", None)])])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "lane is held"), FINAL_TIMEOUT_S, "the dead letter is refused")
            assert await corner.status(0, 0) is WorkflowExecutionStatus.COMPLETED
            assert await corner.committed() == {}
            await _limit_dead_letters(corner, "1000000")
            await corner.until_drained()
    assert "max.message.bytes" in logged(logs, "lane is held")[0]["problem"]
    (letter,) = await corner.stack.kafka.read_all(f"{corner.site.topic}.dlt")
    assert (letter.key, letter.value) == (b"\x00key", raw)
    assert letter.headers[:2] == (("app", b"one"), ("app", None))
    texts = dict(letter.headers[2:])
    assert texts["recharge-state"] == b"invalid"
    assert texts["recharge-reason"]
    assert texts["recharge-workflow-id"] == corner.workflow_id(0, 0).encode()
    position = [texts[f"recharge-{name}"] for name in ("source", "topic", "partition", "offset")]
    assert position == [corner.site.source.encode(), corner.site.topic.encode(), b"0", b"0"]
    assert len(texts["recharge-fingerprint"] or b"") == 64


async def _limit_dead_letters(corner: Corner, bytes_max: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, f"{corner.site.topic}.dlt", {"max.message.bytes": bytes_max})
    async with corner.kafka_admin() as admin:
        await admin.alter_configs([resource])


async def test_a_record_of_nothing_at_all_has_a_dead_letter_too(corner: Corner) -> None:
    # aiokafka's producer refuses such a record, so the value is an empty one with the header of a tombstone's client.
    producer = AIOKafkaProducer(**corner.stack.kafka.client_options())
    await producer.start()
    try:
        batch = producer.create_batch()
        assert batch.append(key=None, value=None, timestamp=None) is not None
        await (await producer.send_batch(batch, corner.site.topic, partition=0))
    finally:
        await producer.stop()
    async with corner.intake():
        await corner.until_drained()
    (letter,) = await corner.stack.kafka.read_all(f"{corner.site.topic}.dlt")
    assert (letter.key, letter.value) == (None, b"")
    assert dict(letter.headers)["recharge-null-value"] == b"true"


async def test_a_large_backlog_is_read_within_the_limits(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUFFERED_RECORDS_MAX", 10)
    await corner.produce(0, ["succeeded"] * 60)
    async with corner.intake():
        await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 60})


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
            await wait_until(lambda: len(logged(logs, "record started")) == 2, FINAL_TIMEOUT_S, "it starts again")
            await corner.finish(0, 0)
            await corner.until_drained()


async def _delete(corner: Corner, partition: int, offset: int) -> None:
    await corner.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=corner.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=corner.workflow_id(partition, offset)),
        )
    )


@pytest.mark.parametrize("wish", ["wait", "succeeded"])
async def test_another_record_at_the_same_position_stops_its_partition_alone(
    make_corner: CornerMaker, wish: str
) -> None:
    corner = await make_corner(2)
    foreign = record(corner.site.source, 1, value(test=wish, amount="99"), topic=corner.site.topic)
    starter = Starter(corner.client, task_queue=corner.site.task_queue, hash_key=b"another key", eager=False)
    waiting = asyncio.create_task(starter.carry_out(foreign, None))
    await wait_until(lambda: _started(corner, 1), FINAL_TIMEOUT_S, "the foreign workflow has started", interval_s=0.1)
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
    if wish == "wait":
        await corner.finish(0, 1)
    assert (await waiting).fingerprint == foreign.fingerprint


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
    assert f"offset {offset}" in stopped["problem"]
    assert all(run.id.split(":")[2] == "1" for run in await corner.runs())


async def _delete_before(corner: Corner, partition: int, offset: int) -> None:
    async with corner.kafka_admin() as admin:
        await admin.delete_records(
            {TopicPartition(corner.site.topic, partition): RecordsToDelete(before_offset=offset)}
        )


# --- Servers that are not there ---------------------------------------------------------------------------------------


async def test_a_broker_that_is_not_there_is_waited_for(corner: Corner) -> None:
    await corner.produce(0, ["succeeded"] * 3)
    corner.stack.kafka.kill()
    try:
        with structlog.testing.capture_logs() as logs:
            async with corner.intake():
                await wait_until(lambda: logged(logs, "Kafka cannot be used"), FINAL_TIMEOUT_S, "the intake waits")
                await corner.stack.kafka.restart()
                await corner.until_drained()
    finally:
        if corner.stack.kafka.process.returncode is not None:
            await corner.stack.kafka.restart()
    assert len(logged(logs, "Kafka cannot be used")) == len(logged(logs, "Kafka can be used again")) == 1


async def test_a_broker_that_dies_in_the_middle_costs_nothing(corner: Corner) -> None:
    await corner.produce(0, ["slow"] * 60)
    async with corner.intake():
        await wait_until(lambda: _started(corner, 10), FINAL_TIMEOUT_S, "it has begun", interval_s=0.1)
        corner.stack.kafka.kill()
        await corner.stack.kafka.restart()
        await corner.until_drained(90)
    await corner.assert_each_ran_once_in_order({0: 60})


async def test_temporal_that_is_away_for_a_while_is_waited_for(corner: Corner) -> None:
    await corner.produce(0, ["slow"] * 40)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: _started(corner, 5), FINAL_TIMEOUT_S, "it has begun", interval_s=0.1)
            corner.stack.temporal.kill()
            await wait_until(lambda: logged(logs, "Temporal does not answer"), FINAL_TIMEOUT_S, "the intake waits")
            await corner.stack.temporal.restart()
            await corner.until_drained(90)
    assert logged(logs, "Temporal answers again")
    await corner.assert_each_ran_once_in_order({0: 40})


async def test_a_namespace_without_our_search_attributes_is_refused_in_one_line(corner: Corner) -> None:
    name = f"bare-{corner.site.topic}"
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromSeconds(86_400)
    await corner.client.workflow_service.register_namespace(request)
    client = await Client.connect(corner.stack.temporal.address, namespace=name)
    starter = Starter(client, task_queue="none", hash_key=b"another key", eager=False)
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
        await intake(client, corner.settings(), eager=False).run(asyncio.Event())


# --- What stands in Temporal ------------------------------------------------------------------------------------------


async def test_a_workflow_can_be_found_and_read_without_any_number_in_clear(corner: Corner) -> None:
    await corner.stack.kafka.produce(corner.site.topic, [(b"key", value(), 0, []), (None, b"no JSON", 0, [])])
    async with corner.intake():
        await corner.until_drained()
    valid = await corner.client.get_workflow_handle(corner.workflow_id(0, 0)).describe()
    attributes = {pair.key.name: pair.value for pair in valid.typed_search_attributes}
    assert attributes["RechargeStatus"] == "sending"
    assert attributes["RechargeTopic"] == corner.site.topic
    assert (attributes["RechargePartition"], attributes["RechargeOffset"]) == (0, 0)
    assert len(attributes["RechargeKey"]) == 64
    assert {len(each) for each in attributes["RechargeAccounts"]} == {64}
    summary = await valid.static_summary()
    assert summary is not None
    assert "34600" not in summary
    assert "10.50 EUR" in summary
    invalid = await corner.client.get_workflow_handle(corner.workflow_id(0, 1)).describe()
    names = {pair.key.name for pair in invalid.typed_search_attributes}
    assert not names & {"RechargeKey", "RechargeAccounts"}
    assert (await invalid.static_summary() or "").startswith("Invalid record")
