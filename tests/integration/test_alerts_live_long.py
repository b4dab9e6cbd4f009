"""The other alerts, by the same means as in test_alerts_live.py. Run by hand: some take a minute, and one a quarter of an hour."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from temporalio.client import Client

from activities.migrations import migrate
from app.temporal import register_search_attributes
from devstack.prometheus import Prometheus
from devstack.simulator.client import Rule
from devstack.stack import Devstack
from devstack.wire.disturbed import DisturbedWire
from devstack.wire.proxy import Hop
from recharge import limits
from recharge.outcome import Action
from tests.conftest import SiteMaker
from tests.support.alerting import WHO, answers, panels, says, until_firing, until_quiet, until_seen
from tests.support.http import Ports, get, listening, until_problems, until_ready
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, killed, logged_by, until_logged

pytestmark = pytest.mark.long

SLOW_S = 11
LOCKED_S = 2
BLOCKING_S = 15 * 60
DAYS_4_MS = 4 * 24 * 3600 * 1000


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> AsyncIterator[Service]:
    """A site without look-ups, whose decisions are taken soon."""
    profile = {"RECHARGE_PROVIDER__PROCESSING_TIME_S": "0", "RECHARGE_INGEST__REFUSED_IN_A_ROW_MAX": "5"}
    yield Service.of(stack, await make_site(partitions=4, profile=profile), client)
    await stack.simulator.client.clear_rules()


async def test_what_the_intake_cannot_go_on_with(service: Service, prometheus: Prometheus, ports: Ports) -> None:
    """Partition 0 was moved to where nothing is, the record of 1 is old, 2 gets more than it can carry, and all of 3 is refused."""
    site = service.site
    await service.move_group({0: 50})
    await service.send(0, value())
    await send_old(service, 1, value(simulate=["charge+status:500"]))
    await service.stack.simulator.client.set_rules(Rule("status:401", reference=service.workflow_id(2, 0)))
    await service.send(2, *[value()] * 700)
    running = site.spawn("run", env=listening(ports[0]))
    prometheus.watch("recharge", ports[:1])
    await until_seen(prometheus, 'recharge_partition_lag_offsets{partition="2"} == 700', 1)
    await service.send(2, *[value()] * 700)
    await until_firing(prometheus, "RechargePartitionStopped", "RechargeRetentionNear", "RechargeLagGrows")
    told = await answers(service, "RechargePartitionStopped", "RechargeRetentionNear", "RechargeLagGrows")
    (line,) = logged_by(running, "partition stands still")
    assert line["out_of_range"] in told["RechargePartitionStopped"]
    assert f"{service.workflow_id(1, 0)} (in_doubt, begun" in told["RechargeRetentionNear"]
    assert "│ 1400 │" in told["RechargeLagGrows"]

    newest = service.workflow_id(3, 4)
    await service.send(3, *[value(simulate=["status:404"])] * 6)
    await until_firing(prometheus, "RechargeIntakePausedItself")
    told = await answers(service, "RechargeIntakePausedItself", record=newest)
    status, _, of_newest = told["RechargeIntakePausedItself"].partition("asks for")
    assert "404" in status
    assert newest in status
    assert "404 Not Found" in of_newest
    await says(service, "resume", *WHO)
    await until_quiet(prometheus, "RechargeIntakePausedItself")
    await killed([running])


async def send_old(service: Service, partition: int, raw: bytes) -> None:
    """Send a record that says it was made four days ago."""
    producer = AIOKafkaProducer(**service.stack.kafka.client_options(), acks="all")
    await producer.start()
    try:
        at_ms = int(time.time() * 1000) - DAYS_4_MS
        await producer.send_and_wait(service.site.topic, raw, key=b"key", partition=partition, timestamp_ms=at_ms)
    finally:
        await producer.stop()


async def test_an_answer_that_contradicts_what_a_person_decided(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    """The answer is there and cannot be written down; then that worker stands still, and another finds the doubt."""
    site, contradicted = service.site, service.workflow_id(0, 0)
    mysql_port = service.stack.mysql.port
    async with DisturbedWire({Hop.MYSQL: mysql_port}) as wire:
        url = site.environment["RECHARGE_MYSQL__URL"].replace(f":{mysql_port}/", f":{wire.ports[Hop.MYSQL]}/")
        quick = {"RECHARGE_PROVIDER__TIMEOUT_S": "8", "RECHARGE_MYSQL__URL": url}
        first = site.spawn("worker", env=listening(ports[0], **quick))
        await until_ready(ports[0], first)
        prometheus.watch("recharge", ports[:1])
        await until_seen(prometheus, "recharge_late_answers_contradicting_total == 0", 1)
        await service.send(0, value(simulate=["charge+delay:3+ok", "charge+ok"]))
        ingest = site.spawn("ingest")
        await service.stack.simulator.client.wait_for_charges(contradicted, 1, FINAL_TIMEOUT_S)
        wire.hold_up(Hop.MYSQL)
        await until_logged(first, "attempt answered", outcome="charged")
        first.freeze()
        second = site.spawn("worker")
        await service.until_states({(0, 0): "in_doubt"})
        # The workflow finds the decision in the ledger. It is final soon after, and may have no time to answer an Update.
        await service.decide(0, Action.NOT_CHARGED)
        await service.until_states({(0, 0): "succeeded"})
        first.thaw()
        wire.let_go(Hop.MYSQL)
        await until_firing(prometheus, "RechargeContradiction")
        (line,) = logged_by(first, "an answer came after another decision and contradicts it")
        assert line["workflow_id"] == contradicted
        told = await answers(service, "RechargeContradiction", record=contradicted)
        shown, _, audit = told["RechargeContradiction"].partition("provable")
        assert "not_charged" in shown
        assert "late answer:" in shown
        assert "the statement has 2 charges of it" in audit
        assert "attempt 1 was answered charged at" in audit
        await killed([first, second, ingest])


async def test_what_takes_too_long(service: Service, prometheus: Prometheus, ports: Ports) -> None:
    """Partition 0 waits for the provider's word for hours, by the ledger's clock; the call of 1 is slow; then the ledger is."""
    table = f"{service.site.names.database}.recharges"
    running = service.site.spawn("run", env=listening(ports[0]))
    prometheus.watch("recharge", ports[:1])
    await until_seen(prometheus, 'recharge_provider_call_seconds_count{outcome="charged"} == 0', 1)
    await service.send(0, value(simulate=["accept+accepted"]))
    await service.send(1, value(simulate=[f"charge+delay:{SLOW_S}+ok"]))
    await service.until_states({(0, 0): "pending", (1, 0): "succeeded"})
    aged = f"UPDATE {table} SET updated_at = updated_at - INTERVAL 5 HOUR WHERE state = 'pending'"
    await service.stack.mysql.execute(aged)
    await until_firing(prometheus, "RechargePendingLong", "RechargeProviderSlow")
    pending = service.workflow_id(0, 0)
    told = await answers(service, "RechargePendingLong", record=pending)
    assert f"recharge resolve {pending} --charged|--not-charged|--skip" in told["RechargePendingLong"]
    assert "202 Accepted" in told["RechargePendingLong"]
    (latency,) = {
        panel.expression for panel in panels() if panel.title == "Latency of the call" and "0.99" in panel.expression
    }
    assert max(each.value for each in await prometheus.query(latency)) > 10
    # Somebody else has the table for himself for a while.
    for _ in range(2):
        locking = await service.stack.mysql._connect()
        async with locking.cursor() as cursor:
            await cursor.execute(f"LOCK TABLES {table} WRITE")
            await asyncio.gather(*(service.send(partition, value()) for partition in (1, 2, 3)))
            await cursor.execute(f"SELECT SLEEP({LOCKED_S})")
            told = await answers(service, "RechargeLedgerSlow")
        locking.close()
        assert "'devstack@127.0.0.1'" in told["RechargeLedgerSlow"], told
    await until_firing(prometheus, "RechargeLedgerSlow")
    await killed([running])


async def test_partitions_that_change_hands_again_and_again(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    ingest = service.site.spawn("ingest", env=listening(ports[0]))
    await until_ready(ports[0], ingest)
    prometheus.watch("recharge", ports[:1])
    await until_seen(prometheus, "recharge_rebalances_total == 1", 1)
    # An ingester alone counts nothing of what waits.
    await until_firing(prometheus, "RechargeWaitingUnknown")
    told = await answers(service, "RechargeWaitingUnknown", port=ports[0])
    assert "Nothing waits for a person." in told["RechargeWaitingUnknown"]
    assert "workers: none" in told["RechargeWaitingUnknown"]
    for joined in range(4):
        other = AIOKafkaConsumer(
            service.site.topic, **service.stack.kafka.client_options(), group_id=service.site.group
        )
        await other.start()
        await until_seen(prometheus, f"recharge_rebalances_total >= {2 + 2 * joined}", 1)
        await other.stop()
        await until_seen(prometheus, f"recharge_rebalances_total >= {3 + 2 * joined}", 1)
    await until_firing(prometheus, "RechargeRebalances")
    told = await answers(service, "RechargeRebalances")
    assert re.search(r"intakes: \d in the group: recharge@\S+ at 127\.0\.0\.1", told["RechargeRebalances"])
    await killed([ingest])


@pytest.mark.timeout(20 * 60)
async def test_a_record_that_blocks_its_partition_for_a_quarter_of_an_hour(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    """Partition 0 waits for a person, 1 for the provider; 2 goes on and on, and is blocked by none of its records."""
    site = service.site
    doubted, tried = service.workflow_id(0, 0), service.workflow_id(1, 0)
    await service.stack.simulator.client.set_rules(Rule("status:401", reference=tried))
    running = site.spawn("run", env=listening(ports[0]))
    prometheus.watch("recharge", ports[:1])
    await service.send(0, value(simulate=["charge+status:500"]))
    await service.send(1, value())
    await service.send(2, *[value(simulate=["charge+delay:20+ok"])] * (BLOCKING_S // 20 + 10))
    await until_firing(prometheus, "RechargePartitionBlocked", timeout_s=BLOCKING_S + 60)
    blocked = await prometheus.query("max by (partition) (recharge_partition_blocked_seconds) > 900")
    assert {each.labels["partition"] for each in blocked} <= {"0", "1"}
    told = await answers(service, "RechargePartitionBlocked", record=tried)
    assert f"{doubted} (in_doubt, begun 15 min" in told["RechargePartitionBlocked"]
    assert f"{tried} (retrying, begun 15 min" in told["RechargePartitionBlocked"]
    assert "401 Unauthorized" in told["RechargePartitionBlocked"].partition("Attempts")[2]
    await says(service, "resolve", doubted, "--charged", *WHO)
    await service.stack.simulator.client.clear_rules()
    await until_quiet(prometheus, "RechargePartitionBlocked", timeout_s=180)
    await killed([running])


# --- Servers that go away ---------------------------------------------------------------------------------------------


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Service]:
    """A service whose servers are killed and frozen, so nobody else may use them."""
    async with Devstack(tmp_path / "devstack") as stack:
        client = await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)
        await register_search_attributes(client)
        site = await stack.site("alone", partitions=2)
        await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
        yield Service.of(stack, site, client)


async def test_a_ledger_and_then_a_temporal_that_are_away(alone: Service, prometheus: Prometheus, ports: Ports) -> None:
    running = alone.site.spawn("run", env=listening(ports[0]))
    await until_ready(ports[0], running)
    prometheus.watch("recharge", ports[:1])
    await until_seen(prometheus, 'recharge_ledger_errors_total{kind="unavailable"}', 1)
    await until_seen(prometheus, 'recharge_records_waiting{state="in_doubt"} == 0', 1)
    await until_quiet(prometheus, "RechargeWaitingUnknown")
    await alone.stack.mysql.process.kill_and_wait()
    await alone.send(0, *[value()] * 3)
    await alone.send(1, *[value()] * 3)
    await until_firing(prometheus, "RechargeNotReady", "RechargeLedgerErrors", "RechargeWaitingUnknown", timeout_s=180)
    told = await answers(alone, "RechargeNotReady", "RechargeLedgerErrors", port=ports[0])
    assert re.search(r'"ledger": \{\s+"ready": false,\s+"problem": "MySQL at 127\.0\.0\.1', told["RechargeNotReady"])
    assert re.search(r"^ledger: MySQL at 127\.0\.0\.1", told["RechargeLedgerErrors"], re.MULTILINE)
    await alone.stack.mysql.start()
    await alone.until_drained()
    await until_quiet(prometheus, "RechargeNotReady", "RechargeWaitingUnknown")

    await alone.stack.temporal.process.kill_and_wait()
    await until_firing(prometheus, "RechargeNothingWorks", "RechargeNotReady")
    told = await answers(alone, "RechargeNothingWorks", port=ports[0])
    assert re.search(r"^temporal: Temporal at \S+ gave no answer", told["RechargeNothingWorks"], re.MULTILINE)
    assert "Temporal gave no answer" in told["RechargeNothingWorks"].partition('"polling"')[2]
    await alone.stack.temporal.start()
    await until_quiet(prometheus, "RechargeNothingWorks", "RechargeNotReady")
    await killed([running])


async def test_a_broker_that_is_away(alone: Service, prometheus: Prometheus, ports: Ports) -> None:
    running = alone.site.spawn("run", env=listening(ports[0]))
    await until_ready(ports[0], running)
    prometheus.watch("recharge", ports[:1])
    await until_seen(prometheus, 'recharge_commits_total{result="failed"} == 0', 1)
    await alone.send(0, value(simulate=["charge+delay:5+ok"]))
    await alone.stack.simulator.client.wait_for_charges(alone.workflow_id(0, 0), 1, FINAL_TIMEOUT_S)
    alone.stack.kafka.freeze()
    await until_firing(prometheus, "RechargeNothingReads", "RechargeNotReady", "RechargeCommitsFail", timeout_s=150)
    told = await answers(alone, "RechargeNothingReads", "RechargeCommitsFail", port=ports[0])
    assert re.search(r"^kafka: Kafka (did not|at \S+ gave no answer)", told["RechargeCommitsFail"], re.MULTILINE)
    assert "Kafka" in told["RechargeNothingReads"].partition('"kafka"')[2]
    await until_logged(running, "Kafka cannot be used")
    assert logged_by(running, "offsets cannot be committed")
    alone.stack.kafka.thaw()
    await alone.until_drained(120)
    await until_quiet(prometheus, "RechargeNothingReads")
    await killed([running])


@pytest.mark.timeout(420)
async def test_a_loop_that_hangs(alone: Service, prometheus: Prometheus, ports: Ports) -> None:
    """Nothing but a defect makes a loop hang: one intake waits in a rebalance for as long as aiokafka does, which is for ever where
    the broker goes away in the middle of it. The other one's loop turns.
    """
    hanging = alone.site.spawn("ingest", env=listening(ports[0]), without="poll-ends")
    turning = alone.site.spawn("ingest", env=listening(ports[1]))
    silent = alone.site.spawn("ingest", env=listening(ports[2]))
    for port, process in zip(ports, (hanging, turning, silent), strict=True):
        await until_ready(port, process)
    prometheus.watch("recharge", ports[:2])
    await until_seen(prometheus, "recharge_stalled == 0", 2)
    # The group waits for the silent member's session to end before it lets the fourth one in.
    silent.freeze()
    fourth = alone.site.spawn("ingest")
    await until_problems(ports[0], "assignment")
    alone.stack.kafka.freeze()
    await until_firing(prometheus, "RechargeStalled", timeout_s=limits.LOOP_STALLED_S + 60)
    (stalled,) = await prometheus.query("recharge_stalled == 1")
    assert stalled.labels["instance"] == f"127.0.0.1:{ports[0]}"
    told = await answers(alone, "RechargeStalled", port=ports[0])
    (line,) = logged_by(hanging, "a loop hangs")
    for said in (told["RechargeStalled"], str(line["problems"])):
        assert "the intake's loop has not come round for 12" in said
        assert "getmany" in said
    assert [(await get(port, "/healthz")).status for port in ports[:2]] == [503, 200]
    assert logged_by(turning, "a loop hangs") == []
    alone.stack.kafka.thaw()
    await killed([hanging, turning, silent, fourth])
