"""What `status` looks like on a terminal, once or again and again. Whatever came from outside is printed as plain text."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ingest.kafka import GroupMember
from operations.pollers import Poller
from operations.screens import plain, show_list
from operations.status import PartitionStatus, Status
from operations.telling import Discretion, age
from recharge import limits
from recharge.text import counted, printable


@contextmanager
def live(out: Console) -> Iterator[Callable[[Status, Discretion], None]]:
    """A whole screen that shows the newest status. What was on the terminal before is there again afterwards."""
    with Live(Text("looking …"), console=out, screen=True, auto_refresh=False) as screen:

        def show(status: Status, discretion: Discretion) -> None:
            drawn = io.StringIO()
            page = Console(file=drawn, width=out.width, force_terminal=True, highlight=False)
            page.print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, again in a moment; Ctrl-C ends it", style="dim")
            show_status(page, status, discretion)
            screen.update(_fitting(drawn.getvalue(), out.width, out.height), refresh=True)

        yield show


def _fitting(page: str, width: int, height: int) -> Text:
    """As much of a page as a screen of this size holds. What does not fit is counted, since nobody can scroll there."""
    lines = [Text.from_ansi(line) for line in page.splitlines()]
    rows = [max(1, -(-line.cell_len // width)) for line in lines]
    if sum(rows) <= height:
        return Text("\n").join(lines)
    shown = 0
    while sum(rows[: shown + 1]) < height:
        shown += 1
    more = f"… {len(lines) - shown} lines more; `recharge status` without --watch has them"
    return Text("\n").join([*lines[:shown], Text(more[:width], "bold magenta")])


def show_status(out: Console, status: Status, discretion: Discretion) -> None:
    """The whole service on one screen."""
    for part in ("kafka", "ledger", "temporal"):
        problem = status.problems.get(part)
        out.print(Text.assemble(f"{part}: ", ("up", "green") if problem is None else (printable(problem), "bold red")))
    _processes(out, status)
    _intake_and_provider(out, status, discretion)
    if status.schema_is_current is not None:
        out.print(f"ledger's schema: {'current' if status.schema_is_current else 'not current, run: recharge migrate'}")
    # Before the table, whose length is that of the topic.
    counts = [f"{state} {count}" for state, count in status.states.items() if count]
    if "ledger" not in status.problems:
        out.print("records: " + (", ".join(counts) or "none"), soft_wrap=True)
    table = Table()
    for column in ("partition", "committed", "end", "lag", "blocked by"):
        table.add_column(column, justify="left" if column == "blocked by" else "right", overflow="fold")
    for each in status.partitions:
        numbers = (each.partition, "-" if each.committed is None else each.committed, each.end, each.lag)
        unknown = each.lag and "ledger" in status.problems
        table.add_row(*map(str, numbers), plain("not known without the ledger" if unknown else _blocked(each)))
    if status.partitions:
        out.print(table)
    for each in status.partitions:
        if each.stands_still is not None:
            out.print(Text(printable(each.stands_still), "bold red"), soft_wrap=True)
    if status.waiting:
        out.print(Text("Waits for a person:", "bold"))
        show_list(out, status.waiting, discretion, status.web_ui)


def _processes(out: Console, status: Status) -> None:
    """Who works and who reads, and which releases run."""
    if status.workers is not None:
        polling = [_worker(each) for each in status.workers if each.is_polling]
        silent = [_worker(each) for each in status.workers if not each.is_polling]
        none = ("none polls the task queues, so nothing is carried out", "bold red")
        told = (f"{len(polling)} poll: {', '.join(polling)}", "") if polling else none
        gone = (f"; silent for longer than a poll lasts: {', '.join(silent)}" if silent else "", "bold magenta")
        out.print(Text.assemble("workers: ", told, gone), soft_wrap=True)
    if status.intakes is not None:
        names = ", ".join(map(_member, status.intakes))
        none = ("none is in the group, so nothing is read", "bold red")
        out.print(
            Text.assemble("intakes: ", (f"{len(status.intakes)} in the group: {names}", "") if names else none),
            soft_wrap=True,
        )
    releases = sorted({each.release for each in (*(status.workers or ()), *(status.intakes or ())) if each.release})
    if len(releases) > 1:
        out.print(Text(f"releases: {', '.join(releases)} run beside each other", "bold magenta"), soft_wrap=True)


def _worker(each: Poller) -> str:
    """One worker, its build where it has one, whether it gets work, and where it may be dead since when."""
    told = [] if each.build_id is None else [f"build {each.build_id}"]
    if not each.is_current:
        told.append("not current, gets no work")
    if not each.is_polling:
        told.append(f"last seen {age(each.last_seen_s)} ago")
    return printable(f"{each.identity} ({', '.join(told)})" if told else each.identity)


def _member(each: GroupMember) -> str:
    """One intake. A group instance id says nothing about the release, so that stands beside it."""
    beside = "" if each.release is None or each.release in each.name else f" ({each.release})"
    return printable(f"{each.name}{beside} at {each.host}")


def _intake_and_provider(out: Console, status: Status, discretion: Discretion) -> None:
    """Whether nothing new is started, and whether it is the provider that carries nothing out."""
    if status.pause is not None:
        said = printable(discretion.text(str(status.pause)) or "")
        out.print(Text.assemble("intake: ", (f"paused {said}", "bold magenta")), soft_wrap=True)
    elif status.is_paused is not None:
        out.print("intake: not paused")
    if "ledger" in status.problems:
        return
    if not status.trouble:
        out.print("provider: no record is being retried")
        return
    records = sum(each.records for each in status.trouble)
    out.print(
        Text.assemble("provider: ", (f"{counted(records, 'record')} being retried", "bold red")),
        soft_wrap=True,
    )
    for each in status.trouble:
        said = printable(discretion.text(each.newest) or "nothing")
        out.print(plain(f"  {each.records} {each.outcome}, newest: {said}"), soft_wrap=True)


def _blocked(each: PartitionStatus) -> str:
    blocker = each.blocker
    if blocker is None and each.stands_still is not None:
        return "it stands still, see below"
    if blocker is None:
        if each.final_s is None or each.final_s <= limits.STATUS_UNCOMMITTED_S:
            return ""
        return f"final {age(each.final_s)} ago, and not committed: the intake's log says why"
    state = "not begun" if blocker.state is None else blocker.state.value
    since = "" if blocker.age_s is None else f", begun {age(blocker.age_s)} ago"
    ended = (
        f"; its workflow is {blocker.run.status}: recharge resolve" if blocker.run and blocker.run.ended_early else ""
    )
    bound = (
        f"; {each.final_distance} offsets are final beyond it, so the partition is not read"
        if each.is_at_final_distance
        else ""
    )
    return f"{blocker.workflow_id} ({state}{since}{ended}{bound})"
