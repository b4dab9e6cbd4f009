"""`recharge run`: intake and worker in one process, on one Temporal client, with eager start."""

import asyncio

import structlog

from app.deployment import Deployment
from app.environment import RunEnvironment
from app.ingest import take_in
from app.observed import Process, observed
from app.process import unless_stopped
from app.temporal import connect
from app.tracing import traced
from app.workers import worker
from ingest.beside import WorkerBeside

log = structlog.get_logger(__name__)


async def run(settings: RunEnvironment, stop: asyncio.Event, deployment: Deployment | None = None) -> None:
    """Work until `stop` is set: the intake ends first, since its records in flight need the worker."""
    async with traced("recharge-run"), observed(settings.http, stop, Process.RUN, deployment) as health:
        client = await unless_stopped(stop, connect(settings.temporal, settings.http))
        beside = WorkerBeside()
        async with worker(client, settings, stop, deployment, health, beside=beside):
            await take_in(client, settings, stop, health, beside=beside)
    log.info("intake and worker have stopped")
