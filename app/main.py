"""The command line: one command a process, errors in one line, exit status 0 only for success."""

import asyncio
import importlib
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from app import process
from app.audit_command import audit
from app.command import FLAG
from app.deployment import Deployment, DeploymentProblem
from app.environment import (
    CodecServerEnvironment,
    Environment,
    IngestEnvironment,
    MigrateEnvironment,
    ProduceEnvironment,
    RunEnvironment,
    WorkerEnvironment,
    load,
)
from app.find_commands import find_commands
from app.intake_commands import intake_commands
from app.loading import loading
from app.logging import configure_logging
from app.operate import commands
from app.redact_command import redact_commands
from app.replay_commands import replay_commands
from app.temporal import configured_namespace
from recharge.problem import Problem, WrongSettings

E = TypeVar("E", bound=Environment)

cli = typer.Typer(
    name="recharge",
    help="Carries out telephone credit transfers from Kafka exactly once, in their order of arrival.",
    epilog=(
        "Settings come from the environment, or from the file that RECHARGE_ENV_FILE names (docs/architecture.md, Settings). "
        "What to do when something is wrong stands in docs/runbook.md."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(commands)
cli.add_typer(intake_commands)
cli.command()(audit)
cli.add_typer(replay_commands)
cli.add_typer(find_commands)
cli.add_typer(redact_commands)


@cli.command()
def migrate() -> None:
    """Make or update the ledger's tables and Temporal's search attributes. Safe to repeat."""
    from app.migrate import run  # noqa: PLC0415  # each command loads its own parts alone

    settings = _settings(MigrateEnvironment)
    for line in asyncio.run(run(settings)):
        typer.echo(line)


@cli.command()
def ingest() -> None:
    """The intake alone: read the topic, start one workflow a record, and commit what is final."""
    with loading():
        from app.ingest import run  # noqa: PLC0415

    settings = _settings(IngestEnvironment)
    process.serve(lambda stop: run(settings, stop))


DeploymentName = Annotated[
    str | None,
    typer.Option(
        "--deployment",
        help="The worker deployment that this process belongs to; with --build-id. Without both it takes any work.",
        metavar="NAME",
    ),
]
BuildId = Annotated[
    str | None,
    typer.Option(
        help="The build of it that this is, another one for every release. It gets work once it is made current.",
        metavar="ID",
    ),
]


@cli.command()
def worker(deployment: DeploymentName = None, build_id: BuildId = None) -> None:
    """The worker alone: carry recharges out, that is, run the workflows and their activities."""
    with loading():
        from app.worker import run  # noqa: PLC0415

    of = Deployment.of(deployment, build_id)
    settings = _settings(WorkerEnvironment)
    process.serve(lambda stop: run(settings, stop, of))


@cli.command("run")
def run_both(deployment: DeploymentName = None, build_id: BuildId = None) -> None:
    """Intake and worker in one process, the usual way: a record's first step needs no way through Temporal's queue."""
    with loading():
        from app.run import run  # noqa: PLC0415

    of = Deployment.of(deployment, build_id)
    settings = _settings(RunEnvironment)
    process.serve(lambda stop: run(settings, stop, of))


@cli.command("codec-server")
def codec_server() -> None:
    """Decrypt payloads for Temporal's Web UI and its command line, for those who have the token."""
    from app.codec_server import run  # noqa: PLC0415

    settings = _settings(CodecServerEnvironment)
    process.serve(lambda stop: run(settings, configured_namespace(), stop))


@cli.command()
def produce(
    file: Annotated[
        Path | None, typer.Argument(help="A file of JSON objects, one a line; standard input where it is left out.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Kafka's key of every record sent.")] = None,
    partition: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="The partition of every record sent; by key or in turn where it is left out.", min=0
        ),
    ] = None,
) -> None:
    """Send records to the topic, as they stand, and print where each was written."""
    from app.produce import run  # noqa: PLC0415

    settings = _settings(ProduceEnvironment)

    async def send() -> None:
        async for line in run(settings, file, key=key, partition=partition):
            typer.echo(line)

    asyncio.run(send())


@cli.command()
def dev(
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the stack keeps its data.")] = Path(".devstack"),
) -> None:
    """Keep the whole local stack up, with an intake and a worker, until Ctrl-C."""
    module = _devstack("app.dev")
    configure_logging()
    process.serve(lambda stop: module.run(folder, stop))


@cli.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the stack keeps its data; a temporary folder by default."),
    ] = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", metavar=FLAG, help="Keep the Web UI up after the verdict, until Ctrl-C.")
    ] = False,
) -> None:
    """Three records on the whole local stack: an error of the provider, a killed worker, and each carried out once."""
    module = _devstack("app.demo")
    process.leave(asyncio.run(module.run(folder, keep=keep)))


def _devstack(module: str) -> Any:  # noqa: ANN401  # a module
    """The module of a command that needs the extra `devstack`, or one line that says so."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] not in {"devstack", "h11", "psutil", "trustme"}:
            raise
        lacking = f"this command needs the local stack, and {error.name} is not installed"
        _refuse(f"recharge: {lacking}; run: pip install 'recharge[devstack]'", process.EXIT_USAGE)


def _settings(kind: type[E]) -> E:
    settings = load(kind)
    configure_logging(level=settings.log.level)
    return settings


def _refuse(message: str, status: int) -> NoReturn:
    typer.echo(message, err=True)
    process.leave(status)


def main() -> NoReturn:
    """Run the command line. Every error that a user can cause ends in one line on stderr, without a traceback."""
    try:
        cli(standalone_mode=False)
    except typer.Exit as done:
        process.leave(done.exit_code)
    except typer.Abort:
        process.leave(process.EXIT_FAILED)
    except WrongSettings as error:
        _refuse(str(error), process.EXIT_USAGE)
    except DeploymentProblem as error:
        _refuse(f"recharge: {error}", process.EXIT_USAGE)
    except Problem as error:
        _refuse(f"recharge: {error}", process.EXIT_FAILED)
    except KeyboardInterrupt:
        process.leave(process.EXIT_SIGNAL_BASE + 2)
    except Exception as error:
        told = _told_by_the_stack(error) or _told_by_click(error)
        if told is None:
            raise
        _refuse(*told)
    process.leave(process.EXIT_OK)


def _told_by_click(error: Exception) -> tuple[str, int] | None:
    """A wrong option or argument. click's errors have a method for their text, and typer hides the classes."""
    if hasattr(error, "format_message"):
        return f"recharge: {error.format_message()} (try --help)", process.EXIT_USAGE
    return None


def _told_by_the_stack(error: Exception) -> tuple[str, int] | None:
    """What the local stack could not do. Its errors are known only where it is installed."""
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return _told_by_the_stack(error.exceptions[0])
    if type(error).__module__.partition(".")[0] == "devstack" or type(error).__name__ in {
        "LocalProblem",
        "FailedToStart",
    }:
        return f"recharge: {error}", process.EXIT_FAILED
    return None
