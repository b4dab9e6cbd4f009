"""Waiting for a server: the log says once what is wrong and once that it is over, the backoff has a limit, and a stop ends it."""

import asyncio
import time
from collections.abc import Coroutine, Hashable
from typing import Any, Protocol, TypeVar

from recharge import limits

_Answer = TypeVar("_Answer")


class Logger(Protocol):
    """The part of structlog's loggers that is needed here."""

    def warning(self, event: str, **values: object) -> object:
        """Log what a person should know soon."""

    def info(self, event: str, **values: object) -> object:
        """Log what went as it should."""


class Outage:
    """One kind of trouble that many calls may meet at the same time."""

    def __init__(self, log: Logger, began: str, over: str) -> None:
        self._log = log
        self._began = began
        self._over = over
        self._waiting: set[Hashable] = set()
        self._since_s: float | None = None
        """When the trouble was told, as long as nobody was told that it is over."""

    def began(self, who: Hashable, problem: str) -> None:
        """Note that `who` met the trouble. The first one is logged."""
        if self._since_s is None:
            self._since_s = time.monotonic()
            self._log.warning(self._began, problem=problem)
        self._waiting.add(who)

    def over(self, who: Hashable) -> None:
        """Note that `who` goes on, or met no trouble. Where nobody waits any more, that is logged."""
        self._waiting.discard(who)
        if self._since_s is not None and not self._waiting:
            self._log.info(self._over, after_s=round(time.monotonic() - self._since_s, 1))
            self._since_s = None

    def forget(self, who: Hashable) -> None:
        """Note that `who` waits no more, which says nothing about the trouble: it is over when somebody has gone on."""
        self._waiting.discard(who)


def backoff_s(tries: int) -> float:
    """How long to wait after so many failures in a row."""
    return float(min(limits.START_RETRY_MAX_S, limits.START_RETRY_FIRST_S * 2 ** min(tries, 10)))


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, _Answer]) -> _Answer | None:
    """The answer of `work`, or None where `stop` was set before it came."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
