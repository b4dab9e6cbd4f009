"""The intake on real servers: in order, never lost, started once, committed only when final."""

import asyncio
import functools

import pytest
import structlog.testing
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from temporalio.client import WorkflowExecutionStatus

from devstack.processes import wait_until
from recharge import limits
from tests.integration.conftest import CornerMaker
from tests.support.intake import FINAL_TIMEOUT_S, Corner, logged, some_started
from tests.support.records import value
from tests.support.service import stopped, until_logged

ACCOUNT_ORDER = {"RECHARGE_INGEST__ORDERING": "account"}
STATIC_MEMBER = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "test-0"}


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
    await corner.produce(0, ["slow"] * 20)
    await corner.produce(1, ["slow"] * 3)
    async with corner.intake({"RECHARGE_INGEST__ORDERING": "none", "RECHARGE_INGEST__MAX_IN_FLIGHT": "2"}):
        await corner.until_drained()
    await wait_until(lambda: _listed(corner, 23), FINAL_TIMEOUT_S, "23 runs are listed", interval_s=0.1)
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
        await corner.produce(partition, ["slow"] * 16)
    for kills in range(3):
        process = corner.site.spawn("ingest", env=STATIC_MEMBER)
        wanted = (kills + 1) * 8
        await wait_until(
            functools.partial(some_started, corner, wanted), FINAL_TIMEOUT_S, f"{wanted} have started", process=process
        )
        process.kill()
    corner.site.spawn("ingest", env=STATIC_MEMBER)
    await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 16, 1: 16})


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
        await corner.produce(partition, ["slow"] * 20)
    async with corner.intake():
        await wait_until(lambda: some_started(corner, 20), FINAL_TIMEOUT_S, "the first has begun", interval_s=0.1)
        async with corner.intake():
            await wait_until(lambda: some_started(corner, 50), FINAL_TIMEOUT_S, "both have worked", interval_s=0.1)
        await corner.until_drained()
    await corner.assert_each_ran_once_in_order(dict.fromkeys(range(4), 20))


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
    make_corner: CornerMaker, quick_polls: None
) -> None:
    del quick_polls
    corner = await make_corner(2)
    raw = b"\xff" * 2000
    await _limit_dead_letters(corner, "500")
    await corner.stack.kafka.produce(corner.site.topic, [(b"\x00key", raw, 0, [("app", b"one"), ("app", None)])])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "lane is held"), FINAL_TIMEOUT_S, "the dead letter is refused")
            assert await corner.status(0, 0) is WorkflowExecutionStatus.COMPLETED
            # A commit is of all partitions, so the one that the other's record brings would be this one's, too.
            await corner.produce(1, ["succeeded"])
            await corner.until_committed({1: 1})
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


@pytest.mark.long
async def test_a_dead_letter_topic_that_is_deleted_while_it_is_needed_holds_the_offset_until_it_is_made_again(
    corner: Corner,
) -> None:
    dead_letters = f"{corner.site.topic}.dlt"
    await corner.stack.kafka.produce(corner.site.topic, [(b"key", b"first", 0, [])])
    process = corner.site.spawn("ingest")
    await corner.until_drained()
    await corner.delete_topic(dead_letters)
    await corner.stack.kafka.produce(corner.site.topic, [(b"key", b"second", 0, [])])
    await until_logged(process, f"no dead letter can be written to {dead_letters}")
    assert await corner.status(0, 1) is WorkflowExecutionStatus.COMPLETED
    assert await corner.committed() == {0: 1}
    await corner.stack.kafka.create_topic(corner.site.topic, 1)
    await corner.until_drained()
    (letter,) = await corner.stack.kafka.read_all(dead_letters)
    assert letter.value == b"second"
    await stopped([process])


async def _limit_dead_letters(corner: Corner, bytes_max: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, f"{corner.site.topic}.dlt", {"max.message.bytes": bytes_max})
    async with corner.kafka_admin() as admin:
        await admin.alter_configs([resource])


async def test_a_record_of_nothing_at_all_has_a_dead_letter_too(corner: Corner) -> None:
    # aiokafka's send refuses such a record, so it is put into a batch of its own.
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
