"""Sites with a stub in the workflow's place, for the tests of the intake alone; and a Prometheus for those of the alerts."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from devstack.prometheus import Prometheus
from devstack.stack import Devstack
from recharge import limits
from tests.integration.stub_workflow import StubWorkflow, take_a_moment
from tests.support.alerting import write_impatient_rules
from tests.support.intake import Corner

CornerMaker = Callable[..., Awaitable[Corner]]


@pytest.fixture
async def make_corner(
    stack: Devstack, client: Client, site_numbers: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CornerMaker]:
    """Makes sites with a worker that runs the stub workflow."""
    # A stop in this process waits no longer than this for a lane that is held for good.
    monkeypatch.setattr(limits, "STOP_TIMEOUT_S", 2.0)
    async with contextlib.AsyncExitStack() as workers:

        async def make(partitions: int = 1) -> Corner:
            site = await stack.site(f"intake-{next(site_numbers)}", partitions=partitions)
            worker = Worker(
                client,
                task_queue=site.task_queue,
                workflows=[StubWorkflow],
                activities=[take_a_moment],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
            await workers.enter_async_context(worker)
            return Corner(stack, site, client)

        yield make


@pytest.fixture
async def corner(make_corner: CornerMaker) -> Corner:
    """A site with one partition."""
    return await make_corner()


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held lane is looked at five times a second, so that a test need not wait."""
    monkeypatch.setattr(limits, "HELD_LANE_POLL_S", 0.2)


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that looks every second."""
    server = Prometheus(tmp_path / "prometheus", write_impatient_rules(tmp_path / "alerts.yml"))
    await server.start()
    yield server
    await server.stop()
    server.release()
