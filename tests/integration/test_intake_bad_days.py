"""Kafka and Temporal killed, frozen, slow and not there yet: no record is dropped, the order is kept, and the log says so once.

One broker is there, and a second one where a group's coordinator has somewhere to move to.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import structlog.testing
from aiokafka.client import AIOKafkaClient
from temporalio.client import Client

from activities.migrations import migrate
from app.temporal import register_search_attributes
from devstack.kafka_joining import OFFSETS_TOPIC, JoiningBroker
from devstack.processes import ManagedProcess, wait_until
from devstack.server import ManagedServer
from devstack.stack import Devstack
from ingest.kafka import Cluster
from ingest.kafka_words import KafkaProblem
from ingest.outage import backoff_s
from operations import switch
from operations.telling import Discretion
from recharge import limits
from recharge.privacy import mask_text
from tests.integration.conftest import CornerMaker
from tests.support.command import ask
from tests.support.http import Ports, get, listening, metrics, problems, until_problems, until_ready
from tests.support.intake import FINAL_TIMEOUT_S, Corner, logged
from tests.support.service import log_lines, logged_by, stopped, until_logged

NO_ORDER = {"RECHARGE_INGEST__ORDERING": "none"}
STATIC_MEMBER = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "test-0"}
WORK = (
    "record started",
    "record attached",
    "record done",
    "offset committed",
    "partition assigned",
    "partition given away",
)
"""What an intake logs as long as all is well."""
DISCRETION = Discretion(mask=mask_text)
RECORDS = 25
"""Records of each partition; each takes a tenth of a second."""


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devstack]:
    """Servers that this module alone uses, since it kills and freezes them."""
    async with Devstack(tmp_path_factory.mktemp("own-stack")) as running:
        yield running


@pytest.fixture(scope="module")
async def client(stack: Devstack) -> Client:
    """A client of the module's own Temporal."""
    connected = await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)
    await register_search_attributes(connected)
    return connected


def about_trouble(process: ManagedProcess) -> Counter[str]:
    """What a process has logged beside its work, and how often."""
    events = [str(line["event"]) for line in log_lines(process)]
    return Counter(event for event in events if not event.startswith(WORK))


def cpu_s(process: ManagedProcess) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


# --- Kafka ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "lasts_s"), [("killed", 4), ("frozen", limits.KAFKA_SESSION_TIMEOUT_S + 1)], ids=["killed", "frozen"]
)
async def test_a_broker_that_is_killed_or_frozen_past_the_session_costs_nothing_but_time_and_is_told_once(
    make_corner: CornerMaker, fault: str, lasts_s: float
) -> None:
    corner = await make_corner(2)
    kafka = corner.stack.kafka
    for partition in (0, 1):
        await corner.produce(partition, ["slow"] * RECORDS)
    process = corner.site.spawn("ingest")
    await until_logged(process, "record done", partition=1, offset=4)
    began_s = cpu_s(process)
    if fault == "killed":
        await kafka.process.kill_and_wait()
    else:
        kafka.freeze()
    await until_logged(process, "Kafka cannot be used")
    await asyncio.sleep(lasts_s)  # how long the fault lasts
    used_s = cpu_s(process) - began_s
    if fault == "killed":
        await kafka.start()
    else:
        kafka.thaw()
    await corner.until_drained(90)
    await until_logged(process, "Kafka can be used again")
    await corner.assert_each_ran_once_in_order({0: RECORDS, 1: RECORDS})
    await stopped([process])
    # A loop that waits for nothing would take all of the time; in the beginning there was work, too.
    assert used_s < 0.5 * lasts_s + 1
    told = about_trouble(process)
    assert told["Kafka cannot be used; waiting for it"] == told["Kafka can be used again"] == 1
    assert told.total() < 30, told


async def test_a_slow_broker_costs_nothing_but_time(make_corner: CornerMaker) -> None:
    corner = await make_corner(2)
    kafka = corner.stack.kafka
    for partition in (0, 1):
        await corner.produce(partition, ["slow"] * RECORDS)
    process = corner.site.spawn("ingest")
    await until_logged(process, "record done")

    async def three_quarters_of_the_time_it_stands_still() -> None:
        while True:
            kafka.freeze()
            await asyncio.sleep(0.3)
            kafka.thaw()
            await asyncio.sleep(0.1)

    slowing = asyncio.create_task(three_quarters_of_the_time_it_stands_still())
    try:
        for partition in (0, 1):
            await until_logged(process, "record done", partition=partition, offset=RECORDS - 1)
    finally:
        slowing.cancel()
        await asyncio.gather(slowing, return_exceptions=True)
        kafka.thaw()
    await corner.until_drained()
    await corner.assert_each_ran_once_in_order({0: RECORDS, 1: RECORDS})
    await stopped([process])
    assert not [line for line in log_lines(process) if line["level"] == "error"]


@pytest.mark.long  # a second broker takes half a minute
async def test_a_group_whose_coordinator_moves_to_another_broker_and_back_goes_on_where_it_was(
    make_corner: CornerMaker, tmp_path: Path
) -> None:
    corner = await make_corner(2)
    kafka = corner.stack.kafka
    for partition in (0, 1):
        await corner.produce(partition, ["slow"] * RECORDS)
    process = corner.site.spawn("ingest")
    await until_logged(process, "offset committed", partition=1)
    second = JoiningBroker(tmp_path / "kafka-2", kafka)
    offsets = list(await kafka.end_offsets(OFFSETS_TOPIC))
    try:
        await second.start()
        assert await kafka.coordinator(corner.site.group) == kafka.node_id
        await second.lead(OFFSETS_TOPIC, offsets)
        assert await kafka.coordinator(corner.site.group) == second.node_id
        await corner.until_drained()
        await second.give_back(OFFSETS_TOPIC, offsets)
        assert await kafka.coordinator(corner.site.group) == kafka.node_id
        await corner.produce(0, ["succeeded"])
        await corner.until_drained()
    finally:
        await second.stop()
        second.release()
    await corner.assert_each_ran_once_in_order({0: RECORDS + 1, 1: RECORDS})
    await stopped([process])
    # The two moves cost a rebalance at most; no record was attached to, since none was started a second time.
    assert not logged_by(process, "record attached")
    # aiokafka itself logs an error where it knows the new coordinator before it knows that broker.
    assert not [line for line in log_lines(process) if line["level"] == "error" and line.get("logger") != "aiokafka"]


@pytest.mark.long  # a second broker takes half a minute
async def test_a_partition_that_nobody_leads_keeps_no_other_one_waiting_and_its_leader_is_asked_for_without_haste(
    make_corner: CornerMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_s: list[float] = []
    ask_brokers = AIOKafkaClient._metadata_update

    async def counted(client: AIOKafkaClient, *arguments: object) -> bool:
        asked_s.append(time.monotonic())
        return bool(await ask_brokers(client, *arguments))

    corner = await make_corner(2)
    for partition in (0, 1):
        await corner.produce(partition, ["succeeded"] * 3)
    second = JoiningBroker(tmp_path / "kafka-2", corner.stack.kafka)
    try:
        await second.start()
        await second.lead(corner.site.topic, [1])
        await second.process.kill_and_wait()
        async with Cluster(corner.settings().kafka) as cluster:

            async def is_without_leader() -> bool:
                with contextlib.suppress(KafkaProblem):  # it may be the killed one that is asked
                    return (await cluster.leaders(corner.site.topic))[1] < 0
                return False

            await wait_until(is_without_leader, FINAL_TIMEOUT_S, "nobody leads the partition", interval_s=0.2)
        # Nothing was committed for either of them. A fetch that waits at the broker would slow the asking down, and while the intake is
        # paused there is none.
        await switch.pause(corner.client, corner.site.source, by="ann", note="first", discretion=DISCRETION)
        monkeypatch.setattr(AIOKafkaClient, "_metadata_update", counted)
        with structlog.testing.capture_logs() as logs:
            async with corner.intake():
                await wait_until(lambda: logged(logs, "partition assigned"), FINAL_TIMEOUT_S, "the other one is set up")
                began_s, before = time.monotonic(), len(asked_s)
                await wait_until(lambda: len(asked_s) > before + 20, FINAL_TIMEOUT_S, "the leader is asked for")
                assert time.monotonic() - began_s > 1.5  # ten times a second
                await switch.resume(corner.client, corner.site.source, by="ann", note="on", discretion=DISCRETION)
                await corner.until_committed({0: 3})
                await second.start()
                await corner.until_committed({0: 3, 1: 3})
        assert len(logged(logs, "Kafka does not say")) == len(logged(logs, "Kafka says again")) == 1
        await second.give_back(corner.site.topic, [1])
    finally:
        await second.stop()
        second.release()


async def test_a_stop_while_the_broker_is_frozen_ends_in_good_order_within_its_limit(corner: Corner) -> None:
    await corner.produce(0, ["wait", "succeeded"])
    # With a stable name its successor goes on at once, although it could not say goodbye.
    environment = NO_ORDER | STATIC_MEMBER
    async with corner.intake(environment):
        await corner.until_open(0, 0)
        corner.stack.kafka.freeze()
        began_s = time.monotonic()
    took_s = time.monotonic() - began_s
    corner.stack.kafka.thaw()
    # What is in flight has its time, then the last commit, then three connections that do not close by themselves.
    assert took_s < limits.STOP_TIMEOUT_S + 20
    async with corner.intake(environment):
        await corner.finish(0, 0)
        await corner.until_drained()
    assert len(await corner.runs()) == 2


async def test_status_tells_within_its_time_that_the_broker_is_frozen_and_what_the_others_know(corner: Corner) -> None:
    corner.stack.kafka.freeze()
    try:
        told = await ask("status", "--json", environment=corner.site.environment)
    finally:
        corner.stack.kafka.thaw()
    status = told.json()
    assert status["problems"] == {
        "kafka": f"Kafka at {corner.stack.kafka.bootstrap_servers} gave no answer within {limits.STATUS_PART_TIMEOUT_S:g} s",
        "ledger": "the ledger has no tables yet; run: recharge migrate",
    }
    assert status["workers"] == []


# --- Temporal ---------------------------------------------------------------------------------------------------------


async def test_temporal_that_is_away_is_waited_for_without_haste_and_told_once_however_many_records_wait(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40
    tries = 0

    def counted(number: int) -> float:
        nonlocal tries
        tries += 1
        return backoff_s(number)

    monkeypatch.setattr("ingest.patience.backoff_s", counted)
    await corner.produce(0, ["wait"] * count)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(NO_ORDER):
            await wait_until(lambda: len(logged(logs, "record started")) == count, FINAL_TIMEOUT_S, "all are awaited")
            await corner.stack.temporal.process.kill_and_wait()
            began_s = time.monotonic()
            await corner.produce(0, ["succeeded"] * 20)
            await wait_until(lambda: logged(logs, "Temporal does not answer"), FINAL_TIMEOUT_S, "the intake waits")
            await wait_until(lambda: tries >= count, FINAL_TIMEOUT_S, "each record has been tried again")
            away_s = time.monotonic() - began_s
            tried = tries
            await corner.stack.temporal.start()
            for offset in range(count):
                await corner.finish(0, offset)
            await corner.until_drained(90)
    # The SDK itself tries for some ten seconds each time; in between each record waits longer and longer.
    assert tried <= (count + 20) * (1 + away_s / limits.START_RETRY_FIRST_S / 4)
    assert len(logged(logs, "Temporal does not answer")) == len(logged(logs, "Temporal answers again")) == 1
    assert len(await corner.runs()) == count + 20


# --- At the start -----------------------------------------------------------------------------------------------------


async def test_an_intake_that_starts_before_its_servers_waits_for_them_tells_of_each_once_and_can_be_stopped(
    make_corner: CornerMaker,
) -> None:
    corner = await make_corner(1)
    await corner.produce(0, ["succeeded"] * 3)
    kafka, temporal = corner.stack.kafka, corner.stack.temporal
    await asyncio.gather(kafka.process.kill_and_wait(), temporal.process.kill_and_wait())
    waiting, stopping = corner.site.spawn("ingest"), corner.site.spawn("ingest")
    for process in (waiting, stopping):
        await until_logged(process, "waiting for Temporal")
    await stopped([stopping])
    await temporal.start()
    await until_logged(waiting, "Kafka cannot be used")
    stopping = corner.site.spawn("ingest")
    await until_logged(stopping, "Kafka cannot be used")
    await stopped([stopping])
    await kafka.start()
    await corner.until_drained()
    await stopped([waiting])
    told = about_trouble(waiting)
    for event in (
        "waiting for Temporal",
        "Temporal is there",
        "Kafka cannot be used; waiting for it",
        "Kafka can be used again",
    ):
        assert told[event] == 1
    assert told.total() < 30, told
    assert not logged_by(waiting, "record attached")


# --- What a probe sees ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def frozen(*servers: ManagedServer) -> Iterator[None]:
    """Freeze servers while the body runs."""
    for server in servers:
        server.freeze()
    try:
        yield
    finally:
        for server in servers:
            server.thaw()


async def test_readiness_follows_each_server_that_goes_away_and_comes_back_and_health_does_not(
    stack: Devstack, client: Client, site_numbers: Iterator[int], ports: Ports
) -> None:
    of_ingest, of_worker, _ = ports
    site = await stack.site(f"ready-{next(site_numbers)}")
    del client  # it registers the search attributes
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    with frozen(stack.temporal):
        # Nothing can begin yet, and both say so from the first moment on.
        worker = site.spawn("worker", env=listening(of_worker))
        ingest = site.spawn("ingest", env=listening(of_ingest))
        for port, process, half in ((of_ingest, ingest, "intake"), (of_worker, worker, "worker")):
            await until_logged(process, "metrics and health are served")
            assert (await get(port, "/healthz")).status == 200
            assert (await problems(port)).keys() == {half}
    await until_ready(of_ingest, ingest)
    await until_ready(of_worker, worker)

    with frozen(stack.mysql, stack.kafka):
        (why,) = (await until_problems(of_worker, "ledger")).values()
        assert "MySQL at 127.0.0.1" in why
        (why,) = (await until_problems(of_ingest, "kafka")).values()
        assert "topic" in why
        assert (await metrics(of_ingest))['recharge_ready{part="kafka"}'] == 0.0
        assert [(await get(port, "/healthz")).status for port in ports[:2]] == [200, 200]
    await until_ready(of_worker, worker)
    await until_ready(of_ingest, ingest)

    with frozen(stack.temporal):
        await until_problems(of_worker, "polling")
        await until_problems(of_ingest, "temporal")
    await until_ready(of_worker, worker)
    await until_ready(of_ingest, ingest)

    ingest.freeze()
    assert (await get(of_ingest, "/healthz", timeout_s=1.0)).status == 0
    ingest.thaw()
    await stopped([ingest, worker])
