"""Workflow and activities agree on every name and shape, although neither imports the other, and the worker registers them all."""

import ast
import asyncio
import dataclasses
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any, Union

import pytest
from temporalio import activity, workflow
from temporalio.client import Client

import workflows
from app import workers
from app.environment import WorkerEnvironment, load
from app.health import Health
from recharge import contract
from workflows.recharge import RechargeWorkflow

ENVIRONMENT = {
    "RECHARGE_MYSQL__URL": "mysql://user:password@127.0.0.1:3306/ledger",
    "RECHARGE_PROVIDER__URL": "https://127.0.0.1:1/recharges",
}
STARTS = {
    "workflow.execute_activity",
    "workflow.execute_local_activity",
    "workflow.start_activity",
    "workflow.start_local_activity",
    "steps.in_the_ledger",
}
KNOWN: dict[str, Any] = vars(contract) | {"type(None)": type(None)}
PLAIN = {str, int, float, bool, type(None)}


@dataclasses.dataclass(frozen=True)
class Use:
    """One place where a workflow runs an activity: by which name, with which task, expecting which result."""

    name: str
    task: type
    result: type


def uses() -> list[Use]:
    """Every activity that the workflows run, read from their source."""
    found = []
    passed_on: set[int] = set()
    for file in sorted(Path(workflows.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.AsyncFunctionDef(name="in_the_ledger"):
                    passed_on = {id(part) for part in ast.walk(node)}
                case ast.Call() if id(node) not in passed_on and ast.unparse(node.func) in STARTS:
                    name, task, *rest = node.args
                    assert isinstance(task, ast.Call), f"{file.name}:{node.lineno} hands over something made elsewhere"
                    result, *_ = rest or [keyword.value for keyword in node.keywords if keyword.arg == "result_type"]
                    named = [KNOWN[ast.unparse(part)] for part in (name, task.func, result)]
                    found.append(Use(named[0], named[1], named[2]))
    return found


class CapturingWorker:
    """Stands in the place of Temporal's worker and keeps what it was given."""

    given: typing.ClassVar[dict[str, dict[str, Any]]] = {}
    """The arguments by the task queue."""

    def __init__(self, _client: Client, *, task_queue: str, **arguments: object) -> None:
        self.given[task_queue] = arguments

    async def shutdown(self) -> None:
        return None

    async def __aenter__(self) -> typing.Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.fixture
async def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, activity._Definition]:
    """The activities that the worker's process registers, by their names."""

    async def is_there(_: object) -> None:
        return None

    monkeypatch.setattr(workers, "Worker", CapturingWorker)
    monkeypatch.setattr(workers, "wait_for_ledger", is_there)
    monkeypatch.setattr(workers, "check_search_attributes", is_there)
    settings = load(WorkerEnvironment, ENVIRONMENT)
    nobody = typing.cast("Client", object())
    stop = asyncio.Event()
    async with workers.worker(nobody, settings, stop, None, Health(stop, ["worker"])):
        pass
    return of_queue("recharge")


def of_queue(task_queue: str) -> dict[str, activity._Definition]:
    given = CapturingWorker.given[task_queue]["activities"]
    definitions = [activity._Definition.must_from_callable(each) for each in given]
    return {str(definition.name): definition for definition in definitions}


def test_the_workflows_name_their_activities_by_the_contract() -> None:
    declared = {value for name, value in vars(contract).items() if name.endswith("_ACTIVITY")}
    assert {use.name for use in uses()} == declared


def test_the_worker_registers_exactly_the_activities_of_the_contract_and_its_workflow(
    registered: dict[str, activity._Definition],
) -> None:
    assert set(registered) == {use.name for use in uses()}
    assert [each.__name__ for each in CapturingWorker.given["recharge"]["workflows"]] == [contract.WORKFLOW_TYPE]


@pytest.mark.usefixtures("registered")
def test_the_queue_of_the_calls_has_a_worker_for_the_activity_that_sends_and_for_nothing_else() -> None:
    calls = contract.calls_task_queue("recharge")
    assert set(of_queue(calls)) == {contract.RECHARGE_ACTIVITY}
    assert "workflows" not in CapturingWorker.given[calls]


def test_each_activity_takes_the_task_that_the_workflow_hands_over_and_returns_what_it_expects(
    registered: dict[str, activity._Definition],
) -> None:
    for use in uses():
        definition = registered[use.name]
        assert definition.arg_types == [use.task], f"{use.name} takes {definition.arg_types}"
        assert definition.ret_type is use.result, f"{use.name} returns {definition.ret_type}"
        assert definition.is_async


def test_the_update_is_named_by_the_contract_and_carries_one_payload_each_way() -> None:
    updates = workflow._Definition.must_from_class(RechargeWorkflow).updates
    assert set(updates) == {contract.RESOLVE_UPDATE}
    definition = updates[contract.RESOLVE_UPDATE]
    assert definition.arg_types == [contract.Decision]
    assert definition.ret_type is contract.DecisionReply


def problems(kind: object, where: str) -> list[str]:
    """What in a payload's type Temporal's converter would lose or refuse."""
    if kind in PLAIN or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return []
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return [
            problem
            for field in dataclasses.fields(kind)
            for problem in problems(hints[field.name], f"{where}.{field.name}")
        ]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {Union, types.UnionType}:
        (*others,) = (argument for argument in arguments if argument is not type(None))
        if len(others) > 1:
            return [f"{where} may be several things, of which the converter takes the first"]
        return problems(others[0], where)
    if origin in {list, tuple}:
        return [problem for argument in arguments if argument is not ... for problem in problems(argument, where)]
    return [f"{where} is {kind!r}, which has no form in JSON"]


PAYLOADS = [kind for kind in vars(contract).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


@pytest.mark.parametrize("kind", PAYLOADS)
def test_payloads_are_dataclasses_of_plain_json(kind: type) -> None:
    assert problems(kind, kind.__name__) == []
