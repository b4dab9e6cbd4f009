"""A file of a history is read as each tool writes it, or refused in one line that tells nothing of its content."""

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import EnumDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.enums.v1 import (
    EventType,
    common_pb2,
    event_type_pb2,
    failed_cause_pb2,
    task_queue_pb2,
    workflow_pb2,
)

from operations.histories import HistoryProblem, Recorded, Unreadable, from_files, parse
from recharge import limits
from tests.replay.record import HISTORIES

FILES = sorted(HISTORIES.glob("*.json"))
HISTORY: dict[str, Any] = json.loads((HISTORIES / "retried_until_charged.json").read_text())
NUMBERS = ("34600111222", "34600333444")


def enum_types() -> Iterator[EnumDescriptor]:
    """The enums that stand in histories."""
    for module in (common_pb2, event_type_pb2, failed_cause_pb2, task_queue_pb2, workflow_pb2):
        yield from module.DESCRIPTOR.enum_types_by_name.values()


def tctl_names() -> dict[str, str]:
    """Temporal's names of enum values, and how tctl spells them: `EVENT_TYPE_TIMER_STARTED`, `TimerStarted`."""
    names = {}
    for enum in enum_types():
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
        for name in enum.values_by_name:
            if name.startswith(prefix):
                names[name] = "".join(word.capitalize() for word in name.removeprefix(prefix).split("_"))
    return names


TCTL_NAMES = tctl_names()


def in_tctl_spelling(value: Any) -> Any:
    """The history as tctl spells its enums."""
    match value:
        case dict():
            return {name: in_tctl_spelling(part) for name, part in value.items()}
        case list():
            return [in_tctl_spelling(part) for part in value]
        case str():
            return TCTL_NAMES.get(value, value)
        case _:
            return value


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_tctls_spelling_means_the_same_history(file: Path) -> None:
    history = json.loads(file.read_text())
    respelt = in_tctl_spelling(history)
    assert '"EVENT_TYPE_' not in json.dumps(respelt)
    expected = parse(file.read_bytes(), "w")
    for spelling in (respelt, respelt["events"]):
        read = parse(json.dumps(spelling).encode(), "w")
        assert [event.event_type for event in read.events] == [event.event_type for event in expected.events]
        assert read.workflow_id == expected.workflow_id


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_be_in_any_encoding_of_json(encoding: str) -> None:
    assert len(parse(json.dumps(HISTORY).encode(encoding), "w").events) == len(HISTORY["events"])


def test_the_id_is_the_historys_own_or_else_the_files_name(tmp_path: Path) -> None:
    old = copy.deepcopy(HISTORY)
    told = old["events"][0]["workflowExecutionStartedEventAttributes"].pop("workflowId")
    (tmp_path / "s:t:0:7.json").write_text(json.dumps(old))
    (tmp_path / "with_id.json").write_text(json.dumps(HISTORY))
    found = list(from_files([str(tmp_path)]))
    assert [each.history.workflow_id for each in found if isinstance(each, Recorded)] == ["s:t:0:7", told]


def without(event: int) -> bytes:
    """The history without one event."""
    events = HISTORY["events"]
    return json.dumps({"events": events[: event - 1] + events[event:]}).encode()


def changed(event: int, **fields: object) -> bytes:
    """The history with fields of an event replaced."""
    history = copy.deepcopy(HISTORY)
    history["events"][event - 1] |= fields
    return json.dumps(history).encode()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no JSON: Expecting value at line 1, column 1"),
        (b'{"events": [', "no JSON"),
        (b"\xff{}", "no JSON: byte 0 is not utf-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "a number that is too long"),
        (b"7", "no list of events"),
        (b"{}", "no list of events"),
        (b'{"events": {}}', "no list of events"),
        (b"[]", "holds no event"),
        (b"[7]", "not those of a workflow"),
        (without(1), "where event 1 should stand is event 2"),
        (without(9), "where event 9 should stand is event 10"),
        (json.dumps({"events": HISTORY["events"][::-1]}).encode(), "where event 1 should stand is event 20"),
        (changed(7, eventType="EVENT_TYPE_OF_ANOTHER_YEAR"), "event 7 is of a type that is not known here"),
        (changed(7, timerStartedEventAttributes=[NUMBERS]), "cannot be read at "),
        (changed(1, eventId=[*NUMBERS]), "cannot be read at "),
    ],
)
def test_what_is_no_whole_history_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    with pytest.raises(HistoryProblem) as caught:
        parse(raw, "w")
    text = str(caught.value)
    assert why in text
    assert "\n" not in text
    assert not any(number in text for number in NUMBERS)


def test_each_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPLAY_HISTORY_BYTES_MAX", 1000)
    long, empty = tmp_path / "long.json", tmp_path / "empty"
    long.write_bytes(b" " * 1001)
    empty.mkdir()
    missing = tmp_path / "missing.json"
    found = list(from_files([str(long), str(empty), str(missing)]))
    assert [each.name for each in found] == [str(long), str(empty), str(missing)]
    assert all(isinstance(each, Unreadable) for each in found)


PATHS = st.lists(st.integers(0, 30), min_size=1, max_size=6)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.just([]), st.just({}), st.just([{}])
)


def spoil(value: Any, path: list[int], spoilt: object) -> Any:
    """The JSON value with what stands at a path replaced."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return spoilt
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    value[key] = spoil(value[key], path[1:], spoilt)
    return value


@settings(deadline=None, max_examples=150)
@given(PATHS, VALUES)
def test_a_spoilt_history_is_read_or_refused_and_nothing_else(path: list[int], spoilt: object) -> None:
    raw = json.dumps(spoil(copy.deepcopy(HISTORY), path, spoilt)).encode()
    with contextlib.suppress(HistoryProblem):
        history = parse(raw, "w")
        assert history.events[0].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
