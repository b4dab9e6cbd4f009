"""The runbook's commands are commands that there are, with options that they have."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from app.main import cli
from recharge import limits

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {
        *re.findall(r"^\s{4,}(recharge [a-z].*)$", RUNBOOK, re.MULTILINE),
        *re.findall(r"`(recharge [a-z][^`]*)`", RUNBOOK),
    }
)
PLACEHOLDERS = "--charged|--not-charged|--skip"


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
