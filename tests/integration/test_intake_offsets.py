"""What the intake commits, and where it begins: nothing that was final is started again, and nothing is passed unread."""

import asyncio
from collections.abc import Mapping

import pytest
import structlog.testing
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.structs import OffsetAndMetadata
from temporalio.client import WorkflowExecutionStatus

from devstack.processes import ManagedProcess, wait_until
from ingest import partition as ingest_partition
from ingest import pause
from ingest.commit_metadata import CompletedRange, decode, encode
from ingest.kafka import Cluster, RecordReader
from ingest.kafka_words import InstanceTaken
from operations.audit.temporal import TemporalBook
from recharge import limits
from recharge.contract import Position, intake_workflow_id
from tests.integration.conftest import CornerMaker
from tests.support.intake import FINAL_TIMEOUT_S, Corner, logged
from tests.support.records import value
from tests.support.service import log_lines, logged_by, stopped, until_logged

NO_ORDER = {"RECHARGE_INGEST__ORDERING": "none"}
ACCOUNT_ORDER = {"RECHARGE_INGEST__ORDERING": "account"}
LATEST = {"RECHARGE_INGEST__FIRST_START": "latest"}
STATIC_MEMBER = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "test-0"}


async def committed_with_metadata(corner: Corner) -> dict[int, tuple[int, str]]:
    async with Cluster(corner.settings().kafka) as cluster:
        return await cluster.committed(sorted(await cluster.leaders(corner.site.topic)))


async def until_completed_up_to(corner: Corner, offset: int, last: int) -> None:
    """Wait until this offset is committed for partition 0, with one completed range behind it that ends at `last`."""

    async def as_expected() -> bool:
        committed = (await committed_with_metadata(corner)).get(0)
        if committed is None or committed[0] != offset:
            return False
        ranges = decode(committed[1], position(corner, offset)).ranges
        return [(each.first, each.last) for each in ranges] == [(offset + 1, last)]

    await wait_until(as_expected, FINAL_TIMEOUT_S, f"{offset + 1} to {last} are committed as completed", interval_s=0.1)


def position(corner: Corner, offset: int) -> Position:
    return Position(corner.site.source, corner.site.topic, 0, offset)


async def commit_as_an_operator(corner: Corner, commits: Mapping[int, tuple[int, str]]) -> None:
    consumer = AIOKafkaConsumer(
        **corner.stack.kafka.client_options(), group_id=corner.site.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        at = {number: TopicPartition(corner.site.topic, number) for number in commits}
        consumer.assign(list(at.values()))
        await consumer.commit({at[number]: OffsetAndMetadata(*commit) for number, commit in commits.items()})
    finally:
        await consumer.stop()


async def lose_the_groups_offsets(corner: Corner) -> None:
    client = AIOKafkaClient(**corner.stack.kafka.client_options())
    await client.bootstrap()
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, corner.site.group)
        response = await client.send(coordinator, DeleteGroupsRequest([corner.site.group]))
    finally:
        await client.close()
    assert [error_code for _, error_code in response.results] == [0]


async def started(corner: Corner) -> set[tuple[int, int]]:
    """Partition and offset of each record that has a workflow, once visibility has caught up with the commits."""
    ids = [run.id.split(":") for run in await corner.runs()]
    return {(int(partition), int(offset)) for _, _, partition, offset in ids}


# --- Completed ranges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [NO_ORDER, ACCOUNT_ORDER], ids=["none", "account"])
async def test_a_restart_starts_none_of_the_records_again_that_were_final_behind_one_that_blocks(
    corner: Corner, order: dict[str, str]
) -> None:
    await corner.produce(0, ["wait"], accounts=("11111", "22222"))
    others = [
        value(test="succeeded", phoneNumberDonor=f"3333{number:02}", phoneNumberReceiver=f"4444{number:02}")
        for number in range(60)
    ]
    await corner.stack.kafka.produce(corner.site.topic, [(b"key", raw, 0, []) for raw in others])
    async with corner.intake(order):
        await until_completed_up_to(corner, 0, 60)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(order):
            await wait_until(
                lambda: logged(logs, "record attached"), FINAL_TIMEOUT_S, "the blocking one is attached to"
            )
            await corner.produce(0, ["succeeded"], accounts=("55555", "66666"))
            await corner.until_status(0, 61, WorkflowExecutionStatus.COMPLETED)
            await corner.finish(0, 0)
            await corner.until_drained()
    assert [line["offset"] for line in logged(logs, "record attached")] == [0]
    assert [line["offset"] for line in logged(logs, "record started")] == [61]
    assert len(await corner.runs()) == 62


async def test_completed_ranges_outlive_a_kill_and_a_second_restart(corner: Corner) -> None:
    await corner.produce(0, ["wait", *["succeeded"] * 40])
    environment = NO_ORDER | STATIC_MEMBER
    first = corner.site.spawn("ingest", env=environment)
    await until_completed_up_to(corner, 0, 40)
    await first.kill_and_wait()
    second = corner.site.spawn("ingest", env=environment)
    await until_logged(second, "record attached", offset=0)
    await second.kill_and_wait()
    third = corner.site.spawn("ingest", env=environment)
    await until_logged(third, "record attached", offset=0)
    await corner.finish(0, 0)
    await corner.until_drained()
    for process in (second, third):
        assert [line["offset"] for line in logged_by(process, "record attached")] == [0]
        assert not logged_by(process, "record started")
    await stopped([third])


async def test_a_range_whose_records_are_others_now_is_started(corner: Corner) -> None:
    await corner.produce(0, ["succeeded"] * 10)
    wrong = encode(position(corner, 0), [CompletedRange(2, 4, 1), CompletedRange(6, 6, 2)])
    await commit_as_an_operator(corner, {0: (0, wrong)})
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(NO_ORDER):
            await corner.until_drained()
    assert len(logged(logs, "completed range ignored")) == 2
    assert sorted(line["offset"] for line in logged(logs, "record started")) == list(range(10))


@pytest.mark.parametrize("kind", ["foreign", "damaged", "beyond the end"])
async def test_metadata_that_is_not_ours_is_ignored_with_a_warning(corner: Corner, kind: str) -> None:
    await corner.produce(0, ["succeeded"] * 5)
    ranges = [CompletedRange(1, 3, 1)]
    metadata = {
        "foreign": encode(Position("elsewhere", corner.site.topic, 0, 0), ranges),
        "damaged": encode(position(corner, 0), ranges)[:-1],
        "beyond the end": encode(position(corner, 0), [CompletedRange(1, 5, 1)]),
    }[kind]
    await commit_as_an_operator(corner, {0: (0, metadata)})
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(NO_ORDER):
            await corner.until_drained()
    (ignored,) = logged(logs, "metadata of the committed offset ignored")
    assert {"foreign": "elsewhere", "damaged": "damaged", "beyond the end": "ends at 5"}[kind] in ignored["problem"]
    assert len(logged(logs, "record started")) == 5


async def test_offsets_are_committed_where_the_broker_refuses_the_metadata(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the broker keeps, as ours would be where it was told to keep less.
    monkeypatch.setattr(ingest_partition, "encode", lambda *_: "x" * (limits.COMMIT_METADATA_CHARS_MAX + 1))
    await corner.produce(0, ["succeeded"] * 5)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_drained()
    (said,) = logged(logs, "completed ranges are not kept")
    assert "offset.metadata.max.bytes" in said["problem"]


# --- The final distance -----------------------------------------------------------------------------------------------


async def test_no_record_becomes_final_further_than_the_limit_beyond_the_one_that_blocks(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FINAL_DISTANCE_MAX", 20)
    await corner.produce(0, ["wait", *["succeeded"] * 60])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(NO_ORDER):
            await wait_until(
                lambda: logged(logs, "partition is not read"), FINAL_TIMEOUT_S, "it is stopped at the limit"
            )
            await wait_until(
                lambda: len(logged(logs, "record done")) >= 20, FINAL_TIMEOUT_S, "up to the limit all is done"
            )
            await until_completed_up_to(corner, 0, 20)
            assert {line["offset"] for line in logged(logs, "record started")} == set(range(21))
            await corner.finish(0, 0)
            await corner.until_drained()
    (stopped_at,) = logged(logs, "partition is not read")
    assert stopped_at["blocked_by"] == corner.workflow_id(0, 0)
    assert stopped_at["blocked_s"] >= 0
    assert len(logged(logs, "partition is read again")) == 1


# --- The first start --------------------------------------------------------------------------------------------------


@pytest.fixture
async def latest(make_corner: CornerMaker) -> Corner:
    """A site with two partitions that hold five records, at whose ends an intake has begun and stopped."""
    corner = await make_corner(2)
    await corner.produce(0, ["succeeded"] * 3)
    await corner.produce(1, ["succeeded"] * 2)
    async with corner.intake(LATEST):
        await corner.until_committed({0: 3, 1: 2})
        await corner.produce(0, ["succeeded"])
        await corner.until_committed({0: 4, 1: 2})
    return corner


async def test_latest_begins_at_the_end_once_and_never_again(latest: Corner) -> None:
    assert await started(latest) == {(0, 3)}
    await latest.produce(0, ["succeeded"])
    await latest.produce(1, ["succeeded"])
    async with latest.kafka_admin() as admin:
        await admin.create_partitions({latest.site.topic: NewPartitions(total_count=3)})
    await latest.produce(2, ["succeeded"] * 2)
    async with latest.intake(LATEST):
        # What came while nobody read, and a partition that came later, from its start.
        await latest.until_committed({0: 5, 1: 3, 2: 2})


async def test_where_the_intake_began_stands_in_temporal_for_ever(latest: Corner) -> None:
    handle = latest.client.get_workflow_handle(intake_workflow_id(latest.site.source, latest.site.topic))
    described = await handle.describe()
    assert described.workflow_type == "RechargeIntake"
    assert described.status is WorkflowExecutionStatus.RUNNING
    assert described.raw_description.execution_config.workflow_execution_timeout.ToSeconds() == 0
    memo = await described.memo()
    assert memo["first_start"] == "latest"
    assert memo["first_offsets"] == {"0": 3, "1": 2}
    assert memo["by"]
    assert memo["at"]


async def test_a_group_that_lost_its_offsets_begins_where_it_began_and_attaches(latest: Corner) -> None:
    assert await started(latest) == {(0, 3)}
    await lose_the_groups_offsets(latest)
    with structlog.testing.capture_logs() as logs:
        async with latest.intake(LATEST):
            await latest.until_committed({0: 4, 1: 2})
    assert len(logged(logs, "the group has no committed offsets")) == 1
    assert [line["offset"] for line in logged(logs, "record attached")] == [3]
    assert not logged(logs, "record started")


async def test_where_the_intake_began_is_known_although_somebody_paused_the_workflow_that_records_it(
    latest: Corner,
) -> None:
    await latest.pause_in_temporal(intake_workflow_id(latest.site.source, latest.site.topic))
    await lose_the_groups_offsets(latest)
    async with latest.intake(LATEST):
        await latest.until_committed({0: 4, 1: 2})
    assert await started(latest) == {(0, 3)}
    book = TemporalBook(latest.client, latest.site.source, latest.site.topic)
    assert await book.first_offsets() == {0: 3, 1: 2}


async def test_a_group_that_lost_its_offsets_under_earliest_begins_again_with_a_warning(corner: Corner) -> None:
    await corner.produce(0, ["succeeded"] * 3)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_drained()
    assert not logged(logs, "the group has no committed offsets")
    await lose_the_groups_offsets(corner)
    with structlog.testing.capture_logs() as logs:
        # `latest` comes too late: the intake has begun.
        async with corner.intake(LATEST):
            await corner.until_drained()
    assert len(logged(logs, "the group has no committed offsets")) == 1
    assert len(logged(logs, "record attached")) == 3


async def test_two_intakes_that_begin_at_the_same_time_begin_at_the_same_offsets(make_corner: CornerMaker) -> None:
    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["succeeded"] * 3)
    async with corner.intake(LATEST), corner.intake(LATEST):
        await corner.until_committed({0: 3, 1: 3})
        for partition in (0, 1):
            await corner.produce(partition, ["succeeded"] * 2)
        await corner.until_drained()
    assert await started(corner) == {(0, 3), (0, 4), (1, 3), (1, 4)}


async def test_the_start_of_a_partition_is_committed_before_any_record_is_final(corner: Corner) -> None:
    await corner.produce(0, ["wait"])
    async with corner.intake():
        await corner.until_open(0, 0)
        assert await corner.stack.kafka.committed(corner.site.group, corner.site.topic) == {0: 0}
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "record attached"), FINAL_TIMEOUT_S, "it goes on")
    assert not logged(logs, "the group has no committed offsets")


async def test_first_offsets_are_not_committed_over_those_of_a_group_with_members(corner: Corner) -> None:
    await corner.produce(0, ["succeeded"] * 3)
    async with corner.intake():
        await corner.until_drained()
        async with Cluster(corner.settings().kafka) as cluster:
            assert not await cluster.commit_while_stopped({0: 1})
        assert await corner.committed() == {0: 3}
    async with Cluster(corner.settings().kafka) as cluster:
        assert await cluster.commit_while_stopped({0: 1})
    assert await corner.committed() == {0: 1}


# --- Retention --------------------------------------------------------------------------------------------------------


async def keep_for_four_seconds(corner: Corner) -> None:
    """Kafka looks once in five minutes for what it may delete, so nothing is."""
    resource = ConfigResource(ConfigResourceType.TOPIC, corner.site.topic, {"retention.ms": "4000"})
    async with corner.kafka_admin() as admin:
        await admin.alter_configs([resource])


async def test_a_record_that_blocks_for_half_of_the_retention_is_an_alarm_until_it_is_final(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RETENTION_CHECK_INTERVAL_S", 0.2)
    await keep_for_four_seconds(corner)
    await corner.produce(0, ["wait"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "Kafka will delete"), FINAL_TIMEOUT_S, "the alarm is raised")
            await corner.finish(0, 0)
            await wait_until(lambda: logged(logs, "Kafka's retention is far"), FINAL_TIMEOUT_S, "the alarm is over")
    (alarm,) = logged(logs, "Kafka will delete")
    assert alarm["workflow_id"] == corner.workflow_id(0, 0)
    assert alarm["log_level"] == "error"
    assert (alarm["age_s"], alarm["retention_s"]) == (pytest.approx(2, abs=1.5), 4)


async def test_a_record_that_a_paused_intake_leaves_unread_for_half_of_the_retention_is_an_alarm_until_it_is_resumed(
    make_corner: CornerMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RETENTION_CHECK_INTERVAL_S", 0.2)
    monkeypatch.setattr(limits, "PAUSE_POLL_S", 0.2)
    corner = await make_corner(2)
    await keep_for_four_seconds(corner)
    await corner.produce(0, ["succeeded"])
    async with corner.intake():
        await corner.until_committed({0: 1})
    # A poll that has begun when an intake is paused still reads, so it is paused before it begins.
    await pause.begin(corner.client, corner.site.source, by="ann", note="maintenance")
    await corner.produce(0, ["succeeded"] * 2)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "Kafka will delete"), FINAL_TIMEOUT_S, "the alarm is raised")
            paused = await pause.read(corner.client, corner.site.source)
            assert paused is not None
            await pause.end(corner.client, corner.site.source, paused, by="ann", note="it is over")
            await wait_until(lambda: logged(logs, "Kafka's retention is far"), FINAL_TIMEOUT_S, "the alarm is over")
            await corner.until_committed({0: 3})
    # While they are carried out, each of them may be told as one that blocks.
    alarm, *others = logged(logs, "Kafka will delete")
    assert not [other for other in others if "unread_from" in other]
    assert (alarm["partition"], alarm["unread_from"], alarm["why"]) == (0, 1, "somebody paused the intake")
    assert (alarm["log_level"], alarm["age_s_at_least"], alarm["retention_s"]) == ("error", 2, 4)


# --- One group instance id, two processes -----------------------------------------------------------------------------


def said(process: ManagedProcess) -> str:
    return process.log_file.read_text()


async def poll_for_ever(reader: RecordReader) -> None:
    while True:
        await reader.poll([0], records_max=1, timeout_s=0.1)


async def test_of_two_intakes_with_one_group_instance_id_the_older_says_so_and_stops(make_corner: CornerMaker) -> None:
    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["slow"] * 20)
    older = corner.site.spawn("ingest", env=STATIC_MEMBER)
    await until_logged(older, "record done")
    newer = corner.site.spawn("ingest", env=STATIC_MEMBER)
    assert await older.wait(60) == 1
    assert "has taken the group instance id 'test-0'" in said(older)
    assert "RECHARGE_KAFKA__GROUP_INSTANCE_ID" in said(older)
    await corner.until_drained()
    await stopped([newer])
    await corner.assert_each_ran_once_in_order({0: 20, 1: 20})


async def test_an_intake_that_lost_its_instance_id_learns_of_it_in_a_rebalance_too(make_corner: CornerMaker) -> None:
    corner = await make_corner(3)
    for partition in range(3):
        await corner.produce(partition, ["slow"] * 20)
    older = corner.site.spawn("ingest", env=STATIC_MEMBER)
    await until_logged(older, "record done")
    newer = corner.site.spawn("ingest", env=STATIC_MEMBER)
    third = corner.site.spawn("ingest")
    assert await older.wait(60) == 1
    assert "has taken the group instance id 'test-0'" in said(older)
    await corner.until_drained(90)
    assert not [line for line in log_lines(newer) if line.get("level") == "error"]
    await stopped([newer, third])
    await corner.assert_each_ran_once_in_order(dict.fromkeys(range(3), 20))


async def test_the_brokers_own_word_for_a_taken_instance_id_is_told_in_plain_words(corner: Corner) -> None:
    async def nothing() -> bool:
        return True

    kafka = corner.settings(**STATIC_MEMBER).kafka
    assigned: list[frozenset[int]] = []
    older, newer = (RecordReader(kafka, nothing, assigned.append) for _ in range(2))
    try:
        for count, reader in ((1, older), (2, newer)):
            await reader.start()
            await wait_until(lambda: len(assigned) >= count, FINAL_TIMEOUT_S, "it has joined")  # noqa: B023  # awaited at once
        # It joins again under the member id that it had, as after a change of the topic's partitions.
        older._consumer._coordinator.request_rejoin()
        with pytest.raises(InstanceTaken, match="has taken the group instance id 'test-0'"):
            await asyncio.wait_for(poll_for_ever(older), FINAL_TIMEOUT_S)
    finally:
        await older.stop()
        await newer.stop()


async def test_an_intake_that_was_frozen_past_its_session_goes_on_under_its_instance_id(corner: Corner) -> None:
    await corner.produce(0, ["slow"] * 20)
    frozen = corner.site.spawn("ingest", env=STATIC_MEMBER)
    await until_logged(frozen, "record done")
    frozen.freeze()
    try:
        async with Cluster(corner.settings().kafka) as cluster:

            async def is_forgotten() -> bool:
                return await cluster.host_of_instance("test-0") is None

            await wait_until(is_forgotten, FINAL_TIMEOUT_S, "its session has ended", interval_s=0.2)
    finally:
        frozen.thaw()
    await corner.until_drained()
    await stopped([frozen])
    await corner.assert_each_ran_once_in_order({0: 20})
