"""Every command that a page names, above all the runbook, is there with the options named; and a page tells of every option."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from app.main import cli
from recharge import limits

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
PAGES = "\n".join(
    page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
)
COMMANDS = sorted(
    {
        *re.findall(r"^\s{4,}(recharge [a-z].*)$", RUNBOOK, re.MULTILINE),
        *re.findall(r"`(recharge [a-z][^`]*)`", RUNBOOK),
    }
)
PLACEHOLDERS = "--charged|--not-charged|--skip"


NAMED = sorted(
    set(re.findall(r"(?:`|^ {4,}(?:\$ )?|exec \S+ -- |_FILE=\S+ )recharge ([a-z][a-z-]*[^`\n]*)", PAGES, re.MULTILINE))
)
COMMANDS_OF_CLI: dict[str, Any] = typer.main.get_command(cli).commands  # type: ignore[attr-defined]  # it is a group


def options_of(name: str) -> set[str]:
    """The long options of a command."""
    return {
        option for parameter in COMMANDS_OF_CLI[name].params for option in parameter.opts if option.startswith("--")
    }


@pytest.mark.parametrize("line", NAMED)
def test_what_a_page_names_is_there_with_the_options_that_it_names(line: str) -> None:
    names, _, rest = line.partition(" ")
    # What stands behind a `|` or in a comment belongs to the shell.
    typed = re.split(r" \| | # |\s#", rest)[0]
    for name in re.match(r"[a-z|-]+", names)[0].split("|"):  # type: ignore[index]  # it begins with a letter
        assert name in COMMANDS_OF_CLI
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", typed)) <= options_of(name) | {"--help"}


@pytest.mark.parametrize("name", sorted(COMMANDS_OF_CLI))
def test_a_page_tells_of_every_command_and_option(name: str) -> None:
    assert f"`recharge {name}" in PAGES
    assert {option for option in options_of(name) if not re.search(rf"{option}(?![a-z-])", PAGES)} == set()


def test_the_runbook_has_commands() -> None:
    assert len(COMMANDS) > 25


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_runbook_is_one_that_can_be_typed(line: str) -> None:
    _, name, *arguments = shlex.split(line.replace(PLACEHOLDERS, "--charged"))
    group: Any = typer.main.get_command(cli)
    command = group.commands[name]
    context = command.make_context(name, arguments, resilient_parsing=not arguments)
    assert context.params.keys() == {parameter.name for parameter in command.params if parameter.expose_value}
    if name in {"pause", "resume", "accept-gap", "redrive", "hold"} and len(arguments) > 1:
        assert context.params["by"]
        assert context.params["note"]


def test_the_send_buffer_that_it_asks_for_holds_the_largest_record() -> None:
    (found,) = re.findall(r"net\.core\.wmem_max=(\d+)", RUNBOOK)
    assert int(found) >= 2 * limits.RECORD_BYTES_MAX


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([a-z-]+)\)", RUNBOOK))))
def test_a_link_inside_the_runbook_leads_somewhere(anchor: str) -> None:
    titles = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
