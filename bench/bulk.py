"""Filling a ledger by SQL with millions of final records, as quickly as the server can."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from activities.ledger.engine import make_pool
from devstack.site import Site
from devstack.stack import Devstack

_MIB = 1024 * 1024
_FILLING = (
    "SET GLOBAL innodb_buffer_pool_size = 4294967296",
    "SET GLOBAL innodb_redo_log_capacity = 2147483648",
    "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
    "SET GLOBAL sync_binlog = 0",
)
"""Filling needs no durability, and random digests need their index in memory."""
_FILLED = (
    "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
    "SET GLOBAL sync_binlog = 1",
    "SET GLOBAL innodb_buffer_pool_size = {bytes}",
    # The copy of every row that the binary log holds would fill the disk, and nobody follows it.
    "RESET BINARY LOGS AND GTIDS",
)
_INDEXES = {
    "recharges": {
        "workflow_id": "UNIQUE KEY workflow_id (workflow_id)",
        "ix_recharges_content": "KEY ix_recharges_content (content_digest, source)",
        "ix_recharges_state": "KEY ix_recharges_state (state, updated_at)",
    },
    "recharge_attempts": {"attempt": "UNIQUE KEY attempt (workflow_id, number)"},
    "request_claims": {"ix_request_claims_workflow_id": "KEY ix_request_claims_workflow_id (workflow_id)"},
}


@asynccontextmanager
async def filling(stack: Devstack, site: Site, *, pool_mib: int) -> AsyncIterator[None]:
    """Make the site's ledger quick to fill while this lasts; behind it it is as durable and as indexed as ever, with such a buffer pool.

    The indexes are made by sorting at the end: to keep them in order row by row would take hours.
    """
    for statement in _FILLING:
        await stack.mysql.execute(statement)
    await _alter(site, "DROP INDEX {0}")
    yield
    await _alter(site, "ADD {1}")
    for statement in _FILLED:
        await stack.mysql.execute(statement.format(bytes=pool_mib * _MIB))


async def _alter(site: Site, change: str) -> None:
    pool = make_pool(site.migrate_environment["RECHARGE_MYSQL__URL"], connections_max=1)
    try:
        async with pool.begin() as connection:
            for table, indexes in _INDEXES.items():
                changes = ", ".join(change.format(name, made) for name, made in indexes.items())
                await connection.execute(text(f"ALTER TABLE {table} {changes}"))
    finally:
        await pool.dispose()
