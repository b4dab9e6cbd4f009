"""`recharge ingest`: the intake."""

import asyncio

import structlog
from temporalio.client import Client

from app.environment import IngestEnvironment
from app.health import Health
from app.intake_metrics import IntakeSource
from app.observed import INTAKE, Process, observed
from app.process import unless_stopped
from app.temporal import connect
from app.tracing import traced
from ingest.beside import WorkerBeside
from ingest.ingester import Ingester
from ingest.starter import Starter

log = structlog.get_logger(__name__)


async def run(settings: IngestEnvironment, stop: asyncio.Event) -> None:
    """Read the topic until `stop` is set, then commit what is final and leave the rest to the next start."""
    async with traced("recharge-ingest"), observed(settings.http, stop, Process.INGEST) as health:
        client = await unless_stopped(stop, connect(settings.temporal, settings.http))
        await take_in(client, settings, stop, health, beside=None)
    log.info("intake has stopped")


async def take_in(
    client: Client, settings: IngestEnvironment, stop: asyncio.Event, health: Health, *, beside: WorkerBeside | None
) -> None:
    """Run the intake until `stop` is set. `health` tells of it meanwhile."""
    ingester = intake(client, settings, beside=beside)
    health.add(INTAKE, IntakeSource(ingester))
    try:
        await ingester.run(stop)
    finally:
        health.remove(INTAKE)


def intake(client: Client, settings: IngestEnvironment, *, beside: WorkerBeside | None) -> Ingester:
    """The intake over a client. `beside` is told by a worker on the same client, where there is one."""
    starter = Starter(
        client,
        task_queue=settings.temporal.task_queue,
        hash_key=settings.privacy.hash_key.get_secret_value().encode(),
        beside=beside,
    )
    return Ingester(settings.kafka, settings.ingest, starter)
