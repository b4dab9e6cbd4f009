"""`recharge redact`: numbers and bytes of records that have been final for long are blanked in the ledger, or moved into a file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.command import FLAG, Who, Why, check_reason, fail, misused, settings_of
from app.environment import RedactEnvironment
from recharge import limits
from recharge.text import counted

if TYPE_CHECKING:
    from activities.ledger.redaction import Redactions, Span

redact_commands = typer.Typer()

ArchiveFile = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        metavar="FILE",
        help="Keep whole records in this new file first, a line of JSON each, and blank what their attempts' errors say as well.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", metavar=FLAG, help="Only count them; nothing is changed.")]


@redact_commands.command()
def redact(
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than",
            help="Days since a record became final, by MySQL's clock.",
            metavar="DAYS",
            min=limits.REDACT_DAYS_MIN,
            max=limits.REDACT_DAYS_MAX,
        ),
    ],
    *,
    archive: ArchiveFile = None,
    dry_run: DryRun = False,
    by: Who = "",
    note: Why = "",
) -> None:
    """Blank phone numbers and raw bytes of final records. Position, fingerprint, amount, state and attempts stay. It cannot be undone."""
    if not dry_run:
        check_reason(by, note)
    elif archive is not None:
        misused("--dry-run writes no archive; leave one of the two out")
    settings = settings_of(RedactEnvironment)
    url = settings.mysql.url.get_secret_value()
    if dry_run:
        typer.echo(asyncio.run(_counted(url, older_than)))
    else:
        typer.echo(asyncio.run(_blanked(url, older_than, archive, by=by.strip(), note=note.strip())))


async def _counted(url: str, older_than_days: int) -> str:
    async with _ledger(url) as ledger:
        span = await ledger.span(older_than_days)
        total = sum([found async for found in ledger.count(span)])
    return f"{_about(span, total)} would be blanked; nothing is changed"


async def _blanked(url: str, older_than_days: int, path: Path | None, *, by: str, note: str) -> str:
    from operations.archive import Archive, ArchiveProblem  # noqa: PLC0415  # each command loads its own parts alone

    try:
        async with _ledger(url) as ledger:
            span = await ledger.span(older_than_days)
            # Only now, so that a ledger that is not there leaves no empty file behind.
            with nullcontext() if path is None else Archive(path) as archive:
                keep = None if archive is None else archive.keep
                total = sum([blanked async for blanked in ledger.run(span, by=by, note=note, keep=keep)])
    except ArchiveProblem as problem:
        fail(str(problem))
    kept = "" if archive is None else f"; {counted(archive.records, 'line')} in {path}"
    return f"{_about(span, total)} blanked{kept}"


@asynccontextmanager
async def _ledger(url: str) -> "AsyncIterator[Redactions]":
    from activities.ledger.redaction import Redactions  # noqa: PLC0415

    ledger = Redactions(url, connections_max=1)
    try:
        await ledger.check()
        yield ledger
    finally:
        await ledger.close()


def _about(span: "Span", total: int) -> str:
    return f"{counted(total, 'record')} that became final before {span.until:%Y-%m-%d %H:%M:%S} UTC"
