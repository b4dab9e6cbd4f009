"""A record's whole way on the real servers, with our own processes, whatever happens to them meanwhile."""

import asyncio
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.client import Rule
from devstack.site import Site
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.support.described import described
from tests.support.records import value

LOOKUP_PROFILE = {
    "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup",
    "RECHARGE_PROVIDER__TIMEOUT_S": "5",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
}
DRAINED_TIMEOUT_S = 150.0


async def produce(stack: Devstack, site: Site, values: Sequence[bytes], *, partitions: int = 1) -> None:
    """Send records to the partitions in turn."""
    await stack.kafka.produce(site.topic, [(b"key", raw, number % partitions, []) for number, raw in enumerate(values)])


async def drained(stack: Devstack, site: Site, timeout_s: float = DRAINED_TIMEOUT_S) -> None:
    """Wait until everything in the topic is committed."""

    async def all_committed() -> bool:
        committed = await stack.kafka.committed(site.group, site.topic)
        ends = await stack.kafka.end_offsets(site.topic)
        return all(committed.get(partition, 0) == end for partition, end in ends.items())

    await wait_until(all_committed, timeout_s, f"all of {site.topic} is committed")


async def ledger_rows(stack: Devstack, site: Site) -> list[tuple[Any, ...]]:
    """State of each record by partition and offset."""
    return await stack.mysql.execute(
        f"SELECT partition_id, record_offset, state, reason FROM {site.names.database}.recharges "
        "ORDER BY partition_id, record_offset"
    )


async def assert_each_charged_once(stack: Devstack, site: Site, count: int) -> None:
    """The provider's own statement has every record exactly once, and the ledger says the same."""
    charges = await stack.simulator.client.charges(f"{site.source}:")
    assert len(charges) == count, f"{len(charges)} charges for {count} records"
    assert len({charge.reference for charge in charges}) == count, "a reference was charged twice"
    assert {row[2] for row in await ledger_rows(stack, site)} == {"succeeded"}


async def assert_in_order(stack: Devstack, site: Site) -> None:
    """Of every partition, no record's call reached the provider before the one before it was final there."""
    posts = await stack.simulator.client.posts(f"{site.source}:")
    reached: dict[int, list[int]] = defaultdict(list)
    for post in sorted(posts, key=lambda post: post.at):
        partition, offset = map(int, post.reference.split(":")[2:])
        reached[partition].append(offset)
    for partition, offsets in reached.items():
        assert offsets == sorted(offsets), f"partition {partition} was carried out of order: {offsets}"


def records(count: int) -> list[bytes]:
    return [value(amount=f"{number + 1}.{number % 100:02d}", requestId=f"r-{number}") for number in range(count)]


async def test_200_records_over_4_partitions_succeed_in_strict_order(stack: Devstack, make_site: SiteMaker) -> None:
    site = await make_site(partitions=4)
    await produce(stack, site, records(200), partitions=4)
    site.spawn("worker")
    site.spawn("ingest")
    await drained(stack, site)
    await assert_each_charged_once(stack, site, 200)
    await assert_in_order(stack, site)


async def test_worker_and_intake_in_one_process_carry_records_out_and_stop_cleanly(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site(partitions=2)
    await produce(stack, site, records(20), partitions=2)
    both = site.spawn("run")
    await drained(stack, site)
    await assert_each_charged_once(stack, site, 20)
    assert await both.terminate() == 0, both.tail()


async def kill_again_and_again(
    site: Site, command: str, times: int, dice: random.Random, progressed: Callable[[int], Awaitable[None]]
) -> ManagedProcess:
    """Kill a process with SIGKILL in mid-flight, `times` times, each time after more records were carried out."""
    process = site.spawn(command)
    for number in range(1, times + 1):
        await progressed(number)
        await asyncio.sleep(dice.uniform(0, 0.05))  # where in the record's way it strikes, not a wait for anything
        process.kill()
        await process.wait(10)
        process = site.spawn(command)
    return process


@pytest.mark.long  # the sweep and the campaign of `make test` kill as well, and elsewhere
async def test_killed_ten_times_in_mid_flight_nothing_is_charged_twice_or_lost_or_reordered(
    stack: Devstack, make_site: SiteMaker
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201  # a failure is run again by it
    dice = random.Random(seed)
    kills, per_kill, partitions = 10, 3, 4
    # With a stable name in the group a killed intake goes on at once, instead of after its session's time-out.
    profile = LOOKUP_PROFILE | {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "intake-0"}
    site = await make_site(partitions=partitions, profile=profile)
    count = kills * per_kill + 20
    await produce(stack, site, records(count), partitions=partitions)
    client = stack.simulator.client
    await client.set_rules(Rule("delay:0.05+charge+delay:0.05+ok", prefix=f"{site.source}:"))

    async def progressed(number: int) -> None:
        await client.wait_for_posts(f"{site.source}:", number * per_kill, 60)

    try:
        await asyncio.gather(
            kill_again_and_again(site, "worker", kills, dice, progressed),
            kill_again_and_again(site, "ingest", kills, dice, progressed),
        )
        await drained(stack, site)
    finally:
        await client.clear_rules()
    await assert_each_charged_once(stack, site, count)
    await assert_in_order(stack, site)


async def test_an_invalid_and_a_refused_record_end_as_dead_letters_and_rows(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site()
    raws = [b'{"operationType": "OneShotTransfer"', value(simulate=["refuse+ok"]), value()]
    await produce(stack, site, raws)
    site.spawn("worker")
    site.spawn("ingest")
    await drained(stack, site)
    assert [row[2] for row in await ledger_rows(stack, site)] == ["invalid", "rejected", "succeeded"]
    letters = await stack.kafka.read_all(f"{site.topic}.dlt")
    assert [letter.value for letter in letters] == raws[:2]
    assert [letter.key for letter in letters] == [b"key", b"key"]
    headers = [dict(letter.headers) for letter in letters]
    assert [header["recharge-workflow-id"].decode() for header in headers] == [
        f"{site.source}:{site.topic}:0:{offset}" for offset in (0, 1)
    ]
    assert all(header["recharge-reason"] for header in headers)


async def test_an_unknown_outcome_without_a_look_up_is_never_sent_again_and_holds_its_lane(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site()
    await produce(stack, site, [value(simulate=["charge+status:500"]), value()])
    site.spawn("worker")
    site.spawn("ingest")
    workflow_id = f"{site.source}:{site.topic}:0:0"

    async def in_doubt() -> bool:
        return [row[2] for row in await ledger_rows(stack, site)] == ["in_doubt"]

    await wait_until(in_doubt, 30, "the record is in doubt")

    async def shown() -> bool:
        found = [
            run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}' AND RechargeStatus = 'in_doubt'")
        ]
        return len(found) == 1

    await wait_until(shown, 30, "the Web UI's search finds it by RechargeStatus")
    described = await client.get_workflow_handle(workflow_id).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING
    assert len(await stack.simulator.client.posts(f"{site.source}:")) == 1
    assert await stack.kafka.committed(site.group, site.topic) == {0: 0}


async def test_retry_after_is_obeyed_and_shown_on_the_pending_activity(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site()
    await produce(stack, site, [value(simulate=["retry_after:2+status:429", "retry_after:3+status:429"])])
    site.spawn("worker")
    site.spawn("ingest")
    workflow_id = f"{site.source}:{site.topic}:0:0"

    async def retrying() -> bool:
        newest = await described(client.get_workflow_handle(workflow_id))
        pending = newest.raw_description.pending_activities if newest else ()
        return any("429" in activity.last_failure.message for activity in pending)

    await wait_until(retrying, 30, "the pending activity shows the last answer")
    await drained(stack, site)
    posts = await stack.simulator.client.posts(f"{site.source}:")
    gaps_s = [(after.at - before.at).total_seconds() for before, after in itertools.pairwise(posts)]
    assert [post.reference for post in posts] == [workflow_id] * 3
    assert gaps_s[0] >= 2.0
    assert gaps_s[1] >= 3.0
    await assert_each_charged_once(stack, site, 1)


async def test_an_amount_stays_as_it_was_written_from_the_topic_to_the_call(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site()
    raw = value(amount="AMOUNT", unknownField={"kept": [1, 2.50, None]}).replace(b'"AMOUNT"', b"0.10")
    await produce(stack, site, [raw])
    site.spawn("run")
    await drained(stack, site)
    posts = await stack.simulator.client.posts(f"{site.source}:")
    assert [post.body.encode() for post in posts] == [raw]
    charges = await stack.simulator.client.charges(f"{site.source}:")
    assert [charge.amount_text for charge in charges] == ["0.10"]


async def test_one_record_can_be_followed_by_its_workflow_id_from_intake_to_commit(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site()
    await produce(stack, site, [value()])
    processes = [site.spawn("worker"), site.spawn("ingest")]
    await drained(stack, site)
    lines = [
        json.loads(line)
        for process in processes
        for line in process.log_file.read_text().splitlines()
        if line.startswith("{")
    ]
    workflow_id = f"{site.source}:{site.topic}:0:0"
    told = {line["event"] for line in lines if line.get("workflow_id") == workflow_id}
    assert {"record started", "attempt opened", "attempt answered", "record final"} <= told
    assert any(line["event"] == "offset committed" and line["commit_offset"] == 1 for line in lines)
    everything = "".join(process.log_file.read_text() for process in processes)
    assert "600111222" not in everything
    assert "600333444" not in everything
