"""A process that is forked from a preloaded one has an environment, a log and a status of its own, and it ends with the tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.preloaded import Preloaded, preloaded_sites
from devstack.processes import ManagedProcess
from devstack.server import minimal_environment
from devstack.site import Site
from tests.support.command import ask
from tests.support.environment import ALL
from tests.support.service import until_logged

AWAY = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Preloaded]:
    started = Preloaded(tmp_path)
    yield started
    started.close()


async def test_each_command_has_the_environment_that_it_was_given_and_its_own_status() -> None:
    missing, wrong, fine = [
        await ask(*arguments, environment=given)
        for arguments, given in (
            (("ingest",), {}),
            (("ingest",), ALL | {"RECHARGE_KAFKA__SOURCE": "a:b"}),
            (("ingest", "--help"), {}),
        )
    ]
    assert (missing.status, wrong.status, fine.status) == (2, 2, 0)
    assert "RECHARGE_KAFKA__SOURCE is missing" in missing.err
    assert "RECHARGE_KAFKA__SOURCE" in wrong.err
    assert "RECHARGE_KAFKA__BOOTSTRAP_SERVERS" not in wrong.err
    assert "The intake alone" in fine.out
    assert "Usage: python -m app ingest" in fine.out


async def test_a_forked_process_is_killed_by_itself_and_with_the_one_it_came_from(
    own: Preloaded, tmp_path: Path
) -> None:
    def started(name: str) -> ManagedProcess:
        return own.start(name, [sys.executable, *Site.launcher, "ingest"], ALL | AWAY, tmp_path / f"{name}.log")

    one, other = started("one"), started("other")
    for process in (one, other):
        await until_logged(process, "waiting for Temporal")
    assert one.returncode is None
    one.kill()
    assert await one.wait(5) == -9
    assert other.returncode is None
    own.close()
    assert await other.wait(5) == -9


def test_what_needs_another_interpreter_is_started(own: Preloaded) -> None:
    python = sys.executable
    assert own.can_fork([python, "-m", "app", "run"], minimal_environment(PYTHONUNBUFFERED="1"))
    assert not own.can_fork([python, "-m", "devstack.without", "hold", "run"], {})
    assert not own.can_fork([python, "-m", "app", "run"], {"LD_PRELOAD": "libfaketime.so"})
    assert not own.can_fork([python, "-m", "app", "run"], {"PYTHONPATH": "/elsewhere"})


def test_another_module_is_forked_where_it_was_named(tmp_path: Path) -> None:
    other = [sys.executable, "-m", "tests.crash.dying", "open", "before", "0", "run"]
    assert not Preloaded(tmp_path).can_fork(other, {})
    assert Preloaded(tmp_path, also=["tests.crash.dying"]).can_fork(other, {})


def test_sites_start_as_before_when_it_is_over(tmp_path: Path) -> None:
    before = Site.starter
    with preloaded_sites(tmp_path) as started:
        assert Site.starter == started.start
    assert Site.starter == before
