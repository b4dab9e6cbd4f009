"""The person who decides about records in doubt where the provider cannot be asked: by the provider's own statement, as people do."""

import asyncio
from typing import Final

from devstack.site import Site
from devstack.stack import Devstack
from devstack.sweep.check import find

_LOOK_S: Final = 0.5
"""How often a person looks. A decision that comes too early is refused, and given again."""
_COMMAND_TIMEOUT_S: Final = 60.0


async def decide(stack: Devstack, site: Site, offset: int) -> None:
    """Answer every doubt about one record by `recharge resolve`, until this is cancelled."""
    while True:
        findings = await find(stack, site)
        if any(row.state == "in_doubt" for row in findings.rows.get(offset, [])):
            verdict = "--charged" if findings.charges.get(offset) else "--not-charged"
            command = site.spawn("resolve", f"0/{offset}", verdict, "--by", "sweep", "--note", "the statement says so")
            await command.wait(_COMMAND_TIMEOUT_S)
        await asyncio.sleep(_LOOK_S)
