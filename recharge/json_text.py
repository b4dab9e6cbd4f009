"""JSON read so strictly that every other parser reads the same from it, or a reason in one line.

Python's own parser takes NaN, lets the last of two equal names win, turns numbers into floats and recurses once a
level.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from recharge import limits


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it is written, since a float would change it and Python refuses to read very long integers."""

    text: str


class JsonRefusedError(Exception):
    """Why bytes are not a JSON object that this service reads. Its text never repeats a value."""


_UTF8_BOM = b"\xef\xbb\xbf"
# A whole string (also one without an end, so that no quote inside it is tried again), or a bracket outside of strings.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def read_object(value: bytes | None, known: Sequence[str]) -> dict[str, object]:
    """The object's fields, with every number as it is written.

    `known` are the names that matter to the caller: these alone are repeated in reasons, and none of them may stand
    twice in different letter case. Raises JsonRefusedError for everything that is not one unambiguous JSON object.
    """
    if value is None:
        raise JsonRefusedError("the value is null")
    if value.startswith(_UTF8_BOM):
        raise JsonRefusedError("the value begins with a byte order mark, which JSON does not allow")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonRefusedError(f"the value is not UTF-8: byte {error.start} cannot be read") from None
    _check_depth(text)

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return _unique(pairs, known)

    try:
        parsed = json.loads(
            text, object_pairs_hook=unique, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise JsonRefusedError(
            f"the value is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    if not isinstance(parsed, dict):
        raise JsonRefusedError("the value is JSON, but not an object")
    _refuse_look_alikes(parsed, known)
    return parsed


def _check_depth(text: str) -> None:
    # The parser recurses once a level, so the depth is counted before it runs. Few brackets cannot nest deeply.
    if text.count("[") + text.count("{") <= limits.JSON_DEPTH_MAX:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case _:
                continue  # A string, whose brackets are text.
        if depth > limits.JSON_DEPTH_MAX:
            raise JsonRefusedError(f"the value is nested deeper than {limits.JSON_DEPTH_MAX} levels")


def _unique(pairs: list[tuple[str, object]], known: Sequence[str]) -> dict[str, object]:
    unique: dict[str, object] = {}
    for name, value in pairs:
        if name in unique:
            # A name that we do not know may be a customer's number, so it is not repeated.
            shown = name if name in known else "a field"
            raise JsonRefusedError(f"{shown} stands twice in the same object")
        unique[name] = value
    return unique


def _refuse_constant(_: str) -> object:
    raise JsonRefusedError("the value is not JSON: it holds NaN or Infinity")


def _refuse_look_alikes(fields: dict[str, object], known: Sequence[str]) -> None:
    # Some parsers match names in any letter case and take the last: they would read another amount from "Amount".
    folded = {name.casefold(): name for name in known if name in fields}
    for name in fields:
        wanted = folded.get(name.casefold(), name)
        if wanted != name:
            raise JsonRefusedError(f"{wanted} stands twice, in different letter case")
