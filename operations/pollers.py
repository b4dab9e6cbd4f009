"""Who works: the processes that poll the workers' task queues, by the names that they give themselves.

Temporal keeps a task queue in partitions (four, unless its operator chose otherwise), gives each poll to one of them, and knows of each
who polls there. A worker without work polls with a handful, for a minute each, so a partition may not see it for that long: all are asked.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from recharge import limits
from recharge.contract import calls_task_queue
from recharge.release import release_of

_NOT_FOR_US = frozenset({RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED})


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A queue that Temporal is asked about."""

    name: str
    kind: TaskQueueType.ValueType


async def queues(client: Client, task_queue: str, *, timeout_s: float) -> Sequence[Queue]:
    """The queue of the workflows and that of the calls, each with those who were seen there lately.

    Temporal keeps those who went away for some minutes; they are left out.

    Raises RPCError where Temporal does not answer.
    """
    return await asyncio.gather(*(_queue(client, asked, timeout_s) for asked in _both(task_queue)))


async def queue_not_polled_by(client: Client, task_queue: str, identity: str, *, timeout_s: float) -> str | None:
    """The name of the queue of these two where Temporal has not seen a process poll; None where it polls both.

    It costs a question a queue in most cases, since each worker asks every few seconds.

    Raises RPCError where Temporal does not answer.
    """
    for asked in _both(task_queue):
        first = _pollers([await _described(client, asked, asked.name, timeout_s)])
        if not _is_among(first, identity) and not _is_among((await _queue(client, asked, timeout_s)).pollers, identity):
            return asked.name
    return None


def _is_among(pollers: Sequence[Poller], identity: str) -> bool:
    return any(each.identity == identity for each in pollers)


def _both(task_queue: str) -> Sequence[_Asked]:
    return (
        _Asked(task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        _Asked(calls_task_queue(task_queue), TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    )


async def _queue(client: Client, asked: _Asked, timeout_s: float) -> Queue:
    partitions = await _partitions(client, asked, timeout_s)
    answers = await asyncio.gather(*(_described(client, asked, each, timeout_s) for each in partitions))
    return Queue(asked.name, _pollers(answers))


def _pollers(answers: Sequence[DescribeTaskQueueResponse]) -> Sequence[Poller]:
    """Those who were seen lately by some partitions of a queue, in the order of their names."""
    now = datetime.now(UTC)
    current = answers[0].versioning_info.current_deployment_version
    seen = []
    for each in _newest(poller for answer in answers for poller in answer.pollers):
        seen_s = max(0.0, (now - _seen_at(each)).total_seconds())
        own = each.deployment_options
        is_current = (own.deployment_name, own.build_id) == (current.deployment_name, current.build_id)
        seen.append(Poller(each.identity, seen_s, own.build_id or None, is_current))
    return sorted((each for each in seen if each.last_seen_s < limits.POLLER_SEEN_S), key=_by_name)


async def _described(client: Client, asked: _Asked, partition: str, timeout_s: float) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=partition), task_queue_type=asked.kind
    )
    return await client.workflow_service.describe_task_queue(request, timeout=timedelta(seconds=timeout_s))


async def _partitions(client: Client, asked: _Asked, timeout_s: float) -> Sequence[str]:
    """By which names the partitions of a queue are described; the queue's own, which is its first one's, where that is not told to us."""
    request = ListTaskQueuePartitionsRequest(namespace=client.namespace, task_queue=TaskQueue(name=asked.name))
    try:
        answer = await client.workflow_service.list_task_queue_partitions(request, timeout=timedelta(seconds=timeout_s))
    except RPCError as error:
        if error.status in _NOT_FOR_US:
            return [asked.name]
        raise
    is_workflow = asked.kind == TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    listed = answer.workflow_task_queue_partitions if is_workflow else answer.activity_task_queue_partitions
    return [each.key for each in listed] or [asked.name]


def _newest(pollers: Iterable[PollerInfo]) -> Iterable[PollerInfo]:
    """Each process once, as the partition saw it that saw it last."""
    return {each.identity: each for each in sorted(pollers, key=_seen_at)}.values()


def _seen_at(poller: PollerInfo) -> datetime:
    return poller.last_access_time.ToDatetime(UTC)


def _by_name(poller: Poller) -> str:
    return poller.identity
