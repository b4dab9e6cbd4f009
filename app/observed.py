"""A process that can be looked at: its metrics, its health, and what it calls itself."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from enum import StrEnum

import structlog

from app.deployment import Deployment
from app.health import Health, health_answer, ready_answer
from recharge import instruments, telemetry
from recharge.release import name, release
from recharge.settings import HttpSettings
from recharge.telemetry import Of, Reading

log = structlog.get_logger(__name__)

INTAKE = "intake"
WORKER = "worker"


class Process(StrEnum):
    """The processes that work until they are stopped, by their commands."""

    INGEST = "ingest"
    WORKER = "worker"
    RUN = "run"

    @property
    def halves(self) -> tuple[str, ...]:
        """What of the service runs in it."""
        match self:
            case Process.INGEST:
                return (INTAKE,)
            case Process.WORKER:
                return (WORKER,)
            case Process.RUN:
                return (INTAKE, WORKER)


def identity() -> str:
    """What this process calls itself towards Temporal, so that everybody sees which releases run, and where."""
    return f"{name()} {os.getpid()}@{socket.gethostname()}"


@asynccontextmanager
async def observed(
    settings: HttpSettings, stop: asyncio.Event, process: Process, deployment: Deployment | None = None
) -> AsyncIterator[Health]:
    """Serve metrics and health while the body runs, where the settings say so. The body adds the halves as they begin.

    Raises HttpProblem where the address cannot be listened on.
    """
    health = Health(stop, process.halves)
    if settings.address is None:
        yield health
        return
    # A process that nobody looks at does without these, which take a fifth of a second to load.
    from app.exposition import CONTENT_TYPE, Exposition  # noqa: PLC0415
    from app.http import routes, serving  # noqa: PLC0415

    build = Reading(
        instruments.BUILD_INFO, 1.0, (release(), process, "" if deployment is None else deployment.build_id)
    )

    def read() -> Iterator[Reading]:
        yield build
        yield from health.readings()

    exposition = Exposition(frozenset({Of.ANY, *map(Of, process.halves)}), read)
    app = routes(
        metrics=exposition.text,
        metrics_type=CONTENT_TYPE,
        healthy=lambda: health_answer(health),
        ready=lambda: ready_answer(health),
    )
    async with serving(app, settings.address, "RECHARGE_HTTP__LISTEN"):
        log.info("metrics and health are served", address=settings.listen)
        telemetry.bind(exposition)
        try:
            yield health
        finally:
            telemetry.bind(None)
