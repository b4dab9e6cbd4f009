"""The end of a command that runs for a long time: a Ctrl-C or SIGTERM ends what it began in good order."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from rich.console import Console


async def until_stopped(work: Coroutine[Any, Any, int], console: Console, told: str) -> int:
    """Do the work and return its exit status; where it is stopped, say so and what stays of it, and return 1."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        console.print(f"Stopped. {told}", markup=False)
        return 1
