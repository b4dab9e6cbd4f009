"""`recharge run`: intake and worker in one process, on one Temporal client, with eager start."""

import asyncio

import structlog

from app.deployment import Deployment
from app.environment import RunEnvironment
from app.ingest import intake
from app.process import unless_stopped
from app.temporal import connect
from app.tracing import traced
from app.workers import worker

log = structlog.get_logger(__name__)


async def run(settings: RunEnvironment, stop: asyncio.Event, deployment: Deployment | None = None) -> None:
    """Work until `stop` is set: the intake ends first, since its records in flight need the worker."""
    async with traced("recharge-run"):
        client = await unless_stopped(stop, connect())
        async with worker(client, settings, stop, deployment):
            await intake(client, settings, eager=True).run(stop)
    log.info("intake and worker have stopped")
