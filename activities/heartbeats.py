"""Heartbeats of a regular activity, so that Temporal finds its dead worker within seconds. A local one has those of its workflow task."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

from recharge import limits


@asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Send a heartbeat at a steady interval while the body runs. They carry no details: those are throttled and may be lost."""
    if activity.info().is_local:
        yield
        return

    async def beat() -> None:
        # Most activities end before the first one is due, and cost the server nothing.
        while True:
            await asyncio.sleep(limits.HEARTBEAT_INTERVAL_S)
            activity.heartbeat()

    task = asyncio.get_running_loop().create_task(beat())
    try:
        yield
    finally:
        task.cancel()
