"""How a process of ours runs and ends: signals, exit statuses, and errors in one line."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
"""Wrong settings or arguments: nothing was done."""
EXIT_SIGNAL_BASE = 128


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
        await main(stop)

    asyncio.run(run())
    return EXIT_OK


def leave(status: int) -> NoReturn:
    """End the process now. The SDK's native threads were seen to abort in the interpreter's finalisation, so that is left out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
