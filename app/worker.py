"""`recharge worker`: workflows and activities."""

import asyncio

import structlog

from app.deployment import Deployment
from app.environment import WorkerEnvironment
from app.observed import Process, observed
from app.process import unless_stopped
from app.temporal import connect
from app.tracing import traced
from app.workers import worker

log = structlog.get_logger(__name__)


async def run(settings: WorkerEnvironment, stop: asyncio.Event, deployment: Deployment | None = None) -> None:
    """Work until `stop` is set, then finish what is in flight."""
    async with traced("recharge-worker"), observed(settings.http, stop, Process.WORKER, deployment) as health:
        client = await unless_stopped(stop, connect(settings.temporal, settings.http))
        async with worker(client, settings, stop, deployment, health):
            await stop.wait()
    log.info("worker has stopped")
