"""`recharge worker`: workflows and activities."""

import asyncio

import structlog

from app.environment import WorkerEnvironment
from app.temporal import connect
from app.workers import worker

log = structlog.get_logger(__name__)


async def run(settings: WorkerEnvironment, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish what is in flight."""
    client = await connect()
    async with worker(client, settings.temporal, settings.mysql, settings.provider, settings.http):
        await stop.wait()
    log.info("worker has stopped")
