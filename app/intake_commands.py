"""The commands by which a person decides about the intake as a whole: pause, resume, accept-gap."""

import asyncio
from collections.abc import Awaitable, Callable

import typer
from temporalio.client import Client
from temporalio.service import RPCError

from app.environment import PauseEnvironment
from app.logging import mask_text
from app.operate import Who, Why, _check_reason, _settings
from app.temporal import TemporalProblem
from operations.errors import Refused

intake_commands = typer.Typer()


@intake_commands.command()
def pause(*, by: Who = "", note: Why = "") -> None:
    """Start nothing new until `recharge resume`, for maintenance for example. What was started goes on and is committed."""
    from operations import switch  # noqa: PLC0415  # each command loads its own parts alone

    _throw(switch.pause, by, note)


@intake_commands.command()
def resume(*, by: Who = "", note: Why = "") -> None:
    """Let a paused intake go on, whoever paused it: a person, or the intake itself after too many refusals in a row."""
    from operations import switch  # noqa: PLC0415

    _throw(switch.resume, by, note)


def _throw(switch: Callable[..., Awaitable[str]], by: str, note: str) -> None:
    _check_reason(by, note)
    settings = _settings(PauseEnvironment)

    async def throw(client: Client) -> str:
        return await switch(client, settings.kafka.source, by=by.strip(), note=note.strip())

    typer.echo(mask_text(asyncio.run(_asked(throw))))


async def _asked(question: Callable[[Client], Awaitable[str]]) -> str:
    from app.operate_runs import connected  # noqa: PLC0415

    try:
        return await question(await connected())
    except RPCError as error:
        status = error.status.name.lower().replace("_", " ")
        raise TemporalProblem(f"Temporal: {status}: {error.message}; nothing is known to have been done") from error
    except Refused as refused:
        raise Refused(mask_text(str(refused))) from refused
