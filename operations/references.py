"""How a person names a record: by its workflow's id, or by where it stands in the topic."""

import re
from collections.abc import Iterable, Sequence

from recharge import limits
from recharge.contract import Position

REFERENCES_MAX = 10_000
"""Records of one command. More of them are a matter for a look at the cause, not for one decision."""

_LINE_CHARS_MAX = limits.WORKFLOW_ID_CHARS_MAX
_NAME = r"[A-Za-z0-9._-]+"
_NUMBERS = r"(?P<partition>[0-9]{1,10})(?P<between>[:/])(?P<offset>[0-9]{1,19})"
_WORKFLOW_ID = re.compile(rf"(?P<source>{_NAME}):(?P<topic>{_NAME}):{_NUMBERS}")
_POSITION = re.compile(rf"(?:(?P<topic>{_NAME})/)?{_NUMBERS}")


class ReferenceProblem(Exception):
    """What was typed names no record. Its text is one line."""


def parse(text: str, *, source: str, topic: str) -> str:
    """The workflow id that a reference means: a workflow id, `topic/partition/offset`, or `partition/offset` of the configured topic.

    Raises ReferenceProblem where it is none of these.
    """
    wanted = text.strip()
    match = _WORKFLOW_ID.fullmatch(wanted)
    if match is not None and match["between"] == ":":
        return Position(match["source"], match["topic"], int(match["partition"]), int(match["offset"])).workflow_id
    match = _POSITION.fullmatch(wanted)
    if match is not None and match["between"] == "/":
        return Position(source, match["topic"] or topic, int(match["partition"]), int(match["offset"])).workflow_id
    raise ReferenceProblem(
        f"{_shown(wanted)} names no record; write a workflow id (source:topic:partition:offset), "
        "topic/partition/offset or partition/offset"
    )


def position_of(workflow_id: str) -> Position:
    """The position that a workflow id names. It must be one, as `parse` returns it."""
    source, topic, partition, offset = workflow_id.split(":")
    return Position(source, topic, int(partition), int(offset))


def parse_all(given: Sequence[str], lines: Iterable[str], *, source: str, topic: str) -> list[str]:
    """The workflow ids of all references, each once and in their order. A single `-` stands for `lines`, one reference a line.

    Raises ReferenceProblem where there is none, where there are too many, or where one names no record: then nothing is decided.
    """
    if "-" in given and len(given) > 1:
        raise ReferenceProblem("- stands for standard input and goes alone, without other records")
    texts = (line for line in lines if line.strip()) if given == ["-"] else iter(given)
    found: dict[str, None] = {}
    for text in texts:
        found[parse(text, source=source, topic=topic)] = None
        if len(found) > REFERENCES_MAX:
            raise ReferenceProblem(f"more than {REFERENCES_MAX} records at once; give them in several commands")
    if not found:
        raise ReferenceProblem(
            "no record is named; give a workflow id, topic/partition/offset, or - for standard input"
        )
    return list(found)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LINE_CHARS_MAX else text[:_LINE_CHARS_MAX] + "…")
