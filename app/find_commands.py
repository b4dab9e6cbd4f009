"""The command that tells how records are found in Temporal. It connects to nothing."""

import sys
from typing import Annotated

import typer

from app.command import AsJson, misused, settings_of, write_json
from app.environment import FindEnvironment, FindPhoneEnvironment

find_commands = typer.Typer()

STDIN = "-"
_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1


@find_commands.command()
def find(  # each of them is an option
    phone: Annotated[
        str | None,
        typer.Argument(
            metavar="PHONE",
            help="A donor's or receiver's number; - reads it from standard input, so that no shell remembers it.",
            show_default=False,
        ),
    ] = None,
    *,
    partition: Annotated[
        int | None, typer.Option(min=0, max=_INT32_MAX, metavar="N", help="The record's partition.", show_default=False)
    ] = None,
    offset: Annotated[
        int | None, typer.Option(min=0, max=_INT64_MAX, metavar="M", help="Its offset.", show_default=False)
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its topic; any topic by default.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the query that finds a customer's records, or the record at a position, in Temporal; and its link to the Web UI."""
    by_position = partition is not None or offset is not None or topic is not None
    if (phone is not None) is by_position:
        misused("give a phone number, or --partition and --offset")
    from app.operate_runs import web_ui_of  # noqa: PLC0415  # each command loads its own parts alone
    from operations import find as finding  # noqa: PLC0415

    settings: FindEnvironment
    try:
        if phone is not None:
            settings = with_key = settings_of(FindPhoneEnvironment)
            number = sys.stdin.readline() if phone == STDIN else phone
            query = finding.by_phone(number, with_key.privacy.hash_key.get_secret_value().encode())
        elif partition is None or offset is None:
            misused("a record is found by both, --partition and --offset")
        else:
            settings = settings_of(FindEnvironment)
            query = finding.by_position(partition, offset, topic)
    except finding.FindProblem as problem:
        misused(str(problem))
    web_ui = web_ui_of(settings.temporal)
    link = None if web_ui is None else web_ui.search(query)
    if as_json:
        write_json({"query": query, "web_ui_url": link})
        return
    typer.echo(query)
    if link is not None:
        typer.echo(link)
