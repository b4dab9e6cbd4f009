"""The intake on the real servers, with a stub in the workflow's place."""

import asyncio
import contextlib
import itertools
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest, UnpauseWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from app.environment import IngestEnvironment, load
from app.ingest import intake
from devstack.processes import wait_until
from devstack.site import Site
from devstack.stack import Devstack
from tests.support.described import described
from tests.support.records import value

FINAL_TIMEOUT_S = 60.0


@dataclass
class Corner:
    """One site, and what a test of the intake asks of it."""

    stack: Devstack
    site: Site
    client: Client

    def workflow_id(self, partition: int, offset: int) -> str:
        """The id of a record's workflow."""
        return f"{self.site.source}:{self.site.topic}:{partition}:{offset}"

    def settings(self, **environment: str) -> IngestEnvironment:
        """The intake's settings, with some of them changed."""
        return load(IngestEnvironment, self.site.environment | environment)

    @contextlib.asynccontextmanager
    async def intake(self, environment: Mapping[str, str] | None = None) -> AsyncIterator[asyncio.Task[None]]:
        """An intake in this process, stopped in good order afterwards."""
        stop = asyncio.Event()
        ingester = intake(self.client, self.settings(**(environment or {})), beside=None)
        task = asyncio.create_task(ingester.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)

    async def produce(
        self, partition: int, wishes: Sequence[str | int], *, accounts: tuple[str, str] | None = None
    ) -> None:
        """Send valid records, each with its wish to the stub workflow."""
        numbers = {} if accounts is None else {"phoneNumberDonor": accounts[0], "phoneNumberReceiver": accounts[1]}
        await self.stack.kafka.produce(
            self.site.topic, [(b"key", value(test=wish, **numbers), partition, []) for wish in wishes]
        )

    async def committed(self) -> dict[int, int]:
        """The committed offsets that have moved from the start of their partition."""
        committed = await self.stack.kafka.committed(self.site.group, self.site.topic)
        return {partition: offset for partition, offset in committed.items() if offset > 0}

    async def until_committed(self, expected: Mapping[int, int], timeout_s: float = FINAL_TIMEOUT_S) -> None:
        """Wait until exactly these offsets are committed."""
        seen: dict[int, int] = {}

        async def as_expected() -> bool:
            nonlocal seen
            seen = await self.committed()
            return seen == expected

        await wait_until(as_expected, timeout_s, f"{expected} is committed in {self.site.topic}", interval_s=0.1)

    async def until_drained(self, timeout_s: float = FINAL_TIMEOUT_S) -> None:
        """Wait until everything in the topic is committed."""
        await self.until_committed(await self.stack.kafka.end_offsets(self.site.topic), timeout_s)

    async def status(self, partition: int, offset: int) -> WorkflowExecutionStatus | None:
        """How the newest run of a record's workflow is, or None where there is none."""
        newest = await described(self.client.get_workflow_handle(self.workflow_id(partition, offset)))
        return newest.status if newest else None

    async def until_status(self, partition: int, offset: int, status: WorkflowExecutionStatus) -> None:
        """Wait until a record's workflow has this status."""

        async def has_it() -> bool:
            return await self.status(partition, offset) is status

        await wait_until(
            has_it, FINAL_TIMEOUT_S, f"{self.workflow_id(partition, offset)} is {status.name}", interval_s=0.05
        )

    async def until_open(self, partition: int, offset: int) -> None:
        """Wait until a record's workflow runs and its worker has begun with it, so that it can be reset."""
        await self.until_status(partition, offset, WorkflowExecutionStatus.RUNNING)
        handle = self.client.get_workflow_handle(self.workflow_id(partition, offset))

        async def has_begun() -> bool:
            # Started, task scheduled, task started, task completed.
            return (await handle.describe()).history_length >= 4

        await wait_until(has_begun, FINAL_TIMEOUT_S, f"a worker has begun with {handle.id}", interval_s=0.05)

    async def finish(self, partition: int, offset: int, state: str = "succeeded") -> None:
        """End a waiting workflow in this state."""
        await self.client.get_workflow_handle(self.workflow_id(partition, offset)).signal("finish", state)

    async def pause_in_temporal(self, workflow_id: str) -> None:
        """Pause one workflow, as the Web UI's button does. The intake's own switch is something else."""
        request = PauseWorkflowExecutionRequest(
            namespace=self.client.namespace, workflow_id=workflow_id, request_id=str(uuid.uuid4()), reason="by a test"
        )
        await self.client.workflow_service.pause_workflow_execution(request)

    async def unpause_in_temporal(self, workflow_id: str) -> None:
        """Let a workflow go on that was paused so."""
        request = UnpauseWorkflowExecutionRequest(
            namespace=self.client.namespace, workflow_id=workflow_id, request_id=str(uuid.uuid4()), reason="by a test"
        )
        await self.client.workflow_service.unpause_workflow_execution(request)

    async def runs(self) -> list[WorkflowExecution]:
        """Every run of this site's workflows, from visibility, which may lag a moment behind."""
        return [run async for run in self.client.list_workflows(f'RechargeTopic = "{self.site.topic}"')]

    async def assert_each_ran_once_in_order(self, counts: Mapping[int, int]) -> None:
        """Each record had one run, and within a partition each began after the one before it had ended."""
        total = sum(counts.values())

        async def all_listed() -> bool:
            runs = await self.runs()
            return len(runs) >= total and all(run.close_time is not None for run in runs)

        await wait_until(all_listed, FINAL_TIMEOUT_S, f"{total} closed workflows are listed", interval_s=0.1)
        by_partition: dict[int, list[WorkflowExecution]] = defaultdict(list)
        for run in await self.runs():
            by_partition[int(run.id.split(":")[2])].append(run)
        for partition, count in counts.items():
            runs = sorted(by_partition[partition], key=lambda run: int(run.id.split(":")[3]))
            assert len(runs) == len({run.id for run in runs}) == count
            for earlier, later in itertools.pairwise(runs):
                assert earlier.close_time is not None
                assert later.start_time >= earlier.close_time, f"{later.id} began before {earlier.id} was final"

    async def delete_topic(self, topic: str) -> None:
        """Delete a topic, and wait until Kafka does not list it any more."""
        async with self.kafka_admin() as admin:
            await admin.delete_topics([topic])
            async with asyncio.timeout(FINAL_TIMEOUT_S):
                while topic in await admin.list_topics():  # noqa: ASYNC110  # a server is asked, not a task
                    await asyncio.sleep(0.1)

    async def move_group(self, offsets: Mapping[int, int]) -> None:
        """Set the group's committed offsets, as an operator does while the group is stopped. A killed member is put out first."""
        consumer = AIOKafkaConsumer(
            **self.stack.kafka.client_options(), group_id=self.site.group, enable_auto_commit=False
        )
        partitions = {TopicPartition(self.site.topic, number): offset for number, offset in offsets.items()}

        async def is_moved() -> bool:
            try:
                await consumer.commit(partitions)
            except CommitFailedError:
                return False
            return True

        await consumer.start()
        try:
            consumer.assign(list(partitions))
            await wait_until(is_moved, FINAL_TIMEOUT_S, "the group has no member any more", interval_s=0.5)
        finally:
            await consumer.stop()

    @contextlib.asynccontextmanager
    async def kafka_admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Kafka's admin client, as the administrator."""
        admin = AIOKafkaAdminClient(**self.stack.kafka.client_options())
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


def logged(logs: Sequence[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    """The captured log lines that begin like this."""
    return [line for line in logs if line["event"].startswith(event)]


async def some_started(corner: Corner, count: int) -> bool:
    """Whether so many workflows of the site have started."""
    return len(await corner.runs()) >= count
