"""Who works: the processes that poll the workers' task queues, by the names that they give themselves."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from recharge import limits
from recharge.contract import calls_task_queue
from recharge.release import release_of


@dataclass(frozen=True, slots=True)
class Poller:
    """One process that polls."""

    identity: str
    """`recharge@VERSION PID@HOST`, where it is one of ours."""
    last_seen_s: float
    """How long ago its last poll began, by Temporal's clock and this machine's. A poll lasts a minute where there is nothing to do."""
    build_id: str | None
    """Which build of a worker deployment it is; None where it belongs to none."""
    is_current: bool
    """Whether work goes to it. Of a deployment only the current build gets any, and a worker of none only where nothing is current."""

    @property
    def is_polling(self) -> bool:
        """Whether it was seen so lately that its poll may still last. Where not, it has most likely ended."""
        return self.last_seen_s <= limits.POLL_LASTS_S

    @property
    def release(self) -> str | None:
        """The release that runs there; None where it does not say."""
        return release_of(self.identity)


@dataclass(frozen=True, slots=True)
class Queue:
    """One task queue of the workers, and who polls it."""

    name: str
    pollers: Sequence[Poller]


async def queues(client: Client, task_queue: str, *, timeout_s: float) -> Sequence[Queue]:
    """The queue of the workflows and that of the calls, each with those who were seen there lately.

    Temporal keeps those who went away for some minutes; they are left out.

    Raises RPCError where Temporal does not answer.
    """
    asked = (
        (task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        (calls_task_queue(task_queue), TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    )
    return await asyncio.gather(*(_queue(client, name, kind, timeout_s) for name, kind in asked))


async def _queue(client: Client, name: str, kind: TaskQueueType.ValueType, timeout_s: float) -> Queue:
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind),
        timeout=timedelta(seconds=timeout_s),
    )
    now = datetime.now(UTC)
    current = answer.versioning_info.current_deployment_version
    seen = []
    for each in answer.pollers:
        seen_s = max(0.0, (now - each.last_access_time.ToDatetime(UTC)).total_seconds())
        own = each.deployment_options
        is_current = (own.deployment_name, own.build_id) == (current.deployment_name, current.build_id)
        seen.append(Poller(each.identity, seen_s, own.build_id or None, is_current))
    return Queue(name, sorted((each for each in seen if each.last_seen_s < limits.POLLER_SEEN_S), key=_by_name))


def _by_name(poller: Poller) -> str:
    return poller.identity
