"""Histories of workflows to replay: from files, as three tools write them, and from the server."""

import asyncio
import json
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from google.protobuf.json_format import ParseError
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from recharge import limits
from recharge.contract import WORKFLOW_TYPE

STDIN = "-"
OPEN_WORKFLOWS = f"WorkflowType = '{WORKFLOW_TYPE}' AND CloseTime IS NULL"
"""The query for every record's workflow that is open. A paused one is open too, and not `Running`."""

_STDIN_NAME = "standard input"
_RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_PAGE_WORKFLOWS = 100
_PARSED_FIELD = re.compile(r"Failed to parse (\w+) field")


class HistoryProblem(Exception):
    """Something holds no history that can be replayed. Its text is one line, without anything of the history's content."""


class QueryRefused(Exception):
    """The server does not understand the query. Its text is the server's."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One history. `name` is what people know it by: its file, or its workflow's id where the server has it."""

    name: str
    history: WorkflowHistory
    run_id: str | None = None
    """The run, where the server told it; a reset run's own history names an older one."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was named and holds no history, and why."""

    name: str
    problem: str


def from_files(names: Sequence[str]) -> Iterator[Recorded | Unreadable]:
    """The histories of these files, of the `.json` files in these folders and below, and of standard input (`-`), one after another."""
    for name in names:
        if name == STDIN:
            yield _read(_STDIN_NAME, sys.stdin.buffer)
            continue
        path = Path(name)
        if not path.is_dir():
            yield _read_file(path)
            continue
        found = sorted(path.rglob("*.json"))
        if not found:
            yield Unreadable(name, "the folder holds no file whose name ends in .json")
        for file in found:
            yield _read_file(file)


def _read_file(path: Path) -> Recorded | Unreadable:
    try:
        with path.open("rb") as file:
            return _read(str(path), file)
    except OSError as error:
        return Unreadable(str(path), f"it cannot be read: {error.strerror or type(error).__name__}")


def _read(name: str, file: BinaryIO) -> Recorded | Unreadable:
    raw = file.read(limits.REPLAY_HISTORY_BYTES_MAX + 1)
    if len(raw) > limits.REPLAY_HISTORY_BYTES_MAX:
        return Unreadable(name, f"it is longer than {limits.REPLAY_HISTORY_BYTES_MAX // limits.MIB} MiB")
    try:
        return Recorded(name, parse(raw, Path(name).stem))
    except HistoryProblem as problem:
        return Unreadable(name, str(problem))


def parse(raw: bytes, otherwise_id: str) -> WorkflowHistory:
    """The history in the JSON of `temporal workflow show --output json`, of the Web UI's download, or of tctl, whose enums are spelled
    otherwise and whose file may be the bare list of events.

    Args:
        raw: the file's bytes, in any of JSON's encodings.
        otherwise_id: the workflow's id where the history does not tell it.

    Raises HistoryProblem where it is none of these, or not the whole history.
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise HistoryProblem(f"it is no JSON: {_json_problem(error)}") from None
    if isinstance(value, list):
        value = {"events": value}
    if not isinstance(value, dict) or not isinstance(value.get("events"), list):
        raise HistoryProblem("it holds no list of events; write it by: temporal workflow show --output json")
    try:
        history = WorkflowHistory.from_json(otherwise_id, value)
    except ParseError as error:
        # The parser's text repeats what it could not read, so only the name of the field is taken from it.
        raise HistoryProblem(
            f"it cannot be read at {'.'.join(_PARSED_FIELD.findall(str(error))) or 'an event'}"
        ) from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # the SDK goes through the JSON before it looks at its types
        raise HistoryProblem("its events are not those of a workflow") from None
    _check_whole(history)
    told_id = history.events[0].workflow_execution_started_event_attributes.workflow_id
    return WorkflowHistory(told_id or otherwise_id, history.events)


def _json_problem(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}, column {error.colno}"
        case UnicodeDecodeError():
            return f"byte {error.start} is not {error.encoding}"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return "it holds a number that is too long"


_KNOWN_TYPES = frozenset(EventType.values()) - {EventType.EVENT_TYPE_UNSPECIFIED}
"""A number that stands for no type is read by protobuf as it is."""


def _check_whole(history: WorkflowHistory) -> None:
    """Half a history, or one that lost what it does not know, would replay where the whole one does not."""
    if not history.events:
        raise HistoryProblem("it holds no event")
    for number, event in enumerate(history.events, start=1):
        if event.event_id != number:
            raise HistoryProblem(f"it is not whole: where event {number} should stand is event {event.event_id}")
        if event.event_type not in _KNOWN_TYPES or event.WhichOneof("attributes") is None:
            raise HistoryProblem(f"event {number} is of a type that is not known here")
    first = history.events[0]
    is_start = first.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    if not is_start or not first.HasField("workflow_execution_started_event_attributes"):
        raise HistoryProblem("its first event is not the workflow's start")


async def count(client: Client, query: str) -> int:
    """How many workflows a query finds. Raises QueryRefused, or RPCError where the server does not answer."""
    request = CountWorkflowExecutionsRequest(namespace=client.namespace, query=query)
    try:
        answer = await client.workflow_service.count_workflow_executions(request, retry=True, timeout=_RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise QueryRefused(error.message) from error
        raise
    return int(answer.count)


async def from_server(client: Client, query: str, limit: int) -> AsyncIterator[Recorded | Unreadable]:
    """The histories of the workflows that a query finds, `limit` of them at most; a few are fetched ahead, and no more are held.

    Raises RPCError where the server does not answer.
    """
    ahead: deque[asyncio.Task[Recorded | Unreadable]] = deque()
    try:
        async for workflow in _listed(client, query, limit):
            ahead.append(asyncio.create_task(_fetch(client, workflow)))
            if len(ahead) >= limits.REPLAY_FETCHED_MAX:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()


async def _listed(client: Client, query: str, limit: int) -> AsyncIterator[WorkflowExecutionInfo]:
    # The SDK's own list has no word for a paused workflow and raises, so the answer is read as it comes.
    left, token = limit, b""
    while left > 0:
        size = min(_PAGE_WORKFLOWS, left)
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=size, next_page_token=token
        )
        answer = await client.workflow_service.list_workflow_executions(request, retry=True, timeout=_RPC_TIMEOUT)
        for workflow in answer.executions[:left]:
            yield workflow
        left, token = left - len(answer.executions), answer.next_page_token
        if not token:
            return


async def _fetch(client: Client, workflow: WorkflowExecutionInfo) -> Recorded | Unreadable:
    workflow_id, run_id = workflow.execution.workflow_id, workflow.execution.run_id
    try:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history(rpc_timeout=_RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return Unreadable(workflow_id, "the server has deleted its history since it was listed")
        raise
    return Recorded(workflow_id, history, run_id)
