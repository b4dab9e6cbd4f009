"""`recharge replay` tells before a release whether it goes on with the workflows that are open, and what it cannot tell."""

import asyncio
import json
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from typer.testing import CliRunner

from app import process
from app.main import cli
from app.replay_commands import Report
from devstack.processes import wait_until
from devstack.stack import Devstack
from operations import histories
from operations.histories import Recorded, parse
from operations.replay import Replay, Verdict, event_type, summary
from recharge import limits
from recharge.contract import (
    INTAKE_TASK_QUEUE,
    INTAKE_WORKFLOW_TYPE,
    LOOK_UP_ACTIVITY,
    PAUSE_WORKFLOW_TYPE,
    RECHARGE_ACTIVITY,
    WORKFLOW_TYPE,
    RechargeResult,
    RecordInput,
)
from recharge.outcome import State
from tests.replay.changed_workflow import ForgetsTheBackoff, NeverTells, PausesFirst
from tests.replay.record import HISTORIES, show
from tests.replay.scenarios import IN_DOUBT, scenarios
from tests.support import command
from tests.support.command import Told
from tests.support.records import record
from tests.workflow.stage import Stage, not_answered
from workflows.recharge import RechargeWorkflow

NUMBERS = ("600111222", "600333444")
WITH_A_CHANGED_WORKFLOW = (
    "import workflows.recharge; from tests.replay.changed_workflow import {name}; "
    "workflows.recharge.RechargeWorkflow = {name}; from app.main import main; main()"
)


async def ask(
    *arguments: str, stdin: bytes = b"", workflow: str | None = None, server: Mapping[str, str] | None = None
) -> Told:
    """Run `recharge replay` as a person would, with the workflow of a changed build where one is named."""
    start = None if workflow is None else ("-c", WITH_A_CHANGED_WORKFLOW.format(name=workflow))
    told = await command.ask("replay", *arguments, environment=server or {}, stdin=stdin, start=start)
    assert not any(number in told.out + told.err for number in NUMBERS)
    return told


def replaying(changed: type) -> Replay:
    """A replay by a worker with this workflow."""
    return Replay(Replayer(workflows=[changed], workflow_runner=UnsandboxedWorkflowRunner()))


def recorded(name: str) -> Recorded:
    return Recorded(name, parse((HISTORIES / f"{name}.json").read_bytes(), name))


async def test_this_build_goes_on_with_every_recorded_workflow() -> None:
    told = await ask(str(HISTORIES), "--json")
    assert (told.status, told.err) == (0, ""), told
    report = told.json()
    names = sorted(scenarios())
    assert [Path(each["name"]).stem for each in report["histories"]] == names
    assert (report["ok"], report["counts"]) == (True, {"replays": len(names), "broken": 0, "refused": 0, "skipped": 0})


async def test_a_build_that_would_stop_open_workflows_is_told_with_the_event_and_what_to_do(tmp_path: Path) -> None:
    for name in ("charged_at_once", "retried_until_charged"):
        (tmp_path / f"{name}.json").write_bytes((HISTORIES / f"{name}.json").read_bytes())
    told = await ask(str(tmp_path), workflow="ForgetsTheBackoff")
    assert (told.status, told.err) == (1, ""), told
    fine, broken, summary = told.out.splitlines()
    assert fine.startswith("ok: ")
    assert broken.startswith(f"broken: {tmp_path}/retried_until_charged.json ")
    assert " at event 7 TimerStarted: " in broken
    assert "1 of 2 histories replay, 1 broken" in summary
    assert "workflow.patched" in summary
    assert "pin open workflows to the build" in summary


@pytest.mark.parametrize(
    ("changed", "name", "where"),
    [
        (PausesFirst, "charged_at_once", "MarkerRecorded"),
        (ForgetsTheBackoff, "retried_until_charged", "TimerStarted"),
        (NeverTells, "in_doubt_then_charged", "UpsertWorkflowSearchAttributes"),
    ],
)
async def test_the_first_event_that_the_code_contradicts_is_found(changed: type, name: str, where: str) -> None:
    history = recorded(name)
    result = await replaying(changed).judge(history)
    assert (result.verdict, result.event_type) == (Verdict.BROKEN, where), result
    assert result.event_id is not None
    # With one event less there is nothing to contradict, and with this one there is.
    for events, verdict in ((result.event_id - 1, Verdict.REPLAYS), (result.event_id, Verdict.BROKEN)):
        beginning = WorkflowHistory(name, history.history.events[:events])
        assert (await replaying(changed).judge(Recorded(name, beginning))).verdict is verdict


@workflow.defn(name=WORKFLOW_TYPE)
class Raises(RechargeWorkflow):
    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        raise LookupError(f"no rate for {record.transfer}")


@workflow.defn(name=WORKFLOW_TYPE)
class AsksForMore(RechargeWorkflow):
    @workflow.run
    async def run(self, record: RecordInput, rate: str) -> RechargeResult:  # type: ignore[override]
        raise AssertionError((record, rate))


@pytest.mark.parametrize(
    ("changed", "why"), [(Raises, "no rate for"), (AsksForMore, "missing 1 required positional argument: 'rate'")]
)
async def test_code_that_fails_is_broken_too(changed: type, why: str) -> None:
    result = await replaying(changed).judge(recorded("charged_at_once"))
    assert result.verdict is Verdict.BROKEN
    assert result.said is not None
    assert why in result.said
    assert "Traceback" not in result.said
    assert "\n" not in result.said


@pytest.mark.parametrize("events", [1, 2, 3])
async def test_a_workflow_that_no_worker_has_answered_contradicts_nothing(events: int) -> None:
    beginning = WorkflowHistory("w", recorded("charged_at_once").history.events[:events])
    result = await replaying(PausesFirst).judge(Recorded("w", beginning))
    assert (result.verdict, result.said) == (Verdict.REPLAYS, "no worker has answered it yet")


async def test_a_replay_that_does_not_end_is_told_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    monkeypatch.setattr(limits, "REPLAY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(Replayer, "replay_workflow", hang)
    result = await replaying(RechargeWorkflow).judge(recorded("charged_at_once"))
    never.set()
    assert (result.verdict, result.said) == (Verdict.BROKEN, "its replay did not end within 0.05 s")


def spelt(name: str, **changes: object) -> bytes:
    """A recorded history whose start says something else."""
    history = json.loads((HISTORIES / f"{name}.json").read_text())
    history["events"][0]["workflowExecutionStartedEventAttributes"] |= changes
    return json.dumps(history).encode()


async def test_what_cannot_be_replayed_is_refused_by_name_and_the_rest_is_replayed(tmp_path: Path) -> None:
    files = {
        "foreign.json": spelt("invalid", workflowType={"name": "Billing"}),
        "decoded.json": spelt("invalid", input={"payloads": [{"source": "s", "donor": NUMBERS[0]}]}),
        "sealed.json": spelt("invalid", input={"payloads": [{"metadata": {"encoding": "c2VhbGVk"}, "data": "AA=="}]}),
        "torn.json": (HISTORIES / "invalid.json").read_bytes()[:-30],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    given = [str(tmp_path / name) for name in (*files, "missing.json", "folder")]
    told = await ask(*given, "-", stdin=(HISTORIES / "invalid.json").read_bytes())
    assert told.status == 2, told
    assert told.out.splitlines()[0].startswith("ok: standard input")
    assert told.out.splitlines()[1:] == ["1 of 7 histories replay, 6 refused"]
    whys = (
        "it is the history of a Billing, and only RechargeWorkflow is replayed",
        "its input cannot be decoded (encoding: none is told)",
        "its input cannot be decoded (encoding: sealed)",
        "it is no JSON",
        "it cannot be read: No such file or directory",
        "the folder holds no file whose name ends in .json",
    )
    lines = told.err.splitlines()
    assert len(lines) == len(whys)
    for line, name, why in zip(lines, given, whys, strict=True):
        assert line.startswith(f"refused: {name}"), line
        assert f": {why}" in line


async def test_workflows_that_no_code_runs_are_skipped_and_are_never_all_that_was_replayed(tmp_path: Path) -> None:
    purposes = {
        INTAKE_WORKFLOW_TYPE: "it records where an intake began",
        PAUSE_WORKFLOW_TYPE: "it is open while an intake is paused",
    }
    without_code = [tmp_path / f"{kind}.json" for kind in purposes]
    for path in without_code:
        path.write_bytes(spelt("invalid", workflowType={"name": path.stem}))
    one = str(HISTORIES / "invalid.json")
    with_one, alone = await asyncio.gather(ask(*map(str, without_code), one), ask(*map(str, without_code), "--json"))
    assert (with_one.status, with_one.err) == (0, ""), with_one
    lines = with_one.out.splitlines()
    assert [line.split(": ", 2)[0] for line in lines[:3]] == ["skipped", "skipped", "ok"]
    for line, (kind, purpose) in zip(lines, purposes.items(), strict=False):
        assert line.endswith(f": no code runs in a {kind}: {purpose}")
    assert lines[3:] == ["1 of 1 history replays, 2 without code skipped"]
    assert alone.status == 2, alone
    told = alone.json()
    assert (told["ok"], told["counts"]["skipped"]) == (False, 2)
    assert told["summary"] == "0 of 0 histories replay, 2 without code skipped"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("h.json", "--query", "x"), "not both"),
        (("h.json", "--limit", "3"), "not both"),
        (("--query", " "), "--query is empty"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    arguments: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command line itself, with its end replaced by an exception: these are refused before any setting is read.
    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(process, "leave", leave)
    told = CliRunner().invoke(cli, ["replay", *arguments], env={})
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1), told
    assert why in told.stderr


async def test_workflows_of_the_server_are_replayed_while_they_are_open(stack: Devstack, client: Client) -> None:
    server = {
        "TEMPORAL_ADDRESS": stack.temporal.address,
        "TEMPORAL_NAMESPACE": stack.temporal.namespace,
        "RECHARGE_TEMPORAL__WEB_UI_URL": stack.temporal.ui_url,
    }
    source = "replay-query"
    found = f"WorkflowId STARTS_WITH '{source}:'"
    async with Stage(client, source, source).open() as stage:
        script: dict[str, list[object]] = {
            RECHARGE_ACTIVITY: [IN_DOUBT],
            LOOK_UP_ACTIVITY: [not_answered("still unknown", delay_s=600)],
        }
        doubtful = await stage.start(record(source, stage.next_offset()), script)
        await doubtful.until_status(State.IN_DOUBT)
        unbegun = f"{source}:t:0:7"
        await client.start_workflow(WORKFLOW_TYPE, record(source, 7), id=unbegun, task_queue=INTAKE_TASK_QUEUE)
        intake = f"{source}:t:intake"
        await client.start_workflow(INTAKE_WORKFLOW_TYPE, id=intake, task_queue=INTAKE_TASK_QUEUE)

        async def listed() -> bool:
            in_doubt = await histories.count(client, f"{found} AND RechargeStatus = 'in_doubt'")
            return in_doubt == 1 and await histories.count(client, found) == 3

        await wait_until(listed, command.COMMAND_TIMEOUT_S, "the three workflows can be found")
        doubts = f"{found} AND RechargeStatus='in_doubt'"
        ours, broken, all_of_them, none = await asyncio.gather(
            ask("--query", f"{found} AND WorkflowType = '{WORKFLOW_TYPE}'", "--json", server=server),
            ask("--query", doubts, workflow="PausesFirst", server=server),
            ask("--query", found, server=server),
            ask("--query", f"{found} AND RechargeStatus = 'skipped'", server=server),
        )
        for nonsense in ("RechargeStatus ~ 7", "RechargeMood = 'good'"):
            with pytest.raises(histories.QueryRefused, match="invalid"):
                await histories.count(client, nonsense)
        by_default = [each.name async for each in histories.from_server(client, histories.OPEN_WORKFLOWS, 1000)]
        one = [each.name async for each in histories.from_server(client, found, 1)]
        of_the_ui = await asyncio.to_thread(downloaded, stack, doubtful.record.workflow_id)
        shown = show(stack.temporal.address, stack.temporal.namespace, doubtful.record.workflow_id)
        for workflow_id in (doubtful.record.workflow_id, unbegun, intake):
            await client.get_workflow_handle(workflow_id).terminate()

    assert ours.status == 0, ours
    saids = {each["workflow_id"]: (each["verdict"], each["said"]) for each in ours.json()["histories"]}
    assert saids == {
        doubtful.record.workflow_id: ("replays", None),
        unbegun: ("replays", "no worker has answered it yet"),
    }
    assert broken.status == 1, broken
    assert broken.out.startswith(f"broken: {doubtful.record.workflow_id} at event 5 MarkerRecorded: ")
    assert f"{stack.temporal.ui_url}/namespaces/" in broken.out.splitlines()[0]
    assert (all_of_them.status, all_of_them.err) == (0, ""), all_of_them
    assert all_of_them.out.endswith("2 of 2 histories replay, 1 without code skipped\n")
    assert none.status == 2, none
    assert "nothing was replayed: no workflow" in none.err
    assert {doubtful.record.workflow_id, unbegun} <= set(by_default)
    assert intake not in by_default
    assert len(one) == 1
    for raw in (of_the_ui, json.dumps(shown).encode()):
        downloaded_history = Recorded("file", parse(raw, "w"))
        assert downloaded_history.history.workflow_id == doubtful.record.workflow_id
        assert (await replaying(RechargeWorkflow).judge(downloaded_history)).verdict is Verdict.REPLAYS
        assert (await replaying(PausesFirst).judge(downloaded_history)).verdict is Verdict.BROKEN


def downloaded(stack: Devstack, workflow_id: str) -> bytes:
    """A history as the Web UI's download has it: the events of its own API's answer, in one object."""
    path = f"namespaces/{stack.temporal.namespace}/workflows/{quote(workflow_id, safe='')}/history"
    with urllib.request.urlopen(f"{stack.temporal.ui_url}/api/v1/{path}", timeout=command.COMMAND_TIMEOUT_S) as answer:  # noqa: S310
        events = json.load(answer)["history"]["events"]
    return json.dumps({"events": events}).encode()


def test_event_types_are_written_as_the_web_ui_writes_them() -> None:
    history = recorded("retried_until_charged").history
    assert event_type(history, 7) == "TimerStarted"


@pytest.mark.parametrize(
    ("found", "is_sample", "status"),
    [(2, False, 0), (3, True, 0), pytest.param(3, False, 2, id="more than anybody asked to leave out")],
)
def test_a_release_is_not_let_through_by_a_part_of_the_open_workflows(found: int, is_sample: bool, status: int) -> None:
    report = Report(as_json=True, web_ui=None, is_sample=is_sample)
    report.expect(found, 2)
    report.counts[Verdict.REPLAYS] = 2
    assert report.exit_status == status
    report.counts[Verdict.BROKEN] = 1
    assert report.exit_status == 1


def test_what_a_limit_left_out_is_told() -> None:
    assert summary(Counter({Verdict.REPLAYS: 2}), 3) == "2 of 2 histories replay, 3 more found and left out (--limit)"
