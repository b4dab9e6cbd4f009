"""The servers every test of behaviour runs against: one devstack a test run, one isolated site a test. A missing server fails the run."""

import itertools
import logging
import os
import signal
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from temporalio.client import Client

from activities.migrations import migrate
from app.event_loop import EventLoop
from app.temporal import register_search_attributes
from devstack.kafka import KafkaBroker
from devstack.kafka_admin import Record
from devstack.leaks import logs_below
from devstack.ports import release_port, reserve_port
from devstack.preloaded import Preloaded, preloaded_sites
from devstack.site import Site
from devstack.stack import Devstack
from tests.support import command
from tests.support.http import Ports
from tests.support.leaks import WATCHED

SiteMaker = Callable[..., Awaitable[Site]]

# How long an example takes says something about the machine, which servers and other tests share, and nothing about the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


_FIRST_TO_LAST = ("crash", "integration", "replay", "workflow", "unit")
"""The folders by how long a file takes, the longest first: so of two processes that share the files neither waits for the other's last."""


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start: a shell has its background jobs ignore it, and so would all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """The event loop of the service's processes is the tests' own as well."""
    return {"uvloop": EventLoop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the tests into the order in which the files should be begun."""
    items.sort(key=lambda item: _FIRST_TO_LAST.index(item.path.relative_to(Path(__file__).parent).parts[0]))


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end, when every stack is down: no phone number and no secret stands in anything that the product wrote."""
    folders = [tmp_path_factory.getbasetemp(), *filter(None, [_given_folder()])]
    produce = KafkaBroker.produce

    async def produce_watched(broker: KafkaBroker, topic: str, records: Iterable[Record]) -> list[tuple[int, int]]:
        sent = list(records)
        WATCHED.add_values(raw for _, raw, *_ in sent)
        return await produce(broker, topic, sent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaBroker, "produce", produce_watched)
        yield
    for folder in folders:
        WATCHED.add_secrets_below(folder)
    leaks = [leak for folder in folders for leak in WATCHED.leaks(logs_below(folder))]
    assert not leaks, "\n".join(f"{leak.where} tells {leak.what}: {leak.line[:500]}" for leak in leaks[:20])


@pytest.fixture(scope="session", autouse=True)
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Processes and commands of the service begin with its modules loaded."""
    folder = tmp_path_factory.mktemp("preloaded")
    with preloaded_sites(folder, also=["tests.crash.dying"]) as started, pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "PRELOADED", started)
        yield started


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """The logging of the tests' own process, given back after a test that configured it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _given_folder() -> Path | None:
    """Where the run was told to keep its stack, if it was."""
    given = os.environ.get("RECHARGE_TEST_STACK")
    return None if given is None else Path(given)


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devstack]:
    """Temporal, Kafka, MySQL and the provider simulator, for the whole run."""
    folder = _given_folder() or tmp_path_factory.mktemp("devstack")
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
