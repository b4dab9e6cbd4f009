"""A plugin of pytest's that runs tests with a safeguard taken away, one safeguard after the other, and writes down what each found.

    pytest -p tests.support.without --without NAME… --without-report FILE ID…

Of each safeguard those of its own tests are run that were collected, until one of them fails. All of them share one local stack.
"""

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import pytest
from hypothesis import Phase, settings

from activities.ledger import LedgerContradiction
from devstack.errors import WaitTimeoutError
from devstack.site import Site
from devstack.without.safeguard import Safeguard, taken_away
from devstack.without.safeguards import TOLD_BY, by_name

FOUND_AS = (AssertionError, pytest.fail.Exception, WaitTimeoutError, LedgerContradiction)
"""What a test fails by that has found something: by its own words, or by a second safeguard, the ledger's keys. Anything else says that the
weakened function does not fit into this product any more."""
TELLING_CHARS_MAX = 300


@dataclass
class Found:
    """What became of one safeguard's tests."""

    name: str
    runs: int
    by: str | None
    """The test that failed; none where every one of them passed."""
    how: str
    is_found: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("without", "tests without a safeguard")
    group.addoption("--without", nargs="+", help="the safeguards that are taken away, one after the other")
    group.addoption("--without-report", type=Path, help="where what was found is written, as JSON lines")


def pytest_configure(config: pytest.Config) -> None:
    del config
    # The first failure will do; the smallest one, and its place in a file, are for those who mend something.
    settings.register_profile(
        "without", settings(), derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("without")


def pytest_runtestloop(session: pytest.Session) -> bool:
    names: list[str] = session.config.getoption("--without")
    report: Path = session.config.getoption("--without-report")
    plan = list(_plan(session.items, [by_name(name) for name in names]))
    for number, (safeguard, items) in enumerate(plan):
        following = plan[number + 1][1][0] if number + 1 < len(plan) else None
        found = _without(safeguard, items, following)
        with report.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(found)) + "\n")
    return True


def _plan(items: list[pytest.Item], safeguards: list[Safeguard]) -> Iterator[tuple[Safeguard, list[pytest.Item]]]:
    for safeguard in safeguards:
        own = [item for item in items if item.nodeid.partition("[")[0].startswith(safeguard.found_by)]
        if not own:
            raise pytest.UsageError(f"none of the tests of the safeguard {safeguard.name} was collected")
        yield safeguard, own * safeguard.runs_max


def _without(safeguard: Safeguard, items: list[pytest.Item], following: pytest.Item | None) -> Found:
    """Run the tests until one fails. `following` is the next item after them, for which the session's fixtures are kept, and no others: a
    module's fixture may have processes that run without this safeguard.
    """
    runs = 0
    with taken_away(safeguard):
        launched_by = Site.launcher
        Site.launcher = ("-m", "devstack.without", safeguard.name)
        os.environ[TOLD_BY] = safeguard.name
        try:
            for number, item in enumerate(items):
                runs += 1
                kept = _parent(items[number + 1]) if number + 1 < len(items) else following and _session(following)
                failed = _failed(item, kept)
                if failed is not None:
                    how, is_found = failed
                    return Found(safeguard.name, runs, item.nodeid, how, is_found)
        finally:
            # What was kept for a next case that does not come.
            items[0].session._setupstate.teardown_exact(following and _session(following))
            Site.launcher = launched_by
            del os.environ[TOLD_BY]
    return Found(safeguard.name, runs, None, "every one of its tests passed", is_found=False)


def _failed(item: pytest.Item, kept: pytest.Item | None) -> tuple[str, bool] | None:
    """How a test failed, and whether it has found something by that; None where it passed. The fixtures of `kept` stay."""
    _REPORTS.clear()
    item.ihook.pytest_runtest_protocol(item=item, nextitem=kept)
    for report in _REPORTS:
        if not report.failed:
            continue
        crash = getattr(report.longrepr, "reprcrash", None)
        how = str(crash.message if crash is not None else report.longrepr)[:TELLING_CHARS_MAX]
        raised: object = dict(report.user_properties).get("raised")
        return how, report.when == "call" and raised is True
    return None


_REPORTS: list[pytest.TestReport] = []
"""What was said about the test that was run last."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _REPORTS.append(report)


def _parent(item: pytest.Item) -> pytest.Item:
    """What an item stands in, and not the item: it may be the same one once more, which has to be set up anew."""
    return cast("pytest.Item", item.parent)


def _session(item: pytest.Item) -> pytest.Item:
    return cast("pytest.Item", item.session)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None:
        report.user_properties.append(("raised", _has_found(call.excinfo.value)))
    return report


def _has_found(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_has_found(each) for each in error.exceptions)
    return isinstance(error, FOUND_AS)
