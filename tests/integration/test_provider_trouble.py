"""Provider-wide trouble on the real servers: it rejects and doubts nothing, starts no more than may be in flight, and is told."""

import io
from collections.abc import AsyncIterator

import pytest
import structlog.testing
from rich.console import Console
from temporalio.client import Client

from activities.ledger import OperatorLedger
from activities.ledger.waiting import WaitingRecords
from app import alarms
from app.environment import StatusEnvironment, WorkerEnvironment, load
from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.client import Rule
from devstack.stack import Devstack
from operations import status as statuses
from operations import status_screen, switch
from operations.status import Status
from operations.telling import Discretion
from recharge import instruments, limits
from recharge.privacy import mask_text
from tests.conftest import SiteMaker
from tests.support.intake import FINAL_TIMEOUT_S, logged
from tests.support.records import value
from tests.support.service import Service, killed, stopped

IN_FLIGHT_MAX = 3
RECORDS = 12
NARROW = {"RECHARGE_INGEST__ORDERING": "none", "RECHARGE_INGEST__MAX_IN_FLIGHT": str(IN_FLIGHT_MAX)}
NOBODY = "https://127.0.0.1:1/recharges"
DISCRETION = Discretion(mask=mask_text)


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> AsyncIterator[Service]:
    """A site whose records the simulator answers as it always does, again after the test."""
    yield Service.of(stack, await make_site(), client)
    await stack.simulator.client.set_rules()


async def status_of(service: Service) -> Status:
    """The service at this moment, as `recharge status` asks."""
    settings = load(StatusEnvironment, service.site.environment)
    ledger = OperatorLedger(settings.mysql.url.get_secret_value(), connections_max=1)
    try:
        return await statuses.gather(settings.kafka, ledger, service.client, None, service.site.task_queue)
    finally:
        await ledger.close()


def screen(status: Status) -> str:
    """What a person sees of it."""
    out = io.StringIO()
    status_screen.show_status(Console(file=out, width=200, highlight=False), status, DISCRETION)
    return out.getvalue()


async def alarmed(service: Service) -> dict[str, float]:
    """The metric about the provider after two looks at the ledger, which say it in the log."""
    settings = load(WorkerEnvironment, service.site.environment)
    ledger = WaitingRecords(settings.mysql.url.get_secret_value(), connections_max=1)
    alarm = alarms.Alarms(ledger, settings.provider)
    try:
        for _ in range(2):
            await alarm.look()
    finally:
        await ledger.close()
    return {each.labels[0]: each.value for each in alarm.readings() if each.instrument is instruments.PROVIDER_RETRYING}


@pytest.mark.parametrize(
    ("trouble", "outcome", "code", "word"),
    [("dead", "not_sent", None, "refused"), ("expired token", "not_charged", 401, "401")],
)
async def test_a_provider_wide_trouble_rejects_and_doubts_nothing_and_is_told(
    service: Service, trouble: str, outcome: str, code: int | None, word: str
) -> None:
    site, provider = service.site, service.stack.simulator.client
    await service.send(0, *(value(requestId=f"r-{number}") for number in range(RECORDS)))
    worker: ManagedProcess
    if trouble == "dead":
        worker = site.spawn("worker", env={"RECHARGE_PROVIDER__URL": NOBODY})
    else:
        await provider.set_rules(Rule("status:401", prefix=f"{site.source}:"))
        worker = site.spawn("worker")
    ingest = site.spawn("ingest", env=NARROW)

    async def all_retried() -> bool:
        rows = await service.stack.mysql.execute(
            f"SELECT COUNT(*) FROM {site.names.database}.recharge_attempts WHERE number = 2 AND outcome IS NOT NULL"
        )
        return bool(rows[0][0] == IN_FLIGHT_MAX)

    await wait_until(all_retried, FINAL_TIMEOUT_S, "every record in flight was tried again", interval_s=0.1)
    states = await service.states()
    assert sorted(states) == [(0, offset) for offset in range(IN_FLIGHT_MAX)]
    assert set(states.values()) <= {"retrying", "sending"}
    assert await service.committed() == {}

    told = statuses.as_json(await status_of(service), DISCRETION)
    assert isinstance(told["provider"], dict)
    assert told["provider"]["retrying"] == IN_FLIGHT_MAX
    (newest,) = told["provider"]["newest"]
    assert (newest["outcome"], newest["status"], newest["records"]) == (outcome, code, IN_FLIGHT_MAX)
    assert word in str(newest["said"])
    seen = screen(await status_of(service))
    assert f"provider: {IN_FLIGHT_MAX} records being retried" in seen
    assert f"{IN_FLIGHT_MAX} {outcome}, newest: " in seen
    with structlog.testing.capture_logs() as logs:
        assert await alarmed(service) == {"not_sent": 0.0, "not_charged": 0.0} | {outcome: IN_FLIGHT_MAX}
    (line,) = logged(logs, "the provider carries nothing out")
    assert (line["records"], line["outcome"]) == (IN_FLIGHT_MAX, outcome)

    # The cause is mended, and everything is carried out once.
    if trouble == "dead":
        await stopped([worker])
        worker = site.spawn("worker")
    await provider.set_rules()
    await service.until_drained()
    await stopped([ingest, worker])
    assert await service.charges() == {(0, offset): 1 for offset in range(RECORDS)}
    assert set((await service.states()).values()) == {"succeeded"}
    assert "provider: no record is being retried" in screen(await status_of(service))


@pytest.mark.parametrize("token", [pytest.param(None, marks=pytest.mark.long), "0" * 48], ids=["missing", "wrong"])
async def test_a_token_that_the_provider_does_not_take_doubts_nothing_and_stands_nowhere(
    service: Service, token: str | None
) -> None:
    site = service.site
    right = site.environment.pop("RECHARGE_PROVIDER__AUTH_TOKEN")
    await service.send(0, value())
    # With a name of its own in the group a killed intake's successor goes on at once.
    site.environment["RECHARGE_KAFKA__GROUP_INSTANCE_ID"] = "intake-0"
    running = site.spawn("run", env={} if token is None else {"RECHARGE_PROVIDER__AUTH_TOKEN": token})

    async def tried_twice() -> bool:
        rows = await service.stack.mysql.execute(
            f"SELECT outcome, status FROM {site.names.database}.recharge_attempts WHERE outcome IS NOT NULL"
        )
        assert set(rows) <= {("not_charged", 401)}
        return len(rows) >= 2

    await wait_until(tried_twice, FINAL_TIMEOUT_S, "the call was tried again", process=running, interval_s=0.1)
    assert await service.states() == {(0, 0): "retrying"}
    told = statuses.as_json(await status_of(service), DISCRETION)
    shown = screen(await status_of(service))
    await killed([running])
    running_again = site.spawn("run", env={"RECHARGE_PROVIDER__AUTH_TOKEN": right})
    await service.until_drained()
    await stopped([running_again])
    assert await service.states() == {(0, 0): "succeeded"}
    assert await service.charges() == {(0, 0): 1}
    rows = await service.ledger_rows()
    everything = f"{told} {shown} {rows} {running.log_file.read_text()} {running_again.log_file.read_text()}"
    assert "401" in everything
    assert right not in everything
    assert token is None or token not in everything


async def test_status_tells_who_paused_the_intake_and_which_record_holds_a_partition_at_its_bound(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = service.site
    await service.send(0, value(simulate=["status:500"], requestId="first"))
    await service.send(0, *(value(requestId=f"r-{number}") for number in range(8)))
    running = site.spawn("run", env={"RECHARGE_INGEST__ORDERING": "none"})
    await service.until_states({(0, 0): "in_doubt"} | {(0, offset): "succeeded" for offset in range(1, 9)})

    before = await status_of(service)
    assert (before.is_paused, before.pause) == (False, None)
    assert [(each.final_distance, each.is_at_final_distance) for each in before.partitions] == [(8, False)]
    assert "intake: not paused" in screen(before)

    monkeypatch.setattr(limits, "FINAL_DISTANCE_MAX", 9)
    monkeypatch.setattr(limits, "BUFFERED_RECORDS_MAX", 1)
    await switch.pause(service.client, site.source, by="ann", note="the provider is at work", discretion=DISCRETION)
    after = await status_of(service)
    told = statuses.as_json(after, DISCRETION)
    assert isinstance(told["intake"], dict)
    assert (told["intake"]["is_paused"], told["intake"]["by"]) == (True, "ann")
    assert told["intake"]["note"] == "the provider is at work"
    assert str(told["intake"]["since"]).endswith("Z")
    assert isinstance(told["partitions"], list)
    (partition,) = told["partitions"]
    assert (partition["final_distance"], partition["is_at_final_distance"]) == (8, True)
    assert partition["blocked_by"] == service.workflow_id(0, 0)
    assert partition["blocked_s"] > 0
    seen = screen(after)
    assert "intake: paused by ann since " in seen
    assert f"{service.workflow_id(0, 0)} (in_doubt, begun" in seen
    assert "8 offsets are final beyond it" in seen
    await running.kill_and_wait()
