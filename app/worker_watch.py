"""Asks the servers whether a worker can work: Temporal, whether it polls, and the ledger, whether it is there and takes writes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.ledger import LedgerError
from activities.ledger.waiting import WaitingRecords
from app.health import Part
from operations.pollers import queue_not_polled_by
from recharge import limits

log = structlog.get_logger(__name__)


class WorkerWatch:
    """Looks every few seconds, until cancelled."""

    def __init__(self, client: Client, task_queue: str, ledger: WaitingRecords) -> None:
        self._client = client
        self._task_queue = task_queue
        self._ledger = ledger
        self._found: dict[str, tuple[float, str | None]] = {}

    def parts(self) -> Iterator[Part]:
        """What was found last. What is older than it can be was not answered."""
        for name in ("polling", "ledger"):
            at_s, problem = self._found.get(name, (time.monotonic(), "not asked yet"))
            if time.monotonic() - at_s > limits.READY_SILENCE_S:
                problem = "the question whether it is there hangs"
            yield Part(name, problem)

    async def run(self) -> None:
        """Look until cancelled."""
        await asyncio.gather(self._look("polling", self._polling), self._look("ledger", self._ledger_answers))

    async def _look(self, name: str, ask: Callable[[], Awaitable[str | None]]) -> None:
        while True:
            problem = await ask()
            self._found[name] = (time.monotonic(), problem)
            await asyncio.sleep(limits.READY_LOOK_INTERVAL_S)

    async def _ledger_answers(self) -> str | None:
        try:
            await self._ledger.ping(timeout_s=limits.READY_LOOK_TIMEOUT_S)
        except LedgerError as error:
            return str(error)
        return None

    async def _polling(self) -> str | None:
        """Whether Temporal has us among those who poll both queues."""
        mine = self._client.service_client.config.identity
        timeout_s = limits.READY_LOOK_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):  # it may take several questions
                unseen = await queue_not_polled_by(self._client, self._task_queue, mine, timeout_s=timeout_s)
        except RPCError as error:
            return f"Temporal gave no answer: {error.status.name}: {error.message}"
        except TimeoutError:
            return f"Temporal gave no answer within {timeout_s:g} s"
        return None if unseen is None else f"Temporal does not see this worker poll the task queue {unseen}"
