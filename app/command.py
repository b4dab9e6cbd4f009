"""What the commands of a person have in common: their options, their settings, and how they write, refuse and fail."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from app import process
from app.environment import Environment, load
from recharge.text import printable

if TYPE_CHECKING:
    from operations.telling import Discretion

E = TypeVar("E", bound=Environment)
T = TypeVar("T")

FLAG = ""
"""What stands for the value of an option that takes none, in its help."""

Who = Annotated[
    str, typer.Option("--by", metavar="WHO", help="Who decides; every decision needs it.", show_default=False)
]
Why = Annotated[
    str,
    typer.Option(
        "--note", metavar="WHY", help="Why, for those who ask later; every decision needs it.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", metavar=FLAG, help="Write JSON, for scripts.")]
Reveal = Annotated[bool, typer.Option("--reveal", metavar=FLAG, help="Show phone numbers and the record as they are.")]


def check_reason(by: str, note: str) -> None:
    """Refuse a decision without a name or a reason, under a word of the service's own, or with characters that others would not see."""
    if not by.strip() or not note.strip():
        misused("a decision needs a name and a reason: --by WHO --note WHY")
    for option, text in (("--by", by.strip()), ("--note", note.strip())):
        unseen = next((character for character in text if not (character.isprintable() or character.isspace())), None)
        if unseen is not None:
            misused(f"{option} holds a character that cannot be seen (U+{ord(unseen):04X}); write it anew")
    from operations import names  # noqa: PLC0415  # each command loads its own parts alone

    reserved = names.problem_of(by)
    if reserved is not None:
        misused(f"--by {reserved}")


def referring(read: Callable[[], T]) -> T:
    """What is read from the arguments; where they name no record or gap, the command ends by saying so."""
    from operations.references import ReferenceProblem  # noqa: PLC0415

    try:
        return read()
    except ReferenceProblem as problem:
        misused(str(problem))


def settings_of(kind: type[E]) -> E:
    """The settings of a command. It says what went wrong in a line of its own, so that only errors are logged beside it."""
    from app.logging import configure_logging  # noqa: PLC0415
    from recharge.settings import LogLevel  # noqa: PLC0415

    settings = load(kind)
    configure_logging(level=LogLevel.ERROR)
    return settings


def discretion_for(*, reveal: bool) -> "Discretion":
    """Whether numbers are masked in what the command writes."""
    from operations.telling import Discretion  # noqa: PLC0415
    from recharge.privacy import mask_text  # noqa: PLC0415

    return Discretion(mask=mask_text, reveal=reveal)


def write_line(line: str, *, failed: bool) -> None:
    """Write one line for people, to standard error where something failed."""
    from recharge.privacy import mask_text  # noqa: PLC0415

    typer.echo(printable(mask_text(line)), err=failed)


def write_json(value: object) -> None:
    """Write JSON for scripts."""
    import json  # noqa: PLC0415

    # Escaped, so that what came from outside cannot steer a terminal.
    typer.echo(json.dumps(value, ensure_ascii=True, indent=2))


def misused(message: str) -> NoReturn:
    """End a command whose arguments cannot be used. Nothing was done."""
    typer.echo(f"recharge: {printable(message)} (try --help)", err=True)
    process.leave(process.EXIT_USAGE)


def fail(message: str) -> NoReturn:
    """End a command that could not do what it was asked for."""
    typer.echo(f"recharge: {printable(message)}", err=True)
    process.leave(process.EXIT_FAILED)
