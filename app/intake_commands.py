"""The commands by which a person decides about the intake as a whole: pause, resume, accept-gap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from temporalio.client import Client
from temporalio.service import RPCError

from app.command import Who, Why, check_reason, discretion_for, referring, settings_of
from app.environment import AcceptGapEnvironment, PauseEnvironment
from app.temporal import TemporalProblem
from recharge.settings import TemporalSettings

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
    check_reason(by, note)
    settings = settings_of(PauseEnvironment)

    async def throw(client: Client) -> str:
        who, why = by.strip(), note.strip()
        return await switch(client, settings.kafka.source, by=who, note=why, discretion=discretion_for(reveal=False))

    typer.echo(asyncio.run(_with_temporal(settings.temporal, throw)))


async def _with_temporal(settings: TemporalSettings, work: Callable[[Client], Awaitable[str]]) -> str:
    from app.operate_runs import connected  # noqa: PLC0415
    from operations.runs import temporal_said  # noqa: PLC0415

    client = await connected(settings)
    try:
        return await work(client)
    except RPCError as error:
        raise TemporalProblem(f"{temporal_said(error)}; look at `recharge status` whether it is done") from error


@intake_commands.command("accept-gap")
def accept_gap(
    gap: Annotated[
        str,
        typer.Argument(
            metavar="PARTITION:FROM-TO", help="The partition, and the first and the last offset that are lost."
        ),
    ],
    *,
    by: Who = "",
    note: Why = "",
) -> None:
    """Write down that records are lost, which Kafka deleted before they were carried out. It moves no offset."""
    check_reason(by, note)
    from activities.ledger import Gaps  # noqa: PLC0415
    from operations import gaps  # noqa: PLC0415

    settings = settings_of(AcceptGapEnvironment)
    kafka = settings.kafka
    lost = referring(lambda: gaps.parse(gap, source=kafka.source, topic=kafka.topic))

    async def accept(client: Client) -> str:
        async with Gaps(settings.mysql.url.get_secret_value(), connections_max=1) as ledger:
            await ledger.check()
            acceptor = gaps.Acceptor(ledger, kafka, client, discretion_for(reveal=False))
            return await acceptor.accept(lost, by=by.strip(), note=note.strip())

    typer.echo(asyncio.run(_with_temporal(settings.temporal, accept)))
