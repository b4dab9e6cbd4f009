"""`recharge migrate`: the ledger's tables and Temporal's search attributes."""

from activities.migrations import migrate
from app.environment import MigrateEnvironment
from app.temporal import connect, register_search_attributes


async def run(settings: MigrateEnvironment) -> list[str]:
    """Bring both up to this release, and return a line about each."""
    version = await migrate(settings.mysql.url.get_secret_value())
    client = await connect(settings.temporal)
    added = await register_search_attributes(client)
    return [
        f"ledger: schema {version}",
        f"Temporal namespace {client.namespace}: "
        + (f"registered {', '.join(added)}" if added else "all search attributes are registered"),
    ]
