"""The command that is run before a release: does its code go on with the workflows that are open?"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from app import process
from app.command import AsJson, discretion_for, misused, settings_of, write_json
from app.environment import ReplayEnvironment
from app.temporal import TemporalProblem
from recharge import limits
from recharge.settings import TemporalSettings

if TYPE_CHECKING:
    from operations.histories import Recorded, Unreadable
    from operations.replay import Replay, Result, Verdict
    from operations.web_ui import WebUi

replay_commands = typer.Typer()


@replay_commands.command()
def replay(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="Histories as JSON, folders of them, or - for standard input; from the server where none is given.",
            show_default=False,
        ),
    ] = None,
    *,
    query: Annotated[
        str | None,
        typer.Option(
            metavar="QUERY",
            help="The workflows of the server to replay, in Temporal's words; all open ones by default.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=limits.REPLAY_HISTORIES_MAX,
            metavar="N",
            help=f"A sample of so many at most. Without it there may be {limits.REPLAY_HISTORIES_DEFAULT}; of more, not all are proven.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether this build goes on with workflows that an earlier one has begun. It changes nothing.

    Exit status 0: all replay; 1: it would stop one; 2: it is not proven, since there was none, one could not be read, or there are
    more than are replayed without --limit.
    """
    if files and (query is not None or limit is not None):
        misused("give files, or --query and --limit for the server, not both")
    if query is not None and not query.strip():
        misused("--query is empty; leave it out for all open workflows")
    settings = settings_of(ReplayEnvironment)
    asyncio.run(_replay(settings, files or [], query, limit, as_json=as_json))


async def _replay(
    settings: ReplayEnvironment, files: list[str], query: str | None, limit: int | None, *, as_json: bool
) -> NoReturn:
    from app.operate_runs import web_ui_of  # noqa: PLC0415  # each command loads its own parts alone

    temporal = settings.temporal
    web_ui = None if files else web_ui_of(temporal)
    report = Report(as_json=as_json, web_ui=web_ui, is_sample=limit is not None)
    limit = limit or limits.REPLAY_HISTORIES_DEFAULT
    try:
        await (_judge_files(temporal, files, report) if files else _judge_server(temporal, query, limit, report))
    finally:
        report.progress("")
    report.end()
    # The process ends here and not after the event loop's own end, which would wait for a replay that hangs.
    process.leave(report.exit_status)


async def _judge_files(settings: TemporalSettings, files: list[str], report: "Report") -> None:
    from operations import histories  # noqa: PLC0415

    replayed = _as_a_worker(settings)
    for recorded in histories.from_files(files):
        report.add(await replayed.judge(recorded))


async def _judge_server(settings: TemporalSettings, query: str | None, limit: int, report: "Report") -> None:
    from temporalio.service import RPCError  # noqa: PLC0415

    from app.operate_runs import connected  # noqa: PLC0415
    from operations import histories  # noqa: PLC0415
    from operations.runs import temporal_said  # noqa: PLC0415

    wanted = query or histories.OPEN_WORKFLOWS
    client = await connected(settings)
    try:
        found = await histories.count(client, wanted)
        if not found:
            misused(f"nothing was replayed: no workflow in the namespace {client.namespace} is found by {wanted}")
        report.expect(found, limit)
        await _judge_all(settings, histories.from_server(client, wanted, limit), report)
    except histories.QueryRefused as refused:
        misused(f"--query {wanted} is refused by Temporal: {refused}")
    except RPCError as error:
        raise TemporalProblem(f"{temporal_said(error)}; not all histories were replayed") from error


async def _judge_all(
    settings: TemporalSettings, found: "AsyncIterator[Recorded | Unreadable]", report: "Report"
) -> None:
    replayed = _as_a_worker(settings)
    async for recorded in found:
        report.add(await replayed.judge(recorded))


def _as_a_worker(settings: TemporalSettings) -> "Replay":
    """A replay by what a worker of this build runs: its workflow, and like it without the sandbox, which guards the tests instead."""
    from temporalio.worker import Replayer, UnsandboxedWorkflowRunner  # noqa: PLC0415

    from app.temporal import native_runtime  # noqa: PLC0415
    from operations.replay import Replay  # noqa: PLC0415
    from recharge.payload_codec import data_converter  # noqa: PLC0415
    from workflows.recharge import RechargeWorkflow  # noqa: PLC0415

    return Replay(
        Replayer(
            workflows=[RechargeWorkflow],
            workflow_runner=UnsandboxedWorkflowRunner(),
            data_converter=data_converter(settings.keys),
            runtime=native_runtime(),
        )
    )


class Report:
    """What is written while histories are replayed: a line each, or one JSON object at the end."""

    def __init__(self, *, as_json: bool, web_ui: "WebUi | None", is_sample: bool) -> None:
        self.counts: Counter[Verdict] = Counter()
        self._is_sample = is_sample
        self._as_json = as_json
        self._web_ui = web_ui
        self._discretion = discretion_for(reveal=False)
        self._results: list[object] = []
        self._expected: int | None = None
        self._left_out = 0

    def expect(self, found: int, limit: int) -> None:
        """Hear how many there are, and how many of them are wanted at most."""
        self._expected = min(found, limit)
        self._left_out = max(0, found - limit)

    def add(self, result: "Result") -> None:
        """Tell of one."""
        from operations import replay as replays  # noqa: PLC0415

        self.counts[result.verdict] += 1
        link = None
        if self._web_ui is not None and result.workflow_id is not None:
            link = self._web_ui.link(result.workflow_id, result.run_id)
        if self._as_json:
            self._results.append(replays.as_json(result, self._discretion, link))
        else:
            self.progress("")
            told = replays.line(result, self._discretion)
            if link is not None and result.verdict is replays.Verdict.BROKEN:
                told = f"{told}  {link}"
            typer.echo(told, err=result.verdict is replays.Verdict.REFUSED)
        of = "" if self._expected is None else f" of {self._expected}"
        self.progress(f"replayed {self.counts.total()}{of}, {self.counts[replays.Verdict.BROKEN]} broken")

    def progress(self, text: str) -> None:
        """Show how far it is, in a line that the next one replaces, to a person at a terminal."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    @property
    def exit_status(self) -> int:
        """What the command ends with. One that replayed nothing, or not all, must not look like one that found everything in order."""
        from operations.replay import Verdict  # noqa: PLC0415

        if self.counts[Verdict.BROKEN]:
            return process.EXIT_FAILED
        are_all = not self.counts[Verdict.REFUSED] and (self._is_sample or not self._left_out)
        return process.EXIT_OK if self.counts[Verdict.REPLAYS] and are_all else process.EXIT_USAGE

    def end(self) -> None:
        """Tell the sum of it."""
        from operations import replay as replays  # noqa: PLC0415

        text = replays.summary(self.counts, self._left_out)
        if not self._as_json:
            typer.echo(text)
            return
        counts = {verdict.value: self.counts[verdict] for verdict in replays.Verdict}
        is_ok = self.exit_status == process.EXIT_OK
        write_json(
            {"ok": is_ok, "counts": counts, "left_out": self._left_out, "summary": text, "histories": self._results}
        )
