"""The ledger's schema, by Alembic. Every migration may be repeated, since MySQL commits each statement of DDL by itself."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from activities.ledger.engine import LedgerEngine, make_pool
from activities.ledger.errors import LedgerUnavailable
from activities.ledger.fitness import OLDEST_READER, SCHEMA_VERSION, find_schema, refuse_newer

OLDEST_REVISION_SERVED = "0001"
"""The oldest release, by its revision, that works with this schema: all since have only added to it. The first revision that takes
something away, or that changes what an older release writes, raises it."""

_LOCK_WAIT_S = 60


async def migrate(url: str) -> str:
    """Bring the ledger's schema up to this release and return its version. Safe to repeat, and to run twice at once.

    A newer schema that still serves this release is left as it is: so does a release that is taken back.

    Raises LedgerUnfit where MySQL refuses us or the schema is too new,
    LedgerUnavailable where it gives no answer or another migration holds the lock.
    """
    pool = make_pool(url, connections_max=1)
    try:
        async with pool.connect() as connection:
            await connection.run_sync(_upgrade)
            version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            await connection.commit()
            return str(version)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise LedgerEngine(url).in_plain_words(error) from error
    finally:
        await pool.dispose()


def _upgrade(connection: Connection) -> None:
    lock = "CONCAT('recharge-migrate-', DATABASE())"
    if connection.scalar(text(f"SELECT GET_LOCK({lock}, {_LOCK_WAIT_S})")) != 1:  # constants
        raise LedgerUnavailable(
            f"another `recharge migrate` has held the ledger for {_LOCK_WAIT_S} s; wait for it to end, then run it again"
        )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        if not _is_newer(connection):
            command.upgrade(config, "head")
            connection.execute(text(f"ALTER TABLE alembic_version COMMENT = '{OLDEST_READER}{OLDEST_REVISION_SERVED}'"))
        connection.commit()
    finally:
        connection.execute(text(f"SELECT RELEASE_LOCK({lock})"))  # constants


def _is_newer(connection: Connection) -> bool:
    found = find_schema(connection)
    if found is None or found.version <= SCHEMA_VERSION:
        return False
    refuse_newer(found)
    return True
