"""What the commands of `app.operate` do: each opens its connections, asks or decides, and closes them."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from temporalio.client import Client
from temporalio.service import RPCError

from activities.ledger import OperatorLedger, Waiting
from app.env_file import variables
from app.environment import ResolveEnvironment, ShowEnvironment, StatusEnvironment
from app.temporal import DEFAULT_ADDRESS, TemporalProblem, configured_namespace, connect
from operations import status as statuses
from operations.decide import DECISIONS_AT_ONCE, Decider, Line
from operations.runs import newest_run
from operations.show import Seen
from operations.waiting import LISTED_MAX
from operations.web_ui import WebUi
from recharge import limits
from recharge.contract import Decision
from recharge.settings import MySQLSettings, TemporalSettings

CONNECT_TIMEOUT_S = 5.0
"""How long a command waits for Temporal before it says that there is no answer. A person waits for it, so it is short."""


async def decide(
    settings: ResolveEnvironment, workflow_ids: Sequence[str], decision: Decision, provider_reference: str | None
) -> AsyncIterator[Line]:
    """Decide about each record, several at once, and tell the lines in the order of the records.

    Raises TemporalProblem where Temporal gives no answer, and a LedgerError where the ledger cannot be used: nothing is decided then.
    """
    client = await connected(settings.temporal)
    async with _ledger(settings.mysql) as ledger:
        await ledger.check()
        decider = Decider(ledger, client, processing_time_s=settings.provider.processing_time_s)
        tasks = [asyncio.create_task(decider.decide(each, decision, provider_reference)) for each in workflow_ids]
        for task in tasks:
            yield await task


async def waiting(settings: ResolveEnvironment) -> list[Waiting]:
    """What waits for a person."""
    async with _ledger(settings.mysql) as ledger:
        return await ledger.waiting(count_max=LISTED_MAX)


async def look(settings: ShowEnvironment, workflow_id: str) -> Seen | None:
    """One record's story, or None where the ledger has no such record. What Temporal has is left out where it gives no answer."""
    async with _ledger(settings.mysql) as ledger:
        story = await ledger.story(workflow_id)
    if story is None:
        return None
    web_ui, run, problem = None, None, None
    try:
        web_ui = web_ui_of(settings.temporal)
        run = await newest_run(await connected(settings.temporal), workflow_id)
    except TemporalProblem as error:
        problem = str(error)
    except RPCError as error:
        problem = f"Temporal: {error.status.name.lower()}: {error.message}"
    link = None if web_ui is None else web_ui.link(workflow_id, None if run is None else run.run_id)
    return Seen(story, run, problem, link)


async def status(settings: StatusEnvironment) -> statuses.Status:
    """The whole service at one moment."""
    async for found in watched(settings, once=True):
        return found
    raise AssertionError("a status is told at once")


async def watched(settings: StatusEnvironment, *, once: bool = False) -> AsyncIterator[statuses.Status]:
    """The whole service at one moment after another, over connections that are kept, until the caller has seen enough."""
    web_ui, client, problem = None, None, None
    async with _ledger(settings.mysql) as ledger:
        while True:
            try:
                web_ui = web_ui_of(settings.temporal)
                client = client or await connected(settings.temporal)
                problem = None
            except TemporalProblem as error:
                problem = str(error)
            found = await statuses.gather(settings.kafka, ledger, client, problem, settings.temporal.task_queue)
            found.web_ui = web_ui
            yield found
            if once:
                return
            await asyncio.sleep(limits.STATUS_WATCH_S)


def web_ui_of(settings: TemporalSettings) -> WebUi | None:
    """Temporal's Web UI, where its address is set. Links need no connection, so they are there while Temporal is away.

    Raises TemporalProblem where Temporal's own configuration cannot be read.
    """
    return None if settings.web_ui_url is None else WebUi(settings.web_ui_url, configured_namespace())


async def connected(settings: TemporalSettings) -> Client:
    """A client, or TemporalProblem: a person who types a command is not kept waiting for a server that is away."""
    reasons: list[str] = []
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await connect(settings, waiting=reasons.append)
    except TimeoutError as error:
        address = variables().get("TEMPORAL_ADDRESS", DEFAULT_ADDRESS)
        why = f": {reasons[-1]}" if reasons else ""
        raise TemporalProblem(
            f"Temporal at {address} gave no answer within {CONNECT_TIMEOUT_S:g} s; does it run, and is TEMPORAL_ADDRESS right{why}"
        ) from error


def _ledger(settings: MySQLSettings) -> OperatorLedger:
    return OperatorLedger(settings.url.get_secret_value(), connections_max=DECISIONS_AT_ONCE)
