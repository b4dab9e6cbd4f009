"""The log says once what is wrong and once that it is over, however many meet the trouble, and whoever gives up in between."""

import pytest
import structlog
import structlog.testing

from ingest.outage import Outage, backoff_s
from recharge import limits

_log = structlog.get_logger(__name__)


@pytest.fixture
def outage() -> Outage:
    return Outage(_log, "it is away", "it is back")


def test_many_that_meet_the_same_trouble_are_told_once_and_its_end_when_the_last_goes_on(outage: Outage) -> None:
    with structlog.testing.capture_logs() as logs:
        for who in ("a", "b", "a", "c"):
            outage.began(who, f"said to {who}")
        for who in ("a", "b"):
            outage.over(who)
        assert [line["event"] for line in logs] == ["it is away"]
        outage.over("c")
        outage.over("c")
    assert [line["event"] for line in logs] == ["it is away", "it is back"]
    assert logs[0]["problem"] == "said to a"


def test_trouble_is_not_told_again_where_those_who_met_it_were_cancelled_and_others_meet_it(outage: Outage) -> None:
    # As in a rebalance while Temporal is away: what was in flight is dropped, and started by another task.
    with structlog.testing.capture_logs() as logs:
        outage.began("old", "gone")
        outage.forget("old")
        outage.began("new", "gone")
        outage.over("new")
    assert [line["event"] for line in logs] == ["it is away", "it is back"]


def test_the_end_is_told_by_whoever_goes_on_where_those_who_met_the_trouble_were_cancelled(outage: Outage) -> None:
    with structlog.testing.capture_logs() as logs:
        outage.over("nobody waits")
        outage.began("old", "gone")
        outage.forget("old")
        outage.over("another")
        outage.over("another")
    assert [line["event"] for line in logs] == ["it is away", "it is back"]


def test_the_backoff_widens_up_to_its_limit() -> None:
    waits = [backoff_s(tries) for tries in range(40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (limits.START_RETRY_FIRST_S, limits.START_RETRY_MAX_S)
