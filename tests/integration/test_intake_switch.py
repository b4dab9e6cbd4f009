"""The switch of the intake on the real servers: paused, nothing new is started, nothing is lost, and the order is kept."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
import structlog.testing
from temporalio.client import Client, WorkflowExecutionStatus
from typer.testing import CliRunner

from app import process
from app.main import cli
from devstack.processes import wait_until
from devstack.simulator.client import Rule
from devstack.stack import Devstack
from ingest import pause as pauses
from ingest.kafka import RecordReader
from ingest.pause import Pause
from operations import switch
from operations.telling import Discretion
from recharge import contract, limits
from recharge.privacy import mask_text
from tests.conftest import SiteMaker
from tests.integration.conftest import CornerMaker
from tests.support.intake import FINAL_TIMEOUT_S, Corner, logged
from tests.support.records import value
from tests.support.service import Service, stopped

NOT_FOUND = 404
DISCRETION = Discretion(mask=mask_text)


async def told(corner: Corner, *command: str, **environment: str) -> tuple[int, str]:
    """Run a command as a person would; its exit status, and all that it said."""
    ended = corner.site.spawn(*command, env=environment)
    return await ended.wait(FINAL_TIMEOUT_S), ended.log_file.read_text()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources whose switch was looked at, in this process, ten times a second."""
    monkeypatch.setattr(limits, "PAUSE_POLL_S", 0.1)
    seen: list[str] = []
    read: Callable[[Client, str], Awaitable[Pause | None]] = pauses.read

    async def counted(client: Client, source: str) -> Pause | None:
        found = await read(client, source)
        seen.append(source)
        return found

    monkeypatch.setattr(pauses, "read", counted)
    return seen


async def some_looks(looks: list[str], count: int = 5) -> None:
    """Wait until the ingester has looked at its switch some more times, so that it had many a turn to start something."""
    before = len(looks)
    await wait_until(lambda: len(looks) >= before + count, FINAL_TIMEOUT_S, "it has looked", interval_s=0.02)


# --- Paused by a person -----------------------------------------------------------------------------------------------


async def test_paused_what_was_started_goes_on_nothing_new_starts_and_the_order_is_kept(
    make_corner: CornerMaker, looks: list[str]
) -> None:
    corner = await make_corner(2)
    await corner.produce(0, ["wait", *["slow"] * 4])
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await corner.until_open(0, 0)
            await switch.pause(corner.client, corner.site.source, by="ann", note="maintenance", discretion=DISCRETION)
            await wait_until(lambda: logged(logs, "intake is paused"), FINAL_TIMEOUT_S, "the intake is paused")
            await corner.produce(1, ["slow"] * 4)
            await corner.finish(0, 0)
            await corner.until_committed({0: 1})
            await some_looks(looks)
            assert (await corner.status(0, 1), await corner.status(1, 0)) == (None, None)
    (line,) = logged(logs, "intake is paused")
    assert (line["by"], line["note"]) == ("ann", "maintenance")

    # After a restart it stays paused, and goes on when it is resumed.
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: len(logged(logs, "partition assigned")) == 2, FINAL_TIMEOUT_S, "it has joined")
            await some_looks(looks)
            assert not logged(logs, "record started")
            assert len(logged(logs, "intake is paused")) == 1
            # Who pauses the switch itself in Temporal, leaves it thrown.
            await corner.pause_in_temporal(contract.pause_workflow_id(corner.site.source))
            await some_looks(looks)
            assert not logged(logs, "intake goes on")
            await switch.resume(corner.client, corner.site.source, by="bob", note="it is over", discretion=DISCRETION)
            await corner.until_drained()
    assert logged(logs, "intake goes on")
    await corner.assert_each_ran_once_in_order({0: 5, 1: 4})


async def test_a_paused_intake_looks_at_its_switch_before_it_starts_anything_after_a_restart(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAUSE_POLL_S", 3600.0)  # there is the look at the start and no other
    await corner.produce(0, ["succeeded"] * 3)
    await switch.pause(corner.client, corner.site.source, by="ann", note="maintenance", discretion=DISCRETION)
    polls: list[int] = []
    poll = RecordReader.poll

    async def counted(reader: RecordReader, partitions: list[int], **how: Any) -> Any:
        polls.append(len(partitions))
        return await poll(reader, partitions, **how)

    monkeypatch.setattr(RecordReader, "poll", counted)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake():
            await wait_until(lambda: logged(logs, "partition assigned"), FINAL_TIMEOUT_S, "it has joined")
            # Polling goes on, which keeps the membership alive, and asks for no partition.
            before = len(polls)
            await wait_until(lambda: len(polls) >= before + 5, FINAL_TIMEOUT_S, "it polls on", interval_s=0.02)
    assert set(polls) == {0}
    assert not logged(logs, "record started")
    assert await corner.runs() == []


async def test_the_commands_say_who_and_why_once_and_temporal_keeps_it(corner: Corner) -> None:
    note = "maintenance " + "x" * 2000
    assert (await told(corner, "resume", "--by", "bob", "--note", "over"))[0] == 1
    status, said = await told(corner, "pause", "--by", "ann", "--note", note)
    assert (status, said.count("\n")) == (0, 1), said
    described = await corner.client.get_workflow_handle(f"{corner.site.source}:pause").describe()
    assert described.workflow_type == contract.PAUSE_WORKFLOW_TYPE
    assert described.status is WorkflowExecutionStatus.RUNNING
    assert await described.memo() == {"by": "ann", "note": note[: limits.REASON_CHARS_MAX]}

    status, said = await told(corner, "pause", "--by", "eve", "--note", "me too")
    assert (status, said.count("\n")) == (1, 1), said
    assert f"the intake of {corner.site.source} is paused already by ann since " in said
    since = re.search(r"since ([-0-9]+ [:0-9]+) UTC: maintenance", said)
    assert since is not None
    began = datetime.strptime(since[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - began) < timedelta(minutes=5)

    status, said = await told(corner, "resume", "--by", "bob", "--note", "over " + note)
    assert (status, said.count("\n")) == (0, 1), said
    assert "paused by ann since" in said
    described = await corner.client.get_workflow_handle(f"{corner.site.source}:pause").describe()
    assert described.status is WorkflowExecutionStatus.TERMINATED
    history = await corner.client.get_workflow_handle(f"{corner.site.source}:pause").fetch_history()
    ended = history.events[-1].workflow_execution_terminated_event_attributes
    assert ended.reason.startswith("resumed by bob: over maintenance")
    status, said = await told(corner, "resume", "--by", "bob", "--note", "over")
    assert (status, said) == (1, f"recharge: the intake of {corner.site.source} is not paused\n")
    # It may be paused again later.
    await switch.pause(corner.client, corner.site.source, by="ann", note="again", discretion=DISCRETION)


@pytest.mark.parametrize(
    "arguments",
    [("pause", "--note", "why"), ("pause", "--by", " ", "--note", "why"), ("resume", "--by", "ann", "--note", "")],
)
def test_a_switch_without_who_or_why_is_refused_in_one_line(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command line itself, with its end replaced by an exception: it is refused before any setting is read.
    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(process, "leave", leave)
    said = CliRunner().invoke(cli, arguments, env={})
    assert (said.exit_code, said.stdout, said.stderr.count("\n")) == (2, "", 1), said
    assert "--by WHO --note WHY" in said.stderr


async def test_a_pause_that_cannot_reach_temporal_says_so_in_one_line(corner: Corner) -> None:
    status, said = await told(corner, "pause", "--by", "ann", "--note", "why", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert (status, said.count("\n")) == (1, 1), said
    assert "127.0.0.1:1" in said
    assert await switch.standing(corner.client, corner.site.source) is None


# --- Paused by the intake itself --------------------------------------------------------------------------------------


async def test_refusals_in_a_row_are_counted_over_all_partitions_and_no_row_is_full_by_others(
    make_corner: CornerMaker, looks: list[str]
) -> None:
    corner = await make_corner(2)
    environment = {"RECHARGE_INGEST__REFUSED_IN_A_ROW_MAX": "6"}
    # Five in a row, one carried out, five more with other ends between them: no row of six.
    await corner.produce(0, [404] * 5 + ["succeeded"] + [404, "rejected", "skipped"] * 5)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(environment):
            await corner.until_committed({0: 21})
            assert await switch.standing(corner.client, corner.site.source) is None
            await corner.produce(1, ["succeeded"])
            await corner.until_committed({0: 21, 1: 1})
            for partition in (0, 1):
                await corner.produce(partition, [404] * 20)
            await wait_until(lambda: logged(logs, "intake is paused"), FINAL_TIMEOUT_S, "it pauses itself")
            await some_looks(looks)
            paused = await switch.standing(corner.client, corner.site.source)
    assert paused is not None
    assert paused.by.startswith("recharge ingest at ")
    assert "6 records in a row refused with 404, the newest of them" in paused.note
    # When the sixth ended, one of the other partition was in flight.
    assert 22 + 6 <= len(logged(logs, "record started")) <= 22 + 7
    assert len(logged(logs, "too many records refused in a row")) == 1

    # What was refused before is found when it is read again, and does not count: it takes six new ones.
    await corner.move_group({0: 0, 1: 0})
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(environment):
            await switch.resume(corner.client, corner.site.source, by="ann", note="look again", discretion=DISCRETION)
            await wait_until(lambda: logged(logs, "too many records refused"), FINAL_TIMEOUT_S, "six more are refused")
            await some_looks(looks)
    assert len(logged(logs, "record attached")) >= 6
    assert 6 <= len(logged(logs, "record started")) <= 7


async def test_without_an_order_no_more_than_was_in_flight_is_refused_beyond_the_row_and_that_is_committed(
    corner: Corner, looks: list[str]
) -> None:
    row, in_flight = 6, 4
    environment = {
        "RECHARGE_INGEST__REFUSED_IN_A_ROW_MAX": str(row),
        "RECHARGE_INGEST__MAX_IN_FLIGHT": str(in_flight),
        "RECHARGE_INGEST__ORDERING": "none",
    }
    await corner.produce(0, [422] * 40)
    with structlog.testing.capture_logs() as logs:
        async with corner.intake(environment):
            await wait_until(lambda: logged(logs, "intake is paused"), FINAL_TIMEOUT_S, "it pauses itself")
            started = len(logged(logs, "record started"))
            await corner.until_committed({0: started})
            await some_looks(looks)
            assert len(logged(logs, "record started")) == started
    assert row <= started <= row + in_flight - 1


async def test_a_wrong_url_rejects_20_records_and_no_more(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site()
    service = Service.of(stack, site, client)
    provider = stack.simulator.client
    await service.send(0, *(value(requestId=f"r-{number}") for number in range(30)))
    await provider.set_rules(Rule(f"status:{NOT_FOUND}", prefix=f"{site.source}:"))
    try:
        running = site.spawn("run")

        async def is_paused() -> bool:
            return await switch.standing(client, site.source) is not None

        await wait_until(is_paused, FINAL_TIMEOUT_S, "the intake pauses itself", interval_s=0.1)
        await service.until_committed({0: 20})
        # A restart changes nothing about it.
        await stopped([running])
        running = site.spawn("run")
        await wait_until(lambda: "partition assigned" in running.log_file.read_text(), FINAL_TIMEOUT_S, "it has joined")
        await stopped([running])
        assert await service.states() == {(0, offset): "rejected" for offset in range(20)}
        assert sum((await service.posts()).values()) == 20
        assert len(await stack.kafka.read_all(f"{site.topic}.dlt")) == 20
    finally:
        await provider.set_rules()
    running = site.spawn("run")
    assert (await told(service, "resume", "--by", "ann", "--note", "the URL is right now"))[0] == 0
    await service.until_drained()
    await stopped([running])
    assert await service.states() == {(0, offset): "rejected" if offset < 20 else "succeeded" for offset in range(30)}
    assert await service.charges() == {(0, offset): 1 for offset in range(20, 30)}
    posts = await provider.posts(f"{site.source}:")
    assert [int(post.reference.rpartition(":")[2]) for post in posts] == list(range(30))
