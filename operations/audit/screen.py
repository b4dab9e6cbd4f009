"""What an audit looks like on a terminal. Whatever came from outside is printed as plain text."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from operations.audit.findings import Note, Promise, Violation
from operations.audit.report import Report
from operations.telling import age
from recharge.outcome import State
from recharge.text import counted, printable

SHOWN_MAX = 50
"""Violations, and notes, that a screen shows. `--json` has more of them."""

_PROMISES = {
    Promise.NEVER_TWICE: "never twice",
    Promise.NEVER_LOST: "never lost",
    Promise.IN_ORDER: "in order",
    Promise.CONSUMED_ONLY_WHEN_DONE: "consumed only when done",
    Promise.PROVABLE: "provable",
}
_COUNTED = {
    "deleted_with_row": "deleted from the topic, with their row",
    "gaps_in_log": "offsets without a record, as the log shows (transactions)",
    "accepted": "accepted as lost",
    "before_the_beginning": "before the beginning of the intake (latest)",
    "waiting": "waiting beyond the committed offset, without a row yet",
    "unreadable": "cannot be taken apart",
    "new": "come after the audit had begun",
    "outside_of_period": "outside of the period",
    "reversed_charges": "charges that the provider reversed",
    "foreign_charges": "charges of other sources or topics",
    "late_answers": "answers that came after a decision",
}


def show(out: Console, report: Report) -> None:
    """The verdict on each promise, what broke them, and what was counted."""
    compared = f"{counted(report.counts['records'], 'record')}, {counted(report.counts['rows'], 'row')}"
    head = f"{report.source}, topic {report.topic}: {compared}"
    charges = "no statement" if report.statement is None else counted(report.counts["charges"], "charge")
    out.print(_plain(f"{head}, {charges}, in {_took(report.took_s)}"), soft_wrap=True)
    _show_promises(out, report)
    states = [f"{state} {report.counts[state]}" for state in State if report.counts[state]]
    out.print("records: " + (", ".join(states) or "none"))
    for name, told in _COUNTED.items():
        if report.counts[name]:
            out.print(f"{told}: {report.counts[name]}")
    if report.statement is None:
        out.print("Charges were not compared: give the provider's statement by --statement.")
    _show_violations(out, report.violations, report.broken.total())
    _show_notes(out, report.notes, report.note_count)


def _show_promises(out: Console, report: Report) -> None:
    table = Table.grid(padding=(0, 2))
    for promise, name in _PROMISES.items():
        broken = report.broken[promise]
        table.add_row(Text("✗" if broken else "✓", "red" if broken else "green"), name, _times(broken))
    out.print(table)


def _times(broken: int) -> str:
    return "kept" if not broken else f"broken {counted(broken, 'time')}"


def _show_violations(out: Console, found: Sequence[Violation], total: int) -> None:
    for each in found[:SHOWN_MAX]:
        out.print()
        out.print(
            Text.assemble((each.promise, "bold red"), "  ", (printable(each.workflow_id), "bold")), soft_wrap=True
        )
        out.print(_plain(f"  {each.problem}"), soft_wrap=True)
        out.print(_plain(f"  to do: {each.advice}"), soft_wrap=True)
    if total > SHOWN_MAX:
        out.print(f"\n… and {total - SHOWN_MAX} more; --json tells the first {len(found)}")


def _show_notes(out: Console, found: Sequence[Note], total: int) -> None:
    if found:
        out.print("\nBreaks no promise, and should be known:")
    for each in found[:SHOWN_MAX]:
        out.print(_plain(f"  {each.workflow_id}  {each.text}"), soft_wrap=True)
    if total > SHOWN_MAX:
        out.print(f"  … and {total - SHOWN_MAX} more; --json tells the first {len(found)}")


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else age(seconds)  # noqa: PLR2004  # a minute


def _plain(text: str) -> Text:
    return Text(printable(text))
