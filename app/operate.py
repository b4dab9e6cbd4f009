"""The commands by which a person looks at the service and decides: status, show, resolve, hold."""

import asyncio
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from app import process
from app.command import (
    FLAG,
    AsJson,
    Reveal,
    Who,
    Why,
    check_reason,
    discretion_for,
    fail,
    misused,
    referring,
    settings_of,
    write_json,
    write_line,
)
from app.environment import RedriveEnvironment, ResolveEnvironment, ShowEnvironment, StatusEnvironment

if TYPE_CHECKING:
    from recharge.outcome import Action

commands = typer.Typer()

A_RECORD = "Partition and offset (0/11), topic/partition/offset, or the workflow's id (local:credit-transfers:0:11)."

Records = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID...",
        help=f"{A_RECORD} Several of them; or - for standard input, one a line.",
        show_default=False,
    ),
]


@commands.command()
def resolve(  # noqa: PLR0913  # each of them is an option
    ids: Records = None,
    *,
    charged: Annotated[
        bool, typer.Option("--charged", metavar=FLAG, help="It was carried out: the record succeeded.")
    ] = False,
    not_charged: Annotated[
        bool, typer.Option("--not-charged", metavar=FLAG, help="Nothing was carried out: it is sent once more.")
    ] = False,
    skip: Annotated[
        bool, typer.Option("--skip", metavar=FLAG, help="Leave it as it is and never send it again.")
    ] = False,
    provider_reference: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE", help="What the provider calls the recharge; with --charged only.", show_default=False
        ),
    ] = None,
    by: Who = "",
    note: Why = "",
    list_: Annotated[
        bool, typer.Option("--list", metavar=FLAG, help="Show what waits for a person, oldest first; decide nothing.")
    ] = False,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Decide what became of records that wait: in doubt, pending, on hold, or whose workflow ended early."""
    from recharge.outcome import Action  # noqa: PLC0415  # each command loads its own parts alone

    flags = {Action.CHARGED: charged, Action.NOT_CHARGED: not_charged, Action.SKIP: skip}
    chosen = [action for action, given in flags.items() if given]
    if list_:
        if chosen or ids or by or note or provider_reference is not None:
            misused("--list shows what waits and decides nothing; give it alone, or with --json or --reveal")
        _list_waiting(as_json=as_json, reveal=reveal)
        return
    if len(chosen) != 1:
        misused("give exactly one of --charged, --not-charged and --skip (or --list)")
    if provider_reference is not None and not charged:
        misused("--provider-reference goes with --charged alone")
    if provider_reference is not None and not provider_reference.strip():
        misused("--provider-reference is empty; leave it out where the provider gave none")
    _decide(ids or [], chosen[0], by, note, provider_reference, as_json=as_json)


@commands.command()
def hold(ids: Records = None, *, by: Who = "", note: Why = "", as_json: AsJson = False) -> None:
    """Stop records at once: nothing more is sent for them until a person decides by `recharge resolve`."""
    from recharge.outcome import Action  # noqa: PLC0415

    _decide(ids or [], Action.HOLD, by, note, None, as_json=as_json)


@commands.command()
def show(
    record: Annotated[str, typer.Argument(metavar="ID", help=A_RECORD)],
    *,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Tell the whole story of one record: attempts with their answers, look-ups, decisions, its workflow and its lane."""
    from app import operate_runs  # noqa: PLC0415
    from operations import references, screens  # noqa: PLC0415
    from operations.show import as_json as story_as_json  # noqa: PLC0415

    settings = settings_of(ShowEnvironment)
    source, topic = settings.kafka.source, settings.kafka.topic
    workflow_id = referring(lambda: references.parse(record, source=source, topic=topic))
    seen = asyncio.run(operate_runs.look(settings, workflow_id))
    if seen is None:
        fail(f"the ledger has no record {workflow_id}; it may not have been started yet")
    if as_json:
        write_json(story_as_json(seen, discretion_for(reveal=reveal)))
    else:
        screens.show_record(screens.console(), seen, discretion_for(reveal=reveal))


@commands.command()
def status(
    *,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", metavar=FLAG, help="Look again and again, until Ctrl-C.")] = False,
) -> None:
    """Tell whether each part is up, how far behind each partition is and what blocks it, and what waits for a person."""
    from app import operate_runs  # noqa: PLC0415
    from operations import screens, status_screen  # noqa: PLC0415
    from operations.status import as_json as status_as_json  # noqa: PLC0415

    settings = settings_of(StatusEnvironment)
    if watch:
        if as_json:
            misused("--watch is for people and --json for scripts; give one of them")
        _watch(settings)
        return
    found = asyncio.run(operate_runs.status(settings))
    if as_json:
        write_json(status_as_json(found, discretion_for(reveal=False)))
    else:
        status_screen.show_status(screens.console(), found, discretion_for(reveal=False))
    if found.problems:
        fail("; ".join(f"{part}: {problem}" for part, problem in found.problems.items()))


def _watch(settings: StatusEnvironment) -> None:
    """Show the status until Ctrl-C, which is how a person has seen enough and no failure."""
    from app import operate_runs  # noqa: PLC0415
    from operations import screens, status_screen  # noqa: PLC0415

    out = screens.console()
    if not out.is_terminal:
        misused("--watch needs a terminal; a script asks again by itself: recharge status --json")

    async def watching() -> None:
        with status_screen.live(out) as show:
            async for found in operate_runs.watched(settings):
                show(found, discretion_for(reveal=False))

    try:
        asyncio.run(watching())
    except KeyboardInterrupt:
        process.leave(process.EXIT_OK)


@commands.command()
def redrive(ids: Records = None, *, by: Who = "", note: Why = "") -> None:
    """Produce rejected or invalid records anew, after their cause was mended. A copy made twice is carried out once."""
    check_reason(by, note)
    from app.redrive import run  # noqa: PLC0415
    from operations import references  # noqa: PLC0415

    settings = settings_of(RedriveEnvironment)
    source, topic = settings.kafka.source, settings.kafka.topic
    workflow_ids = referring(lambda: references.parse_all(ids or [], _stdin_lines(), source=source, topic=topic))
    all_done = True

    async def redrive_all() -> None:
        nonlocal all_done
        async for line in run(settings, workflow_ids, by=by.strip(), note=note.strip()):
            all_done &= line.done
            write_line(f"{line.workflow_id}: {line.text}", failed=not line.done)

    asyncio.run(redrive_all())
    if not all_done:
        process.leave(process.EXIT_FAILED)


def _list_waiting(*, as_json: bool, reveal: bool) -> None:
    from app import operate_runs  # noqa: PLC0415
    from operations import screens  # noqa: PLC0415
    from operations.waiting import as_json as waiting_as_json  # noqa: PLC0415

    settings = settings_of(ResolveEnvironment)
    found = asyncio.run(operate_runs.waiting(settings))
    web_ui = operate_runs.web_ui_of(settings.temporal)
    discretion = discretion_for(reveal=reveal)
    if as_json:
        write_json([waiting_as_json(each, discretion, web_ui) for each in found])
    else:
        screens.show_list(screens.console(), found, discretion, web_ui)


def _decide(
    ids: list[str], action: "Action", by: str, note: str, provider_reference: str | None, *, as_json: bool
) -> None:
    """Decide about each record and write a line about each; exit status 1 where one was not decided."""
    check_reason(by, note)
    from app import operate_runs  # noqa: PLC0415
    from operations import references  # noqa: PLC0415
    from recharge.contract import Decision  # noqa: PLC0415

    settings = settings_of(ResolveEnvironment)
    source, topic = settings.kafka.source, settings.kafka.topic
    workflow_ids = referring(lambda: references.parse_all(ids, _stdin_lines(), source=source, topic=topic))
    decision = Decision(action, by.strip(), note.strip())
    lines = []
    all_done = True

    async def decide_all() -> None:
        nonlocal all_done
        async for line in operate_runs.decide(settings, workflow_ids, decision, provider_reference):
            all_done &= line.done
            if as_json:
                lines.append({"workflow_id": line.workflow_id, "done": line.done, "text": line.text})
            else:
                write_line(f"{line.workflow_id}: {line.text}", failed=not line.done)

    asyncio.run(decide_all())
    if as_json:
        write_json(lines)
    if not all_done:
        process.leave(process.EXIT_FAILED)


def _stdin_lines() -> Iterable[str]:
    for line in sys.stdin.buffer:
        yield line.decode(errors="backslashreplace")
