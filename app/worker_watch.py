"""Asks the servers whether a worker can work: Temporal, whether it polls, and the ledger, whether it is there and takes writes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.ledger import LedgerError
from activities.ledger.waiting import WaitingRecords
from app.health import Part
from recharge import limits
from recharge.contract import calls_task_queue

log = structlog.get_logger(__name__)

_TIMEOUT = timedelta(seconds=limits.READY_LOOK_TIMEOUT_S)


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
        queues: Sequence[tuple[str, TaskQueueType.ValueType]] = (
            (self._task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
            (calls_task_queue(self._task_queue), TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
        )
        try:
            problems = await asyncio.gather(*(self._polls(name, kind) for name, kind in queues))
        except RPCError as error:
            return f"Temporal gave no answer: {error.status.name}: {error.message}"
        return next((problem for problem in problems if problem is not None), None)

    async def _polls(self, name: str, kind: TaskQueueType.ValueType) -> str | None:
        """Whether Temporal has us among those who poll a queue. It keeps those who went away for some minutes."""
        answer = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind
            ),
            timeout=_TIMEOUT,
        )
        since = datetime.now(UTC) - timedelta(seconds=limits.POLLER_SEEN_S)
        mine = self._client.service_client.config.identity
        if any(each.identity == mine and each.last_access_time.ToDatetime(UTC) > since for each in answer.pollers):
            return None
        return f"Temporal does not see this worker poll the task queue {name}"
