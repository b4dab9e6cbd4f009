"""`recharge audit`: where the statement comes from, and the connections that an audit needs."""

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from activities.ledger import AuditReader
from activities.provider import fetch_statement
from app.environment import AuditEnvironment
from app.operate_runs import connected
from app.workers import key_rules
from operations.audit import Books, Period, Progress, Report, Statement, StatementProblem
from operations.audit import run as run_audit
from recharge import limits
from recharge.contract import DuplicateRequests

STDIN = "-"
_SPOOLED_BYTES = limits.MIB
"""A statement above it stands in a temporary file instead of in memory."""


async def run(
    settings: AuditEnvironment,
    *,
    statement: str | None,
    statement_until: datetime | None,
    period: Period,
    progress: Progress,
) -> Report:
    """Open the connections and audit.

    Args:
        settings: the command's.
        statement: a file, an http or https URL, or `-` for standard input; None for an audit without charges.
        statement_until: up to when the statement is complete; by default when it was fetched, or last changed.
        period: the records that are looked at.
        progress: told how far it is.

    Raises LedgerError, KafkaProblem, TemporalProblem, RPCError, ProviderProblem or StatementProblem where something cannot be read.
    """
    async with AuditReader(settings.mysql.url.get_secret_value()) as ledger:
        books = Books(settings.kafka, ledger, await connected(settings.temporal))
        async with _opened(settings, ledger, statement, statement_until) as opened:
            return await run_audit(
                books,
                statement=opened,
                period=period,
                keys=key_rules(settings.provider),
                duplicates_are_allowed=settings.ingest.duplicate_requests is DuplicateRequests.ALLOW,
                progress=progress,
            )


@asynccontextmanager
async def _opened(
    settings: AuditEnvironment, ledger: AuditReader, given: str | None, until: datetime | None
) -> AsyncIterator[Statement | None]:
    """The statement, from wherever it comes. What is fetched or piped holds all that was charged before we asked."""
    if given is None:
        yield None
    elif given == STDIN:
        yield Statement("standard input", sys.stdin.buffer, until or await ledger.now())
    elif given.startswith(("https://", "http://")):
        asked_at = await ledger.now()
        with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spooled:
            file = cast("BinaryIO", spooled)
            await fetch_statement(settings.provider, given, file)
            file.seek(0)
            yield Statement(given.partition("?")[0], file, until or asked_at)
    else:
        with _file(given) as file:
            changed_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC).replace(tzinfo=None)
            yield Statement(given, file, until or changed_at)


def _file(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise StatementProblem(f"the statement {name} cannot be opened: {error.strerror}") from error
