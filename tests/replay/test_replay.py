"""Today's workflow goes on with every workflow that an earlier build has begun, and a change that could not is found here."""

import json
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.workflow import NondeterminismError

from devstack.stack import Devstack
from recharge.contract import LOOK_UP_ACTIVITY, WORKFLOW_TYPE
from tests.replay.changed_workflow import Careless, ForgetsTheBackoff, NeverTells, PausesFirst
from tests.replay.record import HISTORIES, play, show
from tests.replay.scenarios import scenarios
from tests.workflow.stage import Stage, event_names, replay

NAMES = sorted(scenarios())
FILE_BYTES_MAX = 40 * 1024


def history(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
async def test_the_workflow_replays_every_recorded_history(name: str) -> None:
    await replay(history(name))


def test_every_scenario_has_a_small_history_and_every_history_a_scenario() -> None:
    files = sorted(HISTORIES.glob("*.json"))
    assert [file.stem for file in files] == NAMES
    for file in files:
        assert file.stat().st_size < FILE_BYTES_MAX, f"{file.name} is too large"


@pytest.mark.parametrize("name", NAMES)
def test_a_history_tells_a_whole_workflow_and_nothing_about_the_machine(name: str) -> None:
    events = event_names(history(name))
    assert events[0] == "WORKFLOW_EXECUTION_STARTED"
    assert events[-1] == f"WORKFLOW_EXECUTION_{'COMPLETED' if scenarios()[name].succeeds else 'FAILED'}"
    text = (HISTORIES / f"{name}.json").read_text()
    for word in ("/work/", "/home/", "site-packages", '"identity"', "stackTrace"):
        assert word not in text
    assert WORKFLOW_TYPE in text


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (PausesFirst, "charged_at_once"),
        (PausesFirst, "invalid"),
        (ForgetsTheBackoff, "retried_until_charged"),
        (NeverTells, "charged_at_once"),
        (NeverTells, "in_doubt_then_charged"),
    ],
)
async def test_a_changed_workflow_is_found(changed: type, name: str) -> None:
    with pytest.raises(NondeterminismError):
        await replay(history(name), changed)


async def test_a_change_is_found_only_where_it_matters() -> None:
    await replay(history("charged_at_once"), ForgetsTheBackoff)


async def test_a_module_that_nobody_meant_to_let_into_the_sandbox_is_refused() -> None:
    with pytest.raises(Exception, match=r"activities"):
        await replay(history("charged_at_once"), Careless)


async def test_a_history_replays_as_the_client_and_as_the_command_line_write_it(
    stack: Devstack, client: Client, tmp_path: Path
) -> None:
    async with Stage(client, "replay-formats", "replay-formats").open() as stage:
        run = await play(stage, scenarios()["in_doubt_then_charged"])
    by_client = (await run.history()).to_json()
    by_command = json.dumps(show(stack.temporal.address, stack.temporal.namespace, run.record.workflow_id))
    file = tmp_path / "history.json"
    for text in (by_client, by_command):
        file.write_text(text)
        loaded = WorkflowHistory.from_json(run.record.workflow_id, file.read_text())
        await replay(loaded)
        assert LOOK_UP_ACTIVITY in file.read_text()
        with pytest.raises(NondeterminismError):
            await replay(loaded, PausesFirst)
