"""The ledger's schema, by Alembic. Every migration may be repeated, since MySQL commits each statement of DDL by itself."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from activities.ledger.engine import LedgerEngine, make_engine
from activities.ledger.errors import LedgerUnavailable

_LOCK_WAIT_S = 60


async def migrate(url: str) -> str:
    """Bring the ledger's schema up to this release and return its version. Safe to repeat, and to run twice at once.

    Raises LedgerUnfit where MySQL refuses us, LedgerUnavailable where it gives no answer or another migration holds the lock.
    """
    engine = make_engine(url, connections_max=1)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            await connection.commit()
            return str(version)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise LedgerEngine(url).in_plain_words(error) from error
    finally:
        await engine.dispose()


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
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.execute(text(f"SELECT RELEASE_LOCK({lock})"))  # constants
