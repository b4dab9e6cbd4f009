"""Records the histories that the replay tests hold the workflow against.

    python -m tests.replay.record            what has no history yet
    python -m tests.replay.record NAME…      these, also where they have one

It starts a local stack in a temporary folder, runs each scenario on the real server, and writes the history as
`temporal workflow show --output json` prints it. Stack traces and process names are taken out: no replay needs them, and they tell
about the machine. The phone numbers in them are those of the tests.
"""

import asyncio
import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowFailureError

from app.temporal import register_search_attributes
from devstack.stack import Devstack
from tests.replay.scenarios import Scenario, scenarios
from tests.support.records import record
from tests.workflow.stage import TIMEOUT_S, Run, Stage

HISTORIES: Final = Path(__file__).with_name("histories")
_OF_THIS_MACHINE: Final = frozenset({"identity", "stackTrace", "binaryChecksum", "workerVersion"})


def show(address: str, namespace: str, workflow_id: str) -> dict[str, Any]:
    """A workflow's history by Temporal's own command."""
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    command = [str(program), "workflow", "show", "--address", address, "--namespace", namespace]
    shown = subprocess.run(
        [*command, "--workflow-id", workflow_id, "--output", "json"], check=True, capture_output=True, timeout=TIMEOUT_S
    )
    history: dict[str, Any] = json.loads(shown.stdout)
    return history


def without_machine(value: object) -> object:
    """The history without what tells about the machine that recorded it."""
    match value:
        case dict():
            return {name: without_machine(part) for name, part in value.items() if name not in _OF_THIS_MACHINE}
        case list():
            return [without_machine(part) for part in value]
        case _:
            return value


async def play(stage: Stage, scenario: Scenario) -> Run:
    """Run a scenario to its end."""
    run = await stage.start(record(stage.source, stage.next_offset(), scenario.value), scenario.script)
    if scenario.meanwhile is not None:
        async with asyncio.timeout(TIMEOUT_S):
            await scenario.meanwhile(run)
    try:
        await run.result()
        ended_well = True
    except WorkflowFailureError:
        ended_well = False
    if ended_well is not scenario.succeeds:
        raise AssertionError(f"{run.record.workflow_id} ended otherwise than its scenario says: {run.calls}")
    return run


async def main(names: list[str]) -> None:
    """Record the scenarios of these names, or those without a history."""
    known = scenarios()
    if foreign := set(names) - set(known):
        raise SystemExit(f"there is no scenario {', '.join(sorted(foreign))}; there are {', '.join(known)}")
    wanted = names or [name for name in known if not (HISTORIES / f"{name}.json").exists()]
    with tempfile.TemporaryDirectory() as folder:
        async with Devstack(Path(folder)) as stack:
            client = await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)
            await register_search_attributes(client)
            async with Stage(client, "replay", "replay").open() as stage:
                for name in wanted:
                    run = await play(stage, known[name])
                    history = show(stack.temporal.address, stack.temporal.namespace, run.record.workflow_id)
                    text = json.dumps(without_machine(history), indent=1, ensure_ascii=False)
                    (HISTORIES / f"{name}.json").write_text(text + "\n")
                    sys.stdout.write(f"{name}: {len(history['events'])} events\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
