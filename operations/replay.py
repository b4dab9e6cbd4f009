"""`recharge replay`: whether the workflow's code at hand goes on with workflows that an earlier build has begun.

A worker that takes over an open workflow runs its code against the history from the first event. Where the code asks for something
else than what is recorded, the workflow stands still until a build comes that agrees. This does the same beforehand, and reaches no
server and no effect.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from operations.histories import Recorded, Unreadable
from operations.telling import Discretion, Json
from recharge import limits
from recharge.contract import INTAKE_WORKFLOW_TYPE, PAUSE_WORKFLOW_TYPE, WORKFLOW_TYPE
from recharge.payload_codec import PayloadUnreadable
from recharge.text import printable

WHAT_TO_DO = (
    "keep the old code path behind workflow.patched('NAME') for as long as such workflows are open, "
    "or pin open workflows to the build that began them"
)
_SAID = re.compile(r'message: "(?P<said>(?:[^"\\]|\\.)*)"')
_CORE_PREFIX = re.compile(r"\[TMPRL[0-9]+\] (?:Nondeterminism error: )?")
_SAID_CHARS_MAX = 300
_WITHOUT_CODE = {
    INTAKE_WORKFLOW_TYPE: "it records where an intake began",
    PAUSE_WORKFLOW_TYPE: "it is open while an intake is paused",
}
"""The workflows that no worker knows, and what they are for."""


class Verdict(StrEnum):
    """What a replay says about one history."""

    REPLAYS = "replays"
    BROKEN = "broken"
    REFUSED = "refused"
    """Nothing was replayed: it is no history, or none of ours."""
    SKIPPED = "skipped"
    """Nothing was replayed, and nothing is to be: it is a workflow of the intake's, which no code runs."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one history. `said` is why it is broken or refused, or what there is to know of one that replays."""

    name: str
    verdict: Verdict
    said: str | None = None
    workflow_id: str | None = None
    run_id: str | None = None
    events: int = 0
    event_id: int | None = None
    """The first event that the code contradicts."""
    event_type: str | None = None


class Replay:
    """Replays histories with a replayer, each in a worker of its own, so that one cannot spoil the next."""

    def __init__(self, replayer: Replayer) -> None:
        self._replayer = replayer
        self._converter = replayer.config(active_config=True)["data_converter"]

    async def judge(self, recorded: Recorded | Unreadable) -> Result:
        """Replay one history."""
        if isinstance(recorded, Unreadable):
            return Result(recorded.name, Verdict.REFUSED, recorded.problem)
        history = recorded.history
        kind = _type_of(history)
        verdict, said, event_id = (
            (Verdict.SKIPPED, f"no code runs in a {kind}: {_WITHOUT_CODE[kind]}", None)
            if kind in _WITHOUT_CODE
            else await self._verdict(history)
        )
        return Result(
            name=recorded.name,
            verdict=verdict,
            said=said,
            workflow_id=history.workflow_id,
            run_id=recorded.run_id or history.run_id,
            events=len(history.events),
            event_id=event_id,
            event_type=None if event_id is None else event_type(history, event_id),
        )

    async def _verdict(self, history: WorkflowHistory) -> tuple[Verdict, str | None, int | None]:
        refusal = await self._refusal(history)
        if refusal is not None:
            return Verdict.REFUSED, refusal, None
        answered = _first_answer(history)
        if answered is None:
            # The SDK would wait for ever: there is nothing that the code could contradict.
            return Verdict.REPLAYS, "no worker has answered it yet", None
        try:
            failure = await self._failure(history)
            if failure is None:
                return Verdict.REPLAYS, None, None
            return Verdict.BROKEN, _said(failure), await self._first_contradicted(history, answered)
        except TimeoutError:
            return Verdict.BROKEN, f"its replay did not end within {limits.REPLAY_TIMEOUT_S:g} s", None

    async def _refusal(self, history: WorkflowHistory) -> str | None:
        kind = _type_of(history)
        if kind != WORKFLOW_TYPE:
            return f"it is the history of a {kind or 'nameless workflow'}, and only {WORKFLOW_TYPE} is replayed"
        start = history.events[0].workflow_execution_started_event_attributes
        try:
            await self._converter.decode(start.input.payloads)
        except PayloadUnreadable as error:
            return str(error)
        except Exception:  # noqa: BLE001  # a converter or a codec may raise anything
            encodings = {
                payload.metadata.get("encoding", b"").decode(errors="replace") for payload in start.input.payloads
            }
            shown = ", ".join(sorted(each for each in encodings if each)) or "none is told"
            return (
                f"its input cannot be decoded (encoding: {shown}); take the history as the server keeps it, not decoded"
            )
        return None

    async def _failure(self, history: WorkflowHistory) -> Exception | None:
        """Why a history does not replay. Raises TimeoutError where the replay does not end; it is left behind then."""
        # A replay that hangs cannot be cancelled: its own clean-up waits for it. So it is not waited for, and nothing is cancelled.
        replaying = asyncio.create_task(self._replayer.replay_workflow(history, raise_on_replay_failure=False))
        done, _ = await asyncio.wait({replaying}, timeout=limits.REPLAY_TIMEOUT_S)
        if not done:
            raise TimeoutError
        return replaying.result().replay_failure

    async def _first_contradicted(self, history: WorkflowHistory, answered: int) -> int:
        """The id of the last event of the shortest beginning that does not replay. Not every failure names its event."""
        replays, fails = answered - 1, len(history.events)
        while fails - replays > 1:
            middle = (replays + fails) // 2
            beginning = WorkflowHistory(history.workflow_id, history.events[:middle])
            if await self._failure(beginning) is None:
                replays = middle
            else:
                fails = middle
        return fails


def _type_of(history: WorkflowHistory) -> str:
    """The name of the workflow's type."""
    return str(history.events[0].workflow_execution_started_event_attributes.workflow_type.name)


def _first_answer(history: WorkflowHistory) -> int | None:
    """The id of the event by which a worker first answered. A replay needs it: before it nothing is recorded of what the code did."""
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            return int(event.event_id)
    return None


def event_type(history: WorkflowHistory, event_id: int) -> str:
    """The type of an event, as Temporal's Web UI writes it: `TimerStarted`."""
    name = EventType.Name(history.events[event_id - 1].event_type).removeprefix("EVENT_TYPE_")
    return "".join(word.capitalize() for word in name.split("_"))


def _said(failure: Exception) -> str:
    """The failure in one line: what the SDK says inside of what it wraps around it."""
    match = _SAID.search(str(failure))
    text = str(failure) if match is None else re.sub(r"\\(.)", r"\1", match["said"].replace("\\n", " "))
    line = _CORE_PREFIX.sub("", text, count=1)
    return line if len(line) <= _SAID_CHARS_MAX else line[:_SAID_CHARS_MAX] + "…"


def line(result: Result, discretion: Discretion) -> str:
    """What is told of one history."""
    name = result.name if result.workflow_id in {None, result.name} else f"{result.name} ({result.workflow_id})"
    said = discretion.text(result.said)
    match result.verdict:
        case Verdict.REPLAYS:
            text = f"ok: {name}, {result.events} events" + ("" if said is None else f"; {said}")
        case Verdict.BROKEN:
            where = "" if result.event_id is None else f" at event {result.event_id} {result.event_type}"
            text = f"broken: {name}{where}: {said}"
        case Verdict.REFUSED:
            text = f"refused: {name}: {said}"
        case Verdict.SKIPPED:
            text = f"skipped: {name}: {said}"
        case _:
            assert_never(result.verdict)
    return printable(text)


def as_json(result: Result, discretion: Discretion, web_ui_url: str | None = None) -> dict[str, Json]:
    """The same as a JSON object. Fields may be added to it, and none is taken away."""
    return {
        "name": result.name,
        "verdict": result.verdict.value,
        "said": discretion.text(result.said),
        "workflow_id": result.workflow_id,
        "run_id": result.run_id,
        "events": result.events,
        "event_id": result.event_id,
        "event_type": result.event_type,
        "what_to_do": WHAT_TO_DO if result.verdict is Verdict.BROKEN else None,
        "web_ui_url": web_ui_url,
    }


def summary(counts: Counter[Verdict], left_out: int) -> str:
    """The last line: how many replay, and what to do where one does not."""
    total = counts.total() - counts[Verdict.SKIPPED]
    parts = [f"{counts[Verdict.REPLAYS]} of {total} histor{'y replays' if total == 1 else 'ies replay'}"]
    if counts[Verdict.BROKEN]:
        parts.append(f"{counts[Verdict.BROKEN]} broken")
    if counts[Verdict.REFUSED]:
        parts.append(f"{counts[Verdict.REFUSED]} refused")
    if counts[Verdict.SKIPPED]:
        parts.append(f"{counts[Verdict.SKIPPED]} without code skipped")
    if left_out > 0:
        parts.append(f"{left_out} more found and left out (--limit)")
    text = ", ".join(parts)
    return f"{text}. This build would stop them: {WHAT_TO_DO}." if counts[Verdict.BROKEN] else text
