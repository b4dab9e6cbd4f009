"""The local stack with a migrated site on it, as `recharge dev` and `recharge demo` use it."""

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from devstack.processes import ManagedProcess
from devstack.site import Site
from devstack.stack import Devstack

PROFILE: Mapping[str, str] = {
    # The simulator offers a look-up, and its profile promises that a 500 carries nothing out.
    "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup",
    "RECHARGE_PROVIDER__NOT_CHARGED_STATUSES": "401,403,407,429,500",
    "RECHARGE_PROVIDER__TIMEOUT_S": "5",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": "2",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "1",
    "RECHARGE_LOG__LEVEL": "info",
}
"""The provider's profile on the local stack, with times that fit a person who watches."""

_MIGRATE_TIMEOUT_S = 60.0


class LocalProblem(Exception):
    """The local stack is not as it should be. Its text is one line, and the end of a log where that helps."""


@asynccontextmanager
async def local_stack(folder: Path, on_progress: Callable[[str], None]) -> AsyncIterator[tuple[Devstack, Site]]:
    """Start the stack in `folder`, make the default site and migrate it; everything ends with the body."""
    produce = shlex.join([sys.executable, "-m", "app", "produce"])
    async with Devstack(folder, on_progress, producer_command=produce) as stack:
        site = await stack.site("", profile=PROFILE)
        on_progress("migrating the ledger and Temporal's search attributes")
        migration = site.spawn("migrate")
        await _succeeded(migration)
        yield stack, site


async def _succeeded(process: ManagedProcess) -> None:
    try:
        status = await process.wait(_MIGRATE_TIMEOUT_S)
    except (TimeoutError, asyncio.TimeoutError) as error:  # noqa: UP041  # both names are one in 3.11; the helper may raise its own
        raise LocalProblem(
            f"recharge migrate did not end within {_MIGRATE_TIMEOUT_S:.0f} s:\n{process.tail(5)}"
        ) from error
    if status != 0:
        raise LocalProblem(f"recharge migrate failed:\n{process.tail(5)}")
