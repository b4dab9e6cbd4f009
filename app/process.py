"""How a process of ours runs and ends: signals, exit statuses, and errors in one line."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import structlog

from app.loading import loading
from recharge.problem import Problem

log = structlog.get_logger(__name__)

T = TypeVar("T")

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
"""Wrong settings or arguments: nothing was done."""
EXIT_SIGNAL_BASE = 128


class Stopped(Exception):
    """A stop came while something was waited for that is not there yet."""


class CannotServe(Problem):
    """What a process should serve cannot be served as the settings say. Its text is one line."""


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """The answer of `work`. Raises Stopped where `stop` was set before it came."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        for waiting in (task, stopping):
            waiting.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


def serve(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main` until it returns. SIGTERM and SIGINT set its stop event; a second one ends the process at once."""

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stopping(received: signal.Signals) -> None:
            if stop.is_set():
                log.warning("stopped at once by a second signal", signal=received.name)
                leave(EXIT_SIGNAL_BASE + received)
            log.info("stopping", signal=received.name)
            stop.set()

        for received in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(received, stopping, received)
        try:
            await main(stop)
        except Stopped:
            log.info("stopped while waiting")

    with loading():
        from app import event_loop  # noqa: PLC0415  # commands that end at once need no loop of our own

    event_loop.run(run())
    return EXIT_OK


def leave(status: int) -> NoReturn:
    """End the process now. The SDK's native threads were seen to abort in the interpreter's finalisation, so that is left out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
