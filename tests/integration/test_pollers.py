"""Who polls is seen wherever Temporal keeps it: a task queue has partitions, and each poll goes to one of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest
from temporalio.client import Client

from devstack.processes import wait_until
from operations.pollers import queue_not_polled_by, queues
from recharge import limits
from recharge.contract import calls_task_queue

QUEUE = "polled"
NAMES = [f"recharge@1 {number}@here" for number in range(8)]
"""More than there are partitions. Temporal gives a poll to the partition that has the fewest, so each has some."""
ONE_POLL = timedelta(seconds=60)


@pytest.fixture
async def polls(client: Client) -> AsyncIterator[None]:
    """Each of them polls both queues, once, as a worker without work does for a minute."""
    service, space = client.workflow_service, client.namespace
    under_way = [
        asyncio.ensure_future(poll)
        for name in NAMES
        for poll in (
            service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(namespace=space, task_queue=TaskQueue(name=QUEUE), identity=name),
                timeout=ONE_POLL,
            ),
            service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(
                    namespace=space, task_queue=TaskQueue(name=calls_task_queue(QUEUE)), identity=name
                ),
                timeout=ONE_POLL,
            ),
        )
    ]
    yield
    for poll in under_way:
        poll.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


@pytest.mark.usefixtures("polls")
async def test_everybody_who_polls_is_seen_whichever_partition_the_poll_went_to(client: Client) -> None:
    async def all_are_seen() -> bool:
        found = await queues(client, QUEUE, timeout_s=limits.RPC_TIMEOUT_S)
        return all([each.identity for each in queue.pollers] == NAMES for queue in found)

    # Less than a poll lasts: nobody polls a second time.
    await wait_until(all_are_seen, 20, "Temporal sees all who poll", interval_s=0.1)
    for name in NAMES:
        assert await queue_not_polled_by(client, QUEUE, name, timeout_s=limits.RPC_TIMEOUT_S) is None
    nobody = await queue_not_polled_by(client, QUEUE, "recharge@1 9@here", timeout_s=limits.RPC_TIMEOUT_S)
    assert nobody == QUEUE
