"""MySQL, Temporal or Kafka away in the middle of the work: every record is carried out once, in the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from activities.migrations import migrate
from app.temporal import register_search_attributes
from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.client import Rule
from devstack.stack import Devstack
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, log_lines, logged_by, position, until_logged

PARTITIONS = 4
RECORDS = 5
"""Records of each partition in each test."""


@pytest.fixture(scope="module")
async def own_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devstack]:
    """Servers that this module alone uses, since it kills and freezes them."""
    async with Devstack(tmp_path_factory.mktemp("own-stack")) as running:
        yield running


@pytest.fixture(scope="module")
async def working(own_stack: Devstack) -> tuple[Service, ManagedProcess]:
    """A service that runs through all of this module's tests, and its worker."""
    client = await Client.connect(own_stack.temporal.address, namespace=own_stack.temporal.namespace)
    await register_search_attributes(client)
    site = await own_stack.site("c", partitions=PARTITIONS)
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    await own_stack.simulator.client.set_rules(Rule("delay:0.05+charge+delay:0.05+ok"))
    site.spawn("ingest")
    return Service(own_stack, site, client), site.spawn("worker")


async def assert_all_charged_once(service: Service) -> None:
    """Everything on the topic is committed, succeeded, and was charged by one POST each, in the order of its partition."""
    await service.until_drained()
    ends = await service.stack.kafka.end_offsets(service.site.topic)
    everything = [(partition, offset) for partition, end in sorted(ends.items()) for offset in range(end)]
    assert await service.posts() == await service.charges() == dict.fromkeys(everything, 1)
    assert await service.states() == dict.fromkeys(everything, "succeeded")
    posts = await service.stack.simulator.client.posts(f"{service.site.source}:")
    in_time = [position(post.reference) for post in posts]
    # Sorted by partition alone, each partition's are left in the order in which they came.
    assert sorted(in_time, key=lambda at: at[0]) == everything


async def produce_and_wait_until_some_are_charged(service: Service) -> None:
    """Bring the service into the middle of its work."""
    before = (await service.charges()).total()
    for partition in range(PARTITIONS):
        await service.send(partition, *[value(amount=f"{n + 1}") for n in range(RECORDS)])
    await service.stack.simulator.client.wait_for_charges(
        f"{service.site.source}:", before + PARTITIONS, FINAL_TIMEOUT_S
    )


async def test_an_answer_that_came_while_mysql_was_away_is_written_when_it_is_back(
    own_stack: Devstack, working: tuple[Service, ManagedProcess]
) -> None:
    service, worker = working
    charges = (await service.charges()).total()
    await service.send(0, value(simulate=["charge+delay:2+ok"]))
    await own_stack.simulator.client.wait_for_charges(f"{service.site.source}:", charges + 1, FINAL_TIMEOUT_S)
    await own_stack.mysql.process.kill_and_wait()
    await until_logged(worker, "the answer waits for the ledger")
    await own_stack.mysql.start()
    await assert_all_charged_once(service)


async def test_records_that_come_while_mysql_is_away_are_started_wait_and_go_on_in_order(
    own_stack: Devstack, working: tuple[Service, ManagedProcess]
) -> None:
    service, worker = working
    (intake,) = [process for process in service.site.processes if process is not worker]
    await until_logged(worker, "worker is polling")
    await own_stack.mysql.process.kill_and_wait()
    names = ("record started", "the ledger does not answer", "the ledger answers again")
    before = [len(logged_by(process, name)) for process, name in zip((intake, worker, worker), names, strict=True)]
    for partition in range(PARTITIONS):
        await service.send(partition, *[value(amount=f"{n + 1}") for n in range(RECORDS)])
    await wait_until(
        lambda: len(logged_by(intake, names[0])) >= before[0] + PARTITIONS,
        FINAL_TIMEOUT_S,
        "the first of each partition is started",
    )
    await asyncio.sleep(4)  # how long it is away beside them
    started = len(logged_by(intake, names[0]))
    await own_stack.mysql.start()
    assert started == before[0] + PARTITIONS, "their successors wait"
    await assert_all_charged_once(service)
    # The worker's second pool, which looks a few times a minute at what waits, tells the same where a look falls into that time.
    told = [len(logged_by(worker, name)) - already for name, already in zip(names[1:], before[1:], strict=True)]
    assert 1 <= told[0] <= 2
    assert 1 <= told[1] <= told[0]
    assert not [line for line in log_lines(intake) if line["level"] in ("warning", "error")]


async def test_mysql_killed_in_the_middle_of_the_work_costs_nothing_but_time(
    own_stack: Devstack, working: tuple[Service, ManagedProcess]
) -> None:
    service, _ = working
    await produce_and_wait_until_some_are_charged(service)
    await own_stack.mysql.process.kill_and_wait()
    await own_stack.mysql.start()
    await assert_all_charged_once(service)


async def test_temporal_frozen_in_the_middle_of_the_work_costs_nothing_but_time(
    own_stack: Devstack, working: tuple[Service, ManagedProcess]
) -> None:
    service, _ = working
    await produce_and_wait_until_some_are_charged(service)
    own_stack.temporal.freeze()
    try:
        await asyncio.sleep(6)  # how long the fault lasts: longer than a heartbeat's time-out
    finally:
        own_stack.temporal.thaw()
    await assert_all_charged_once(service)


async def test_temporal_killed_in_the_middle_of_the_work_costs_nothing_but_time(
    own_stack: Devstack, working: tuple[Service, ManagedProcess]
) -> None:
    service, _ = working
    await produce_and_wait_until_some_are_charged(service)
    await own_stack.temporal.process.kill_and_wait()
    await own_stack.temporal.start()
    await assert_all_charged_once(service)


async def test_kafka_restarted_in_the_middle_of_the_work_costs_nothing_but_time(
    own_stack: Devstack, working: tuple[Service, ManagedProcess]
) -> None:
    service, _ = working
    await produce_and_wait_until_some_are_charged(service)
    await own_stack.kafka.restart()
    await assert_all_charged_once(service)
