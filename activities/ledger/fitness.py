"""Whether a MySQL may serve as the ledger: that it loses no commit, that our user may write, and that the tables are of this release."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from activities.ledger.connection import LedgerConnection
from activities.ledger.errors import LedgerNotMigrated, LedgerUnfit

SCHEMA_VERSION = "0005"
"""The Alembic revision that this release reads and writes."""

OLDEST_READER = "oldest reader "
"""What the comment on Alembic's table begins with; the revision of the oldest release that the schema still serves stands behind it."""

_DURABILITY = {"innodb_flush_log_at_trx_commit": 1, "sync_binlog": 1, "read_only": 0, "super_read_only": 0}

_WRITES = (
    "UPDATE recharges SET state = state WHERE workflow_id = ''",
    "INSERT INTO recharge_attempts (workflow_id) SELECT workflow_id FROM recharge_attempts WHERE workflow_id = ''",
    "DELETE FROM request_claims WHERE workflow_id = ''",
)
"""One of each kind, and none changes a row: MySQL asks for the right before it looks for rows, and no workflow has an empty id. Each
names a key, since a server may be set to refuse writes that name none (`sql_safe_updates`)."""


async def check_durability(connection: LedgerConnection) -> None:
    """Refuse a server that may lose a commit, or that takes none.

    Raises LedgerUnfit with the variable.
    """
    names = ", ".join(f"@@global.{name}" for name in _DURABILITY)
    row = (await connection.execute(text(f"SELECT {names}"))).one()  # the names are constants above
    for (name, wanted), value in zip(_DURABILITY.items(), row, strict=True):
        if int(value) != wanted:
            raise LedgerUnfit(
                f"MySQL runs with {name}={value}, which may lose or refuse a commit; the ledger needs {name}={wanted}"
            )


async def check_rights(connection: LedgerConnection) -> None:
    """Try what a worker writes, on no row: the driver's error tells which right is missing."""
    for statement in _WRITES:
        await connection.execute(text(statement))


async def check_schema(connection: LedgerConnection) -> None:
    """Refuse a schema that is not ours.

    Raises LedgerUnfit or LedgerNotMigrated.
    """
    found = await connection.run_sync(find_schema)
    if found is None:
        raise LedgerNotMigrated("the ledger has no tables yet; run: recharge migrate")
    if found.version < SCHEMA_VERSION:
        raise LedgerNotMigrated(
            f"the ledger's schema is {found.version}, this release needs {SCHEMA_VERSION}; run: recharge migrate"
        )
    refuse_newer(found)


@dataclass(frozen=True, slots=True)
class FoundSchema:
    """The Alembic revision at which the ledger stands, and the comment on Alembic's table, which tells the oldest that it still serves."""

    version: str
    comment: str


def find_schema(connection: Connection) -> FoundSchema | None:
    """The schema that the ledger has; None where it was never migrated."""
    query = "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'alembic_version'"
    comment = connection.scalar(text(query))
    version = None if comment is None else connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if comment is None or version is None else FoundSchema(version, comment)


def refuse_newer(found: FoundSchema) -> None:
    """Refuse a schema that a newer release changed in more than what it added.

    Raises LedgerUnfit.
    """
    oldest = found.comment.removeprefix(OLDEST_READER)
    serves_us = found.comment.startswith(OLDEST_READER) and oldest <= SCHEMA_VERSION
    if found.version > SCHEMA_VERSION and not serves_us:
        raise LedgerUnfit(
            f"the ledger's schema {found.version} is newer than this release knows ({SCHEMA_VERSION}), and no longer serves it; "
            "run a newer release of recharge"
        )
