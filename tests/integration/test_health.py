"""What real processes show to Prometheus, and `status` to a person. How readiness follows the servers is tested with their bad days."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import Mapping

import pytest
from temporalio.client import Client

from devstack.processes import wait_until
from devstack.server import minimal_environment
from devstack.stack import Devstack
from recharge import limits
from recharge.release import release
from tests.conftest import SiteMaker
from tests.support.command import AS_A_MODULE, ask
from tests.support.deployment import make_current
from tests.support.http import Ports, listening, metrics, until_ready
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, killed, stopped, until_logged

ALTERNATE_SCREEN = "\x1b[?1049h"
LEAVE_ALTERNATE_SCREEN = "\x1b[?1049l"
SHOW_CURSOR = "\x1b[?25h"


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


async def test_status_tells_who_works_with_which_release_and_goes_on_looking_until_ctrl_c(
    service: Service, ports: Ports
) -> None:
    worker = service.site.spawn("worker", env=listening(ports[0]))
    await until_ready(ports[0], worker)
    told, shown = await asyncio.gather(
        ask("status", "--json", environment=service.site.environment),
        ask("status", environment=service.site.environment),
    )
    (poller,) = told.json()["workers"]
    assert poller["identity"].startswith(f"recharge@{release()} {worker.pid}@")
    assert poller["release"] == release()
    assert 0 <= poller["last_seen_s"] < limits.POLLER_SEEN_S
    assert told.json()["intakes"] == []
    assert f"1 poll: {poller['identity']}" in shown.out
    assert "none is in the group, so nothing is read" in shown.out
    screen, status = await watched(service.site.environment, until=poller["identity"])
    assert status == 0
    # The screen is a page of its own, and what was on the terminal before is back at the end.
    assert screen.count(ALTERNATE_SCREEN) == 1
    assert screen.rstrip().endswith((LEAVE_ALTERNATE_SCREEN, SHOW_CURSOR))
    assert "Traceback" not in screen
    await stopped([worker])


async def test_status_tells_the_release_of_an_intake_with_a_group_instance_id_and_without(service: Service) -> None:
    intakes = [
        service.site.spawn("ingest"),
        service.site.spawn("ingest", env={"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "intake-0"}),
    ]
    for each in intakes:
        await until_logged(each, "partition assigned")
    told = (await ask("status", "--json", environment=service.site.environment)).json()
    assert sorted((each["name"], each["release"]) for each in told["intakes"]) == [
        ("intake-0", release()),
        (f"recharge@{release()}", release()),
    ]
    shown = (await ask("status", environment=service.site.environment)).out
    assert f"intake-0 ({release()}) at 127.0.0.1" in shown
    assert f"recharge@{release()} at 127.0.0.1" in shown
    await stopped(intakes)


async def watched(environment: Mapping[str, str], until: str) -> tuple[str, int]:
    """What `recharge status --watch` shows on a terminal until this text stands there twice and Ctrl-C is typed; its exit status."""
    master, terminal = os.openpty()
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, *AS_A_MODULE, "status", "--watch"),
        env=minimal_environment(TERM="xterm", COLUMNS="200", LINES="50") | dict(environment),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    screen = bytearray()

    def take(wait_s: float) -> bool:
        """Take in what was written; False at its end."""
        ready, _, _ = select.select([master], [], [], wait_s)
        try:
            chunk = os.read(master, 65536) if ready else b""
        except OSError:
            return False
        screen.extend(chunk)
        return True

    try:
        async with asyncio.timeout(FINAL_TIMEOUT_S):
            while screen.count(until.encode()) < 2:
                assert await asyncio.to_thread(take, 1.0), screen.decode()
            command.send_signal(signal.SIGINT)
            while await asyncio.to_thread(take, 0.2) and command.returncode is None:
                pass
            return screen.decode(), await command.wait()
    finally:
        if command.returncode is None:
            command.kill()
            await command.wait()
        os.close(master)
