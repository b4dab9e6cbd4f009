"""The servers every test of behaviour runs against: one devstack a test run, one isolated site a test. A missing server fails the run."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from temporalio.client import Client

from activities.migrations import migrate
from app.temporal import register_search_attributes
from devstack.ports import release_port, reserve_port
from devstack.site import Site
from devstack.stack import Devstack
from tests.support.http import Ports

SiteMaker = Callable[..., Awaitable[Site]]

# How long an example takes says something about the machine, which servers and other tests share, and nothing about the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devstack]:
    """Temporal, Kafka, MySQL and the provider simulator, for the whole run."""
    folder = Path(os.environ.get("RECHARGE_TEST_STACK", tmp_path_factory.mktemp("devstack")))
    async with Devstack(folder) as running:
        yield running


@pytest.fixture(scope="session")
async def client(stack: Devstack) -> Client:
    """A Temporal client of the tests' own, on a namespace that has the search attributes."""
    connected = await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)
    await register_search_attributes(connected)
    return connected


@pytest.fixture(scope="session")
def site_numbers() -> "itertools.count[int]":
    """Numbers the sites of a run, so that no two tests share a topic, a group, a ledger or a task queue."""
    return itertools.count(1)


@pytest.fixture
async def make_site(stack: Devstack, client: Client, site_numbers: "itertools.count[int]") -> AsyncIterator[SiteMaker]:
    """Makes migrated sites for one test, and ends their processes after it."""
    del client  # it registers the search attributes that every site needs
    made: list[Site] = []

    async def make(name: str = "t", **arguments: object) -> Site:
        site = await stack.site(f"{name}-{next(site_numbers)}", **arguments)  # type: ignore[arg-type]
        await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
        made.append(site)
        return site

    yield make
    for site in made:
        for process in site.processes:
            if process.returncode is None:
                process.kill()
                await process.wait(10)


@pytest.fixture
async def site(make_site: SiteMaker) -> Site:
    """One migrated site with one partition."""
    return await make_site()


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Three ports of this machine that nobody listens on."""
    reserved = reserve_port(), reserve_port(), reserve_port()
    yield reserved
    for port in reserved:
        release_port(port)
