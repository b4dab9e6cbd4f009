"""What `recharge status` shows on terminals of several sizes: nothing is cut in silence, and what is not known is not told as nothing."""

import io
from datetime import datetime
from decimal import Decimal

import pytest
from rich.console import Console

from activities.ledger import Waiting
from ingest.kafka import GroupMember
from operations.pollers import Poller
from operations.status import Blocker, PartitionStatus, Status
from operations.status_screen import live, show_status
from operations.telling import Discretion
from recharge import limits
from recharge.outcome import State

DISCRETION = Discretion(mask=lambda text: text)
WORKER = "recharge@0.1.0 12532@recharge-run-0"
DOUBTED = "andes-production-2026:credit-transfers:0:1000000"
AT = datetime(2026, 11, 30)  # noqa: DTZ001  # as MySQL gives it


def a_status(partitions: int = 1) -> Status:
    doubt = Blocker(DOUBTED, State.IN_DOUBT, 4000.0, None)
    waiting = Waiting(
        DOUBTED, State.IN_DOUBT, "nobody knows", "500 of the call", "503 of a look-up", "OneShotTransfer", "34600111222",
        "34600333444", Decimal("10.50"), "EUR", AT, AT, 4000.0,
    )  # fmt: skip
    return Status(
        partitions=[
            PartitionStatus(number, 1_000_000, 1_000_003, 3, doubt if number == 0 else None)
            for number in range(partitions)
        ],
        states={State.IN_DOUBT: 1, State.SUCCEEDED: 1_000_000},
        waiting=[waiting],
        is_paused=False,
        workers=[Poller(WORKER, 1.0, None, is_current=True)],
        intakes=[GroupMember("recharge@0.1.0", "10.0.0.7", "0.1.0")],
        schema_is_current=True,
    )


def shown(status: Status, width: int) -> str:
    out = io.StringIO()
    show_status(Console(file=out, width=width, highlight=False), status, DISCRETION)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_cut_however_wide_the_terminal_is(width: int) -> None:
    told = shown(a_status(), width)
    assert "…" not in told
    assert f"recharge resolve {DOUBTED} --charged|--not-charged|--skip --by WHO --note WHY\n" in told
    assert "the provider last said: 503 of a look-up\n" in told
    assert "of the call it was heard: 500 of the call\n" in told
    (row,) = ["".join(line.split("│")[-2].strip() for line in told.splitlines() if "│" in line)]
    assert row.replace(" ", "") == f"{DOUBTED}(in_doubt,begun1h6minago)"
    assert told.index("records: in_doubt 1, succeeded 1000000") < told.index("┏")


@pytest.mark.parametrize("width", [80, 200])
def test_a_worker_that_has_not_been_seen_for_longer_than_a_poll_lasts_does_not_count_as_polling(width: int) -> None:
    alive, dead = (
        Poller(f"{WORKER}{each}", limits.POLL_LASTS_S + late_s, None, is_current=True)
        for each, late_s in (("a", 0), ("b", 15))
    )
    silent = f"silent for longer than a poll lasts: {dead.identity} (last seen 1 min 30 s ago)\n"
    status = a_status()
    status.workers = [alive, dead]
    assert f"workers: 1 poll: {alive.identity}; {silent}" in shown(status, width)
    status.workers = [dead]
    assert f"workers: none polls the task queues, so nothing is carried out; {silent}" in shown(status, width)


def test_a_partition_that_stands_still_says_why_below_the_table() -> None:
    status = a_status()
    why = "Partition 0 stands still: it has to go on at offset 50, but holds 0 to 1"
    status.partitions = [PartitionStatus(0, 50, 1, 0, None, why)]
    told = shown(status, 80)
    assert "it stands still, see below" in told
    assert told.index(why) > told.index("see below")


def test_a_record_that_is_final_and_not_committed_is_told_once_that_is_no_matter_of_a_moment() -> None:
    status = a_status()
    status.partitions = [
        PartitionStatus(number, 5, 7, 2, None, final_s=limits.STATUS_UNCOMMITTED_S + late_s)
        for number, late_s in enumerate((0, 30))
    ]
    assert shown(status, 200).count("and not committed") == 1
    assert "final 1 min 0 s ago, and not committed: the intake's log says why" in shown(status, 200)


def test_what_blocks_is_told_as_not_known_without_the_ledger() -> None:
    status = a_status()
    status.problems["ledger"] = "MySQL gave no answer within 15 s"
    status.partitions = [PartitionStatus(0, 5, 7, 2, None), PartitionStatus(1, 7, 7, 0, None)]
    told = shown(status, 80)
    assert told.count("not known without the ledger") == 1
    assert "records:" not in told


@pytest.mark.parametrize(("height", "is_whole"), [(60, True), (20, False)])
def test_the_screen_that_is_looked_at_again_and_again_says_what_it_does_not_hold(
    height: int, *, is_whole: bool
) -> None:
    out = io.StringIO()
    terminal = Console(file=out, width=80, height=height, force_terminal=True, highlight=False)
    with live(terminal) as show:
        show(a_status(partitions=20), DISCRETION)
    assert (f"recharge resolve {DOUBTED}" in out.getvalue()) is is_whole
    assert ("lines more; `recharge status` without --watch has them" in out.getvalue()) is not is_whole
