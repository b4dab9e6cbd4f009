"""The yardsticks: bare Temporal loops, with activities that do nothing, no Kafka and no MySQL."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.service import GrpcCompression
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.cpu import OURS, CpuMeter
from devstack.stack import Devstack
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


@workflow.defn
class OneLocal:
    """One local activity: what is left of the service's shape where the first answer ends a record."""

    @workflow.run
    async def run(self, text: str) -> str:
        """Run it."""
        return await workflow.execute_local_activity(
            nothing, text, start_to_close_timeout=timedelta(seconds=10), retry_policy=_ONCE
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast a loop or the service ran, when, and what CPU time it cost our process and the servers."""

    per_s: float
    cpu_ms_each: dict[str, float]
    ended_s: float
    """By the system's clock."""
    took_s: float

    @classmethod
    def since(cls, began_s: float, cpu: CpuMeter, count: int) -> Self:
        """What ends now with so many, and began at this time of the monotonic clock, when the meter was made."""
        took_s = time.monotonic() - began_s
        return cls(count / took_s, cpu.ms_each(count), time.time(), took_s)


@asynccontextmanager
async def worker(
    stack: Devstack, kind: type, *, as_served: bool = False
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """A worker of the workflow, and what starts one eagerly and awaits its result."""
    client = await Client.connect(
        stack.temporal.address,
        namespace=stack.temporal.namespace,
        grpc_compression=GrpcCompression.NONE if as_served else GrpcCompression.GZIP,
    )
    queue = f"bare-{kind.__name__}"

    async def one(number: int) -> None:
        handle = await client.start_workflow(
            kind.run,  # type: ignore[attr-defined]
            "x" * 600,
            id=f"{queue}-{number}-{time.monotonic_ns()}",
            task_queue=queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            request_eager_start=True,
        )
        await handle.result()

    async with Worker(
        client,
        task_queue=queue,
        workflows=[kind],
        activities=[nothing],
        workflow_runner=UnsandboxedWorkflowRunner(),
        debug_mode=as_served,
        max_concurrent_activities=limits.ACTIVITIES_IN_FLIGHT_MAX,
    ):
        yield one


async def run(stack: Devstack, kind: type, *, count: int, in_flight: int, as_served: bool = False) -> Measured:
    """Run `count` workflows, `in_flight` at a time, after a round of as many that is not counted.

    Client and worker are set as the SDK has it by itself: messages are compressed, and each step of a workflow is handed to a thread. Or
    they are set `as_served`, that is, as the service sets them: neither is done.
    """
    slots = asyncio.Semaphore(in_flight)
    async with worker(stack, kind, as_served=as_served) as one:

        async def in_turn(number: int) -> None:
            async with slots:
                await one(number)

        await asyncio.gather(*(in_turn(number) for number in range(in_flight)))
        pids = {OURS: os.getpid(), stack.temporal.name: stack.temporal.pid}
        began_s, cpu = time.monotonic(), CpuMeter(pids)
        await asyncio.gather(*(in_turn(number) for number in range(count)))
        return Measured.since(began_s, cpu, count)


async def latencies_s(stack: Devstack, kind: type, *, per_s: float, count: int) -> list[float]:
    """How long each of `count` workflows took from when it was due to its result, so many becoming due each second."""
    async with worker(stack, kind) as one:
        began_s = time.monotonic()

        async def when_due(number: int) -> float:
            due_s = began_s + number / per_s
            await asyncio.sleep(due_s - time.monotonic())
            await one(number)
            return time.monotonic() - due_s

        return await asyncio.gather(*(when_due(number) for number in range(count)))
