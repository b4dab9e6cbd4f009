"""Services that crash: their processes, killed at a step of one record, and what a test expects of that record afterwards."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from temporalio.client import Client

from devstack.processes import ManagedProcess
from devstack.server import minimal_environment
from devstack.site import Site
from devstack.stack import Devstack
from devstack.without.safeguards import TOLD_BY
from tests.conftest import SiteMaker
from tests.support.service import Service

ROOT = Path(__file__).parents[2]
DEATH_TIMEOUT_S = 60.0
KILLED = -9


@dataclass
class CrashingService(Service):
    """A service whose processes can be killed at a chosen step."""

    dying: list[ManagedProcess] = field(default_factory=list)

    async def dies(self, command: str, step: str, when: str, partition: int) -> None:
        """Run a command until it was killed at this step of the partition's record."""
        name = f"{command}-{step}-{when}-{partition}"
        argv = [sys.executable, "-m", "tests.crash.dying", step, when, str(partition), command]
        env = minimal_environment(PYTHONUNBUFFERED="1", PYTHONPATH=str(ROOT)) | self.site.environment
        env |= {TOLD_BY: os.environ[TOLD_BY]} if TOLD_BY in os.environ else {}
        process = Site.starter(name, argv, env, self.site.folder / f"{name}.log", self.site.folder)
        self.dying.append(process)
        assert await process.wait(DEATH_TIMEOUT_S) == KILLED, process.tail()


CrashingServiceMaker = Callable[..., Awaitable[CrashingService]]


@pytest.fixture
async def make_service(stack: Devstack, client: Client, make_site: SiteMaker) -> AsyncIterator[CrashingServiceMaker]:
    """Makes services whose processes end with the test."""
    made: list[CrashingService] = []

    async def make(partitions: int, **profile: str) -> CrashingService:
        site = await make_site("c", partitions=partitions, profile=profile)
        service = CrashingService(stack, site, client)
        made.append(service)
        return service

    yield make
    for service in made:
        for process in service.dying:
            await process.kill_and_wait()
