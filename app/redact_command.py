"""`recharge redact`: numbers and bytes of records that have been final for long are blanked in the ledger, or moved into a file."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.command import FLAG, Who, Why, check_reason, fail, misused, settings_of
from app.environment import RedactEnvironment
from recharge import limits
from recharge.text import counted

if TYPE_CHECKING:
    from activities.ledger.redaction import Span

redact_commands = typer.Typer()

ArchiveFile = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        metavar="FILE",
        help="Keep whole records in this new file first, a line of JSON each, and blank what attempts and look-ups say as well.",
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
    from operations.archive import ArchiveProblem  # noqa: PLC0415  # each command loads its own parts alone

    settings = settings_of(RedactEnvironment)
    url = settings.mysql.url.get_secret_value()
    told = _redacted(url, older_than, archive, dry_run=dry_run, by=by.strip(), note=note.strip())
    try:
        typer.echo(asyncio.run(told))
    except ArchiveProblem as problem:
        fail(str(problem))


async def _redacted(url: str, older_than_days: int, path: Path | None, *, dry_run: bool, by: str, note: str) -> str:
    from activities.ledger.redaction import Redactions  # noqa: PLC0415
    from operations.archive import Archive  # noqa: PLC0415

    async with Redactions(url, connections_max=1) as ledger:
        await ledger.check()
        span = await ledger.span(older_than_days)
        # Only now, so that a ledger that is not there leaves no empty file behind.
        with nullcontext() if path is None else Archive(path) as archive:
            keep = None if archive is None else archive.keep
            parts = ledger.count(span) if dry_run else ledger.run(span, by=by, note=note, keep=keep)
            total = 0
            async for found in parts:
                total += found
    told = _told(span, total, dry_run=dry_run)
    return told if archive is None else f"{told}; {counted(archive.records, 'line')} in {path}"


def _told(span: "Span", total: int, *, dry_run: bool) -> str:
    records = f"{counted(total, 'record')} that became final before {span.until:%Y-%m-%d %H:%M:%S} UTC"
    return f"{records} would be blanked; nothing is changed" if dry_run else f"{records} blanked"
