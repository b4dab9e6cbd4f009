"""The yardstick: a bare Temporal loop of the service's own shape, with activities that do nothing, no Kafka and no MySQL."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from recharge import limits

_ONCE = RetryPolicy(maximum_attempts=1)


@activity.defn
async def nothing(text: str) -> str:
    """Do nothing."""
    return text


@workflow.defn
class RegularAndLocal:
    """One regular activity, then a local one."""

    @workflow.run
    async def run(self, text: str) -> str:
        """Run both."""
        await workflow.execute_activity(nothing, text, start_to_close_timeout=timedelta(seconds=10), retry_policy=_ONCE)
        return await workflow.execute_local_activity(nothing, text, start_to_close_timeout=timedelta(seconds=10))


@workflow.defn
class TwoLocal:
    """Two local activities, in one workflow task."""

    @workflow.run
    async def run(self, text: str) -> str:
        """Run both."""
        await workflow.execute_local_activity(
            nothing, text, start_to_close_timeout=timedelta(seconds=10), retry_policy=_ONCE
        )
        return await workflow.execute_local_activity(nothing, text, start_to_close_timeout=timedelta(seconds=10))


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast a loop ran, and what it cost our process."""

    per_s: float
    cpu_ms_each: float


async def run(address: str, kind: type, *, count: int, in_flight: int) -> Measured:
    """Start `count` workflows, `in_flight` at a time, each started eagerly, and await their results."""
    client = await Client.connect(address)
    queue = f"bare-{kind.__name__}"
    slots = asyncio.Semaphore(in_flight)
    async with Worker(
        client,
        task_queue=queue,
        workflows=[kind],
        activities=[nothing],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=limits.ACTIVITIES_IN_FLIGHT_MAX,
    ):

        async def one(number: int) -> None:
            async with slots:
                handle = await client.start_workflow(
                    kind.run,  # type: ignore[attr-defined]
                    "x" * 600,
                    id=f"{queue}-{number}-{time.monotonic_ns()}",
                    task_queue=queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    request_eager_start=True,
                )
                await handle.result()

        await asyncio.gather(*(one(number) for number in range(in_flight)))
        cpu_s, began_s = time.process_time(), time.monotonic()
        await asyncio.gather(*(one(number) for number in range(count)))
        took_s = time.monotonic() - began_s
        return Measured(count / took_s, (time.process_time() - cpu_s) / count * 1000)
