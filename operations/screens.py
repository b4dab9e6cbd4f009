"""What `show` and `resolve --list` look like on a terminal. Whatever came from outside is printed as plain text."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from activities.ledger import Waiting
from operations import show, waiting
from operations.show import Seen
from operations.telling import Discretion, age, amount
from operations.web_ui import WebUi
from recharge.outcome import FINAL_STATES, State
from recharge.text import printable

_PIPED_WIDTH = 200
_TITLES = {"error": "what was heard"}
"""Columns that are called otherwise on a screen than in JSON: an attempt that was charged has an answer there, and no error."""
_STATE_STYLES = {
    State.SUCCEEDED: "green",
    State.REJECTED: "yellow",
    State.INVALID: "yellow",
    State.SKIPPED: "yellow",
    State.IN_DOUBT: "bold red",
    State.HELD: "bold magenta",
    State.PENDING: "cyan",
    State.RETRYING: "cyan",
    State.SENDING: "cyan",
}


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a line a record where it is piped."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def show_list(out: Console, found: Sequence[Waiting], discretion: Discretion, web_ui: WebUi | None = None) -> None:
    """What waits for a person, oldest first, each with the command to type, and where to look at its workflow."""
    if not found:
        out.print("Nothing waits for a person.")
    for each in found:
        head = Text.assemble(_state(each.state), f" for {age(each.waits_s)}  ", (each.workflow_id, "bold"))
        money = f"{amount(each.amount) or '?'} {each.currency or ''}".rstrip()
        numbers = f"{discretion.phone(each.donor)} → {discretion.phone(each.receiver)}"
        out.print(head, soft_wrap=True)
        out.print(plain(f"  {each.operation_type or 'record'} {money}, {numbers}"), soft_wrap=True)
        out.print(plain(f"  why: {discretion.text(each.reason)}"), soft_wrap=True)
        out.print(plain(f"  the provider last said: {discretion.text(each.last_said) or 'nothing'}"), soft_wrap=True)
        if each.lookup_said is not None:
            told = discretion.text(each.call_said) or "nothing"
            out.print(plain(f"  that was to a look-up; of the call it was heard: {told}"), soft_wrap=True)
        out.print(plain(f"  {waiting.command(each)}"), soft_wrap=True)
        _print_link(out, None if web_ui is None else web_ui.link(each.workflow_id), indent="  ")


def show_record(out: Console, seen: Seen, discretion: Discretion) -> None:
    """One record's whole story on one screen."""
    told: Mapping[str, Any] = show.as_json(seen, discretion)
    record: Mapping[str, Any] = told["record"]
    out.print(Text.assemble((told["workflow_id"], "bold"), "  ", _state(seen.story.state)), soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(seen, told, record):
        if value is not None:
            facts.add_row(Text(name, "dim"), plain(str(value)))
    out.print(facts)
    _print_link(out, told["web_ui_url"])
    _table(
        out, "Attempts", told["attempts"], ("number", "opened_at", "closed_at", "outcome", "status", "error"), _judged
    )
    _table(out, "Look-ups", told["lookups"], ("attempt", "asked_at", "answer", "status", "said"))
    _table(out, "Decisions", told["decisions"], ("decided_at", "action", "by", "note", "refused_because"))


def _print_link(out: Console, url: str | None, indent: str = "") -> None:
    """An address of its own line, never wrapped, so that it can be opened or copied."""
    if url is not None:
        out.print(Text.assemble(indent, ("in the Web UI  ", "dim"), printable(url)), soft_wrap=True)


def _facts(seen: Seen, told: Mapping[str, Any], record: Mapping[str, Any]) -> list[tuple[str, object]]:
    workflow = told["workflow"]
    status = (
        f"{workflow['status']}, run {workflow['run_id']}"
        if workflow
        else told["temporal_problem"] or "none in Temporal"
    )
    is_final = seen.story.state in FINAL_STATES
    return [
        ("asks for", _asks_for(record)),
        ("request id", record["request_id"]),
        ("provider's reference", told["provider_reference"]),
        ("reason", told["reason"]),
        ("resolved by", told["resolved_by"]),
        ("same content as", told["same_content_as"]),
        ("produced anew from", record["redrive_of"]),
        (
            "in the ledger since",
            f"{_moment(told['created_at'])} ({age((seen.story.now - seen.story.record['created_at']).total_seconds())})",
        ),
        (
            "final since" if is_final else "in this state since",
            _moment(told["final_at"] if is_final else told["updated_at"]),
        ),
        ("workflow", status),
        ("lane", _lane(seen, record)),
        ("fingerprint", record["fingerprint"]),
        ("blanked", record["redacted_at"] and f"{_moment(record['redacted_at'])}, by `recharge redact`"),
        ("key", record["key"]),
        ("value", record["value"]),
    ]


def _asks_for(record: Mapping[str, Any]) -> str:
    if record["operation_type"] is None:
        return "nothing that can be read"
    money = f"{record['amount']} {record['currency'] or ''}".rstrip()
    if record["redacted_at"] is not None:
        return f"{record['operation_type']} {money}, numbers blanked"
    return f"{record['operation_type']} {money}, {record['donor']} → {record['receiver']}"


def _lane(seen: Seen, record: Mapping[str, Any]) -> str:
    if show.holds_lane(seen):
        return f"holds partition {record['partition']}: nothing after offset {record['offset']} is committed"
    first = seen.story.first_open_offset
    if first is None or seen.story.state in FINAL_STATES:
        return "holds nothing up"
    return f"behind offset {first} of partition {record['partition']}, which is not final"


def _judged(row: Mapping[str, Any]) -> str:
    parts = []
    if row["verdict"]:
        parts.append(f"judged {row['verdict']} by {row['verdict_by']} at {_moment(row['verdict_at'])}")
    if row["late_outcome"]:
        parts.append(f"late answer: {row['late_outcome']} at {_moment(row['late_at'])}")
    return "; ".join(parts)


def _table(
    out: Console,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    more: Any = None,  # noqa: ANN401
) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(_TITLES.get(column, column.replace("_", " ")), overflow="fold")
    added = ["" if more is None else more(row) for row in rows]
    if any(added):
        table.add_column("since then", overflow="fold")
    for row, addition in zip(rows, added, strict=True):
        cells = [_cell(column, row[column]) for column in columns]
        table.add_row(*(plain(cell) for cell in [*cells, *([addition] if any(added) else [])]))
    out.print(table)


def _cell(column: str, value: object) -> str:
    if value is None:
        return ""
    return _moment(str(value)) if column.endswith("_at") else str(value)


def _moment(iso: str) -> str:
    """A time in UTC, to the millisecond, as people read it."""
    return iso.replace("T", " ")[: len("2026-01-31 23:59:59.999")]


def _state(state: State) -> tuple[str, str]:
    return state.value, _STATE_STYLES[state]


def plain(text: str) -> Text:
    """A text of somebody else's, without anything that would steer the terminal."""
    return Text(printable(text))
