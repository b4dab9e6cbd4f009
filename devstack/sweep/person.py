"""The person who decides about records in doubt where the provider cannot be asked: by the provider's own statement, as people do."""

import asyncio
import contextlib
import csv
import io
from typing import Final

from devstack.site import Site
from devstack.stack import Devstack

_LOOK_S: Final = 0.5
"""How often a person looks."""
_COMMAND_TIMEOUT_S: Final = 60.0


async def decide(stack: Devstack, site: Site, offset: int, done: asyncio.Event) -> None:
    """Answer every doubt about one record by `recharge resolve`, until it is `done`. A command that was begun is brought to its end.

    The statement is asked for when nothing more can be charged, and not before: a charge that came in between would be done again.
    """
    workflow_id = f"{site.source}:{site.topic}:0:{offset}"
    while not done.is_set():
        if await _is_to_be_decided(stack, site, workflow_id):
            statement = csv.DictReader(io.StringIO(await stack.simulator.client.statement(workflow_id)))
            is_charged = any(line["reference"] == workflow_id for line in statement)
            verdict = "--charged" if is_charged else "--not-charged"
            command = site.spawn("resolve", f"0/{offset}", verdict, "--by", "sweep", "--note", "the statement says so")
            await command.wait(_COMMAND_TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _LOOK_S)


async def _is_to_be_decided(stack: Devstack, site: Site, workflow_id: str) -> bool:
    """Whether the record is in doubt, and the time of its last call is over, by MySQL's clock."""
    database = site.names.database
    found = await stack.mysql.execute(
        f"SELECT 1 FROM {database}.recharges r JOIN {database}.recharge_attempts a ON a.workflow_id = r.workflow_id "  # noqa: S608  # the stack's own names
        "WHERE r.workflow_id = %s AND r.state = 'in_doubt' GROUP BY r.id "
        "HAVING MAX(a.deadline_at) + INTERVAL 1 SECOND < UTC_TIMESTAMP(6)",
        (workflow_id,),
    )
    return bool(found)
