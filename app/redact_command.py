"""`recharge redact`: numbers and bytes of records that have been final for long are blanked in the ledger."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.command import FLAG, Who, Why, check_reason, settings_of
from app.environment import RedactEnvironment
from recharge import limits
from recharge.text import counted

if TYPE_CHECKING:
    from activities.ledger.redaction import Span

redact_commands = typer.Typer()

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
    dry_run: DryRun = False,
    by: Who = "",
    note: Why = "",
) -> None:
    """Blank phone numbers and raw bytes of final records. Position, fingerprint, amount, state and attempts stay. It cannot be undone."""
    if not dry_run:
        check_reason(by, note)
    settings = settings_of(RedactEnvironment)
    url = settings.mysql.url.get_secret_value()
    typer.echo(asyncio.run(_redacted(url, older_than, dry_run=dry_run, by=by.strip(), note=note.strip())))


async def _redacted(url: str, older_than_days: int, *, dry_run: bool, by: str, note: str) -> str:
    from activities.ledger.redaction import Redactions  # noqa: PLC0415  # each command loads its own parts alone

    ledger = Redactions(url, connections_max=1)
    try:
        await ledger.check()
        span = await ledger.span(older_than_days)
        parts = ledger.count(span) if dry_run else ledger.run(span, by=by, note=note)
        total = 0
        async for found in parts:
            total += found
        return _told(span, total, dry_run=dry_run)
    finally:
        await ledger.close()


def _told(span: "Span", total: int, *, dry_run: bool) -> str:
    records = f"{counted(total, 'record')} that became final before {span.until:%Y-%m-%d %H:%M:%S} UTC"
    return f"{records} would be blanked; nothing is changed" if dry_run else f"{records} blanked"
