"""Several ingesters, and what their group goes through: nothing is lost, the order is kept, and what cannot heal is said in one line."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog.testing
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from temporalio.client import WorkflowExecutionStatus

from app.ingest import intake
from devstack.kafka_access import AccessRule, Operation
from devstack.processes import ManagedProcess, wait_until
from ingest import partition as ingest_partition
from ingest.kafka import RecordReader, connection
from ingest.kafka_words import AssignmentLost, PermissionMissing, TopicCompacted, TopicMissing
from ingest.partition import AssignedPartition
from recharge import limits
from tests.integration.conftest import CornerMaker
from tests.support.group_trouble import coordinator, dead_letter_rule, group_rule, revoke, topic_rule
from tests.support.intake import FINAL_TIMEOUT_S, Corner, logged
from tests.support.records import value
from tests.support.service import logged_by, stopped, until_logged

NO_ORDER = {"RECHARGE_INGEST__ORDERING": "none"}
STATIC_MEMBER = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "test-0"}
RECORDS = 30
"""Records of each partition under load."""

# --- Members come and go ----------------------------------------------------------------------------------------------


async def test_ingesters_added_removed_killed_and_frozen_under_load_lose_nothing_and_keep_the_order(
    make_corner: CornerMaker,
) -> None:
    counts = dict.fromkeys(range(5), RECORDS) | {5: 4}
    corner = await make_corner(len(counts))
    for partition in range(5):
        await corner.produce(partition, ["slow"] * RECORDS)
    await corner.produce(5, ["wait", "slow", "slow", "slow"])
    one, removed = corner.site.spawn("ingest"), corner.site.spawn("ingest")
    await corner.until_open(5, 0)
    frozen = corner.site.spawn("ingest")
    await until_logged(frozen, "partition assigned")
    await stopped([removed])
    last = corner.site.spawn("ingest")
    await until_logged(last, "partition assigned")
    frozen.freeze()
    one.kill()
    try:
        # Their sessions have to run out before anybody else gets what they had.
        await until_has_every_partition(last, len(counts))
        # The old owner started it, so the new one awaits it before its successors start.
        await until_logged(last, "record attached", partition=5, offset=0)
        assert await corner.status(5, 1) is None
        assigned_before = len(logged_by(frozen, "partition assigned"))
    finally:
        # What it had in flight became final in the meantime, by somebody else's hand.
        frozen.thaw()
    await wait_until(
        lambda: len(logged_by(frozen, "partition assigned")) > assigned_before,
        FINAL_TIMEOUT_S,
        "the one that was frozen has joined again",
        process=frozen,
    )
    await corner.finish(5, 0)
    await corner.until_drained(90)
    await corner.assert_each_ran_once_in_order(counts)
    await stopped([frozen, last])
    for process in (one, removed, frozen, last):
        assert not logged_by(process, "partition stands still")


async def until_has_every_partition(process: ManagedProcess, count: int) -> None:
    def has_them() -> bool:
        has: set[int] = set()
        for line in logged_by(process, "partition "):
            if line["event"] == "partition assigned":
                has.add(line["partition"])
            elif line["event"] == "partition given away":
                has.discard(line["partition"])
        return has == set(range(count))

    await wait_until(has_them, FINAL_TIMEOUT_S, f"{process.name} has {count} partitions", process=process)


async def test_a_member_whose_session_is_over_joins_again_and_loses_nothing(make_corner: CornerMaker) -> None:
    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["slow"] * 30)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(), coordinator(corner) as group:
            await wait_until(lambda: len(logged(logs, "record done")) >= 6, FINAL_TIMEOUT_S, "it is in the middle")
            (member,) = await wait_until(group.members, FINAL_TIMEOUT_S, "it is a member", interval_s=0.05)
            await group.put_out(member)
            (again,) = await wait_until(
                lambda: others(group.members, member), FINAL_TIMEOUT_S, "it has joined again", interval_s=0.05
            )
            assert again != member
            await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 30, 1: 30})
    # Nobody else had its partitions in between, so what was in flight went on.
    assert [line["kept"] for line in logged(logs, "partition assigned")] == [False, False, True, True]
    assert not logged(logs, "record attached")


async def others(members: Callable[[], Any], known: str) -> list[str]:
    return [member for member in await members() if member != known]


async def test_a_commit_of_a_member_that_was_put_out_is_refused_and_moves_nothing(corner: Corner) -> None:
    await corner.produce(0, ["succeeded"] * 5)
    assigned: list[frozenset[int]] = []

    async def given_back() -> bool:
        return True

    reader = RecordReader(corner.settings().kafka, given_back, assigned.append)
    await reader.start()
    try:
        await wait_until(lambda: assigned, FINAL_TIMEOUT_S, "it has joined")
        await reader.commit({0: (4, "")})
        async with coordinator(corner) as group:
            for member in await wait_until(group.members, FINAL_TIMEOUT_S, "it is a member", interval_s=0.05):
                await group.put_out(member)
        with pytest.raises(AssignmentLost, match="changed hands while committing offsets"):
            await reader.commit({0: (1, "")})
    finally:
        await reader.stop()
    assert await corner.committed() == {0: 4}


async def test_partitions_added_while_it_runs_are_read_from_their_start(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Asked for every minute otherwise.
    monkeypatch.setattr(connection, "_METADATA_AGE_S", 0.5)
    await corner.produce(0, ["wait", "succeeded"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake({"RECHARGE_INGEST__FIRST_START": "latest"} | NO_ORDER):
            await wait_until(lambda: logged(logs, "partition assigned"), FINAL_TIMEOUT_S, "it has begun")
            await corner.produce(0, ["wait"])
            await corner.until_open(0, 2)
            async with corner.kafka_admin() as admin:
                await admin.create_partitions({corner.site.topic: NewPartitions(total_count=3)})
            for partition in (1, 2):
                await corner.produce(partition, ["succeeded"] * 3)
            await corner.until_committed({0: 2, 1: 3, 2: 3})
            await corner.finish(0, 2)
            await corner.until_drained()
    # The one that was there went on with what it had in flight.
    assert len([line for line in logged(logs, "record started") if line["partition"] == 0]) == 1
    assert not logged(logs, "record attached")


async def test_partitions_added_after_a_restart_of_the_groups_static_leader_are_read(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_METADATA_AGE_S", 0.5)
    await corner.produce(0, ["succeeded"])
    async with corner.intake(STATIC_MEMBER):
        await corner.until_drained()
    # It has not left the group, and takes its place again without a rebalance.
    async with corner.intake(STATIC_MEMBER):
        await corner.produce(0, ["succeeded"])
        await corner.until_drained()
        async with corner.kafka_admin() as admin:
            await admin.create_partitions({corner.site.topic: NewPartitions(total_count=3)})
        for partition in (1, 2):
            await corner.produce(partition, ["succeeded"] * 3)
        await corner.until_drained()


# --- A stop -----------------------------------------------------------------------------------------------------------


async def test_a_stop_waits_no_longer_than_its_limit_commits_what_is_final_and_leaves_the_rest_to_the_next(
    corner: Corner,
) -> None:
    await corner.produce(0, ["wait", *["succeeded"] * 5])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(NO_ORDER):
            await wait_until(lambda: len(logged(logs, "record done")) == 5, FINAL_TIMEOUT_S, "five are final")
            await corner.produce(0, ["succeeded"])
            await wait_until(lambda: len(logged(logs, "record done")) == 6, FINAL_TIMEOUT_S, "six are final")
            began_s = time.monotonic()
    took_s = time.monotonic() - began_s
    assert limits.STOP_TIMEOUT_S <= took_s < limits.STOP_TIMEOUT_S + 5
    (said,) = logged(logs, "intake stops")
    assert said["in_flight"] == 1
    await corner.produce(0, ["succeeded"])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(NO_ORDER):
            await corner.until_status(0, 7, WorkflowExecutionStatus.COMPLETED)
            await corner.finish(0, 0)
            await corner.until_drained()
    assert [line["offset"] for line in logged(logs, "record attached")] == [0]
    assert [line["offset"] for line in logged(logs, "record started")] == [7]


# --- What waiting cannot heal -----------------------------------------------------------------------------------------


async def how_it_ends(corner: Corner, spoil: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Run an intake until all is final, spoil something, and wait for its end."""
    # With a stable name its successor goes on at once, although it could not leave the group.
    ingester = intake(corner.client, corner.settings(**STATIC_MEMBER), beside=None)
    running = asyncio.create_task(ingester.run(asyncio.Event()))
    try:
        await corner.until_drained()
        await spoil()
        await asyncio.wait({running}, timeout=FINAL_TIMEOUT_S)
    finally:
        running.cancel()
        (problem,) = await asyncio.gather(running, return_exceptions=True)
    return problem


@pytest.mark.parametrize(
    ("rule", "operation", "named"),
    [
        (topic_rule, Operation.READ, "Read on topic"),
        (group_rule, Operation.READ, "Read on group"),
        (dead_letter_rule, Operation.WRITE, "Write on topic"),
    ],
    ids=["topic", "group", "dead letters"],
)
async def test_a_permission_that_is_taken_away_while_it_runs_ends_it_in_one_line_and_a_grant_lets_it_go_on(
    corner: Corner, rule: Callable[[Corner, Operation], AccessRule], operation: Operation, named: str
) -> None:
    taken = rule(corner, operation)
    await corner.produce(0, ["rejected"])

    async def revoke_and_produce() -> None:
        await revoke(corner, taken)
        await corner.produce(0, ["rejected"] * 3)

    refused = await how_it_ends(corner, revoke_and_produce)
    assert isinstance(refused, PermissionMissing)
    assert f"lacks the permission {named} {taken.resource_name!r}" in str(refused)
    assert "\n" not in str(refused)
    await corner.stack.kafka.create_topic(corner.site.topic, 1)
    await corner.stack.kafka.grant_group(corner.site.group)
    async with corner.intake(STATIC_MEMBER):
        await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: 4})
    letters = await corner.stack.kafka.read_all(f"{corner.site.topic}.dlt")
    assert {dict(letter.headers)["recharge-offset"] for letter in letters} == {b"0", b"1", b"2", b"3"}


async def test_a_topic_that_is_deleted_while_it_runs_ends_it_in_one_line(corner: Corner) -> None:
    async def delete() -> None:
        async with corner.kafka_admin() as admin:
            await admin.delete_topics([corner.site.topic])

    await corner.produce(0, ["succeeded"])
    missing = await how_it_ends(corner, delete)
    assert isinstance(missing, TopicMissing)
    assert f"{corner.site.topic!r} (RECHARGE_KAFKA__TOPIC) does not exist" in str(missing)


async def test_a_topic_that_becomes_compacted_while_it_runs_ends_it_in_one_line(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RETENTION_CHECK_INTERVAL_S", 0.2)

    async def compact() -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, corner.site.topic, {"cleanup.policy": "compact,delete"})
        async with corner.kafka_admin() as admin:
            await admin.alter_configs([resource])

    await corner.produce(0, ["succeeded"])
    compacted = await how_it_ends(corner, compact)
    assert isinstance(compacted, TopicCompacted)
    assert "Set cleanup.policy=delete." in str(compacted)


# --- Bounded in everything --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["records", "bytes"])
async def test_no_more_is_held_in_memory_than_the_limits_for_each_partition_and_for_all(
    make_corner: CornerMaker, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    size_bytes = 2000
    monkeypatch.setattr(limits, "BUFFERED_RECORDS_MAX", 12 if bound == "records" else 1000)
    monkeypatch.setattr(limits, "BUFFERED_RECORDS_IN_ALL_MAX", 30 if bound == "records" else 1000)
    monkeypatch.setattr(limits, "BUFFERED_BYTES_MAX", 1_000_000 if bound == "records" else 30 * size_bytes)
    monkeypatch.setattr(ingest_partition, "BATCH_RECORDS_MAX", 5)
    held: dict[int, tuple[int, int]] = {}
    most = [0, 0, 0]
    take_in = AssignedPartition.take_in

    def measured(self: AssignedPartition, *arguments: Any) -> bool:
        taken = take_in(self, *arguments)
        held[self.number] = (self.progress.open_count, self._open_bytes)
        most[0] = max(most[0], self.progress.open_count)
        most[1] = max(most[1], sum(records for records, _ in held.values()))
        most[2] = max(most[2], sum(size for _, size in held.values()))
        return taken

    monkeypatch.setattr(AssignedPartition, "take_in", measured)
    corner = await make_corner(3)
    raw = value(test="succeeded", note="x" * size_bytes)
    for partition in range(3):
        await corner.produce(partition, ["wait"])
        await corner.stack.kafka.produce(corner.site.topic, [(b"key", raw, partition, [])] * 20)
    async with corner.intake():
        for partition in range(3):
            await corner.until_open(partition, 0)
        await wait_until(lambda: most[1] >= 24, FINAL_TIMEOUT_S, "the buffers are full")
        for partition in range(3):
            await corner.finish(partition, 0)
        await corner.until_drained()
    records_of_each, records, size = most
    if bound == "records":
        # Three partitions share thirty, and twelve each is the limit of one.
        assert (records_of_each, records) == (10, 30)
    else:
        # Three partitions share the bytes of thirty records, and a batch of five comes in while there is room for one.
        assert 24 * size_bytes <= size <= 3 * (10 + 5) * len(raw + b"key")
