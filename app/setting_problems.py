"""What can be wrong with settings, in plain words: a line each, with full name and example, and never the value."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from recharge.problem import WrongSettings
from recharge.settings import Section

PREFIX = "RECHARGE_"
FILE_SUFFIX = "_FILE"
LINES_MAX = 4
FILE_BYTES_MAX = 256 * 1024
"""A file of settings or with a secret is far smaller; a larger one is another file, named by mistake."""

_HIDDEN_EXAMPLE = "…"
_FIELD_NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
_WORDS = {
    "missing": "is missing",
    "enum": "must be {expected}",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_short": "must have at least {min_length} characters",
    "too_short": "must have at least {min_length} characters",
    "string_unicode": "must be text in UTF-8",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} characters",
}


class SettingsError(WrongSettings):
    """Settings that are wrong or missing. Its text is for people: a line for each, four at most, and never a value."""

    def __init__(self, lines: list[str]) -> None:
        shown = (
            lines if len(lines) <= LINES_MAX else [*lines[: LINES_MAX - 1], f"and {len(lines) - LINES_MAX + 1} more"]
        )
        super().__init__("\n".join(shown))
        self.lines = tuple(lines)
        """All of the problems, also those that the text only counts."""


class FileProblemError(Exception):
    """Why a file that a variable names cannot be read. Its text follows the variable's name."""


@dataclass(frozen=True, slots=True)
class Given:
    """A setting as it was given: by which variable, with which text."""

    name: str
    text: str = field(repr=False)


@dataclass(slots=True)
class Reading:
    """The settings that were given so far, and what is wrong with them."""

    given: dict[tuple[str, str], Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    refused: set[tuple[str, str]] = field(default_factory=set)

    def refuse(self, key: tuple[str, str], problem: str) -> None:
        """Note a problem of a setting that was given, so that it is not called missing as well."""
        self.problems.append(problem)
        self.refused.add(key)


def variable(section: str, name: str) -> str:
    """The full name of a setting in the environment."""
    return f"{PREFIX}{section}__{name}".upper()


def read_small_file(path: str) -> str:
    """The text of a file of settings or with a secret. Raises FileProblemError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise FileProblemError(f"names a file above {FILE_BYTES_MAX // 1024} KiB, which cannot be the right one")
        return content.decode("utf-8")
    except OSError as error:
        raise FileProblemError(f"names a file that cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileProblemError("names a file that is not UTF-8 text") from None
    except ValueError:
        raise FileProblemError("must be the path of a file, without null characters") from None


def unknown_section(name: str, section: str, models: Mapping[str, type[Section]]) -> Iterator[str]:
    """The problem of a variable whose section is almost one that this process reads; others may be anybody's."""
    for near in difflib.get_close_matches(section.lower(), models, n=1, cutoff=0.75):
        yield f"{name} is not a setting; did you mean {PREFIX}{near.upper()}__{name.partition('__')[2].upper()}?"


def one_underscore(name: str, models: Mapping[str, type[Section]]) -> Iterator[str]:
    """The problem of a variable that would be a setting of this process if its section ended with two underscores instead of one."""
    rest = name.removeprefix(PREFIX).lower()
    for section, model in models.items():
        field_name = rest.removeprefix(f"{section}_")
        if field_name != rest and field_name.removesuffix(FILE_SUFFIX.lower()) in model.model_fields:
            yield f"{name} is not a setting; did you mean {variable(section, field_name)}?"


def unknown_field(name: str, section: str, rest: str, model: type[Section]) -> str:
    """The problem of a variable that no field of its section has for a name."""
    candidates = [*model.model_fields, *(f"{field_name}{FILE_SUFFIX.lower()}" for field_name in model.model_fields)]
    near = difflib.get_close_matches(rest.lower(), candidates, n=1)
    if near:
        return f"{name} is not a setting; did you mean {variable(section, near[0])}?"
    settings = ", ".join(field_name.upper() for field_name in model.model_fields)
    return f"{name} is not a setting; {variable(section, '')}… are {settings}"


def validation_problems(error: ValidationError, models: Mapping[str, type[Section]], reading: Reading) -> Iterator[str]:
    """A line for each setting that its model refused."""
    seen = set(reading.refused)
    for details in error.errors(include_url=False, include_input=False):
        section = str(details["loc"][0])
        name, problem = _name_and_problem(details)
        # Without a name it is a rule over several settings, which speaks of a setting only where its message names one.
        if (section, name) in seen:
            continue
        seen.add((section, name))
        given = reading.given.get((section, name))
        if given is not None and given.text == "":
            problem = "is empty"
        yield _line(section, name, problem, models[section], given)


def _name_and_problem(details: ErrorDetails) -> tuple[str, str]:
    """The field's name and its problem. The models' own rules over several fields name one as `field|problem`."""
    context = details.get("ctx", {})
    if details["type"] != "value_error":
        words = _WORDS.get(details["type"])
        problem = f"is not valid: {details['msg']}" if words is None else words.format(**context)
        return str(details["loc"][1]), problem.replace("'", "")
    message = str(context["error"])
    if len(details["loc"]) > 1:
        return str(details["loc"][1]), message
    name, _, problem = message.partition("|")
    return name, problem


def _line(section: str, name: str, problem: str, model: type[Section], given: Given | None) -> str:
    full = variable(section, name)
    origin = f" (from {given.name})" if given is not None and given.name != full else ""
    return f"{full}{origin} {_with_full_names(section, problem, model)}; for example {_example(section, name, model)}"


def _with_full_names(section: str, problem: str, model: type[Section]) -> str:
    def full(match: re.Match[str]) -> str:
        return variable(section, match[0]) if match[0] in model.model_fields else match[0]

    return _FIELD_NAME.sub(full, problem)


def _example(section: str, name: str, model: type[Section]) -> str:
    examples = model.model_fields[name].examples or []
    if _HIDDEN_EXAMPLE in examples:
        return f"{variable(section, name)}{FILE_SUFFIX}=/run/secrets/{section}_{name}"
    return f"{variable(section, name)}={examples[0]}"
