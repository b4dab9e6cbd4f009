"""The command `recharge audit`."""

import asyncio
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from app import process
from app.command import AsJson, settings_of, write_json
from app.environment import AuditEnvironment
from recharge.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from operations.audit import Period, Progress, Report

_TIME_HELP = "in ISO 8601; UTC where no zone is given"


def audit(
    *,
    statement: Annotated[
        str | None,
        typer.Option(
            metavar="FILE-OR-URL",
            help="The provider's statement: a CSV file, a URL, or - for standard input.",
            show_default=False,
        ),
    ] = None,
    statement_until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help=f"The statement holds every charge before this moment, {_TIME_HELP}; by default when it was fetched, or last changed.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help=f"Records with a timestamp from then on, {_TIME_HELP}. What is older is not read.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help=f"Records with a timestamp before then, {_TIME_HELP}. Everything is read all the same, since a record may come late: "
            "for a short audit give --from as well.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the promises: compare topic, committed offsets, ledger, workflows and the provider's statement. Changes nothing.

    Exit status 0: every promise was kept; 1: one is broken; 2: the audit could not be carried out.
    """
    from operations.audit import as_json as report_as_json  # noqa: PLC0415  # each command loads its own parts alone
    from operations.audit import screen  # noqa: PLC0415
    from operations.screens import console  # noqa: PLC0415

    if statement is None and statement_until is not None:
        _refuse("--statement-until goes with --statement alone (try --help)")
    period = _period(since, until)
    complete_until = None if statement_until is None else _moment("--statement-until", statement_until)
    settings = settings_of(AuditEnvironment)
    with _progress() as progress:
        report = _carried_out(settings, statement, complete_until, period, progress)
    if as_json:
        write_json(report_as_json(report))
    else:
        screen.show(console(), report)
    if not report.ok:
        process.leave(process.EXIT_FAILED)


def _carried_out(
    settings: AuditEnvironment,
    statement: str | None,
    statement_until: datetime | None,
    period: "Period",
    progress: "Progress",
) -> "Report":
    """The report; where the audit could not be carried out, one line and the exit status of that."""
    from temporalio.service import RPCError  # noqa: PLC0415

    from app.audit import run  # noqa: PLC0415
    from operations.runs import temporal_said  # noqa: PLC0415
    from recharge.problem import Problem, WrongSettings  # noqa: PLC0415

    naive = None if statement_until is None else statement_until.astimezone(UTC).replace(tzinfo=None)
    try:
        return asyncio.run(run(settings, statement=statement, statement_until=naive, period=period, progress=progress))
    except (Problem, WrongSettings) as error:
        _refuse(str(error))
    except RPCError as error:
        _refuse(temporal_said(error))


def _period(since: str | None, until: str | None) -> "Period":
    from operations.audit import Period  # noqa: PLC0415

    first = None if since is None else _moment("--from", since)
    last = None if until is None else _moment("--to", until)
    if first is not None and last is not None and first >= last:
        _refuse("--from must lie before --to, so no record is meant (try --help)")
    return Period(first, last)


def _moment(option: str, text: str) -> datetime:
    try:
        # A time alone, or a week, is no moment to Python 3.11 either; a date alone is its midnight.
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        _refuse(f"{option}: {text!r} is no time in ISO 8601, such as 2026-11-01T00:00:00Z (try --help)")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar on the terminal of standard error; nothing where that is none."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("asking", total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def _refuse(message: str) -> NoReturn:
    typer.echo(f"recharge: {printable(message)}", err=True)
    process.leave(process.EXIT_USAGE)
