"""The whole service on the real servers: our own processes on one site, and what a test asks of them."""

import asyncio
import contextlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from aiokafka.errors import UnknownTopicOrPartitionError
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities.ledger import Decisions, Ruling, Wish
from activities.provider import Provider
from devstack.errors import WaitTimeoutError
from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.client import Charge
from devstack.site import Site
from devstack.stack import Devstack
from recharge.contract import RESOLVE_UPDATE, Decision, DecisionReply, RechargeResult
from recharge.outcome import Action
from recharge.settings import ProviderSettings
from tests.support.described import described
from tests.support.intake import FINAL_TIMEOUT_S, Corner

RESET_POINTS = (
    "workflow_task_started_event_attributes",
    "workflow_task_completed_event_attributes",
    "workflow_task_timed_out_event_attributes",
    "workflow_task_failed_event_attributes",
)
"""The events of a history that a workflow can be reset to."""


class Service(Corner):
    """A site with our processes on it. Records stand at (partition, offset)."""

    @classmethod
    def of(cls, stack: Devstack, site: Site, client: Client) -> Self:
        """The service of a site that is migrated."""
        return cls(stack, site, client)

    # --- Records ----------------------------------------------------------------------------------------------------------

    async def send(self, partition: int, *values: bytes, key: bytes = b"key") -> None:
        """Send records to a partition."""
        await self.stack.kafka.produce(self.site.topic, [(key, raw, partition, []) for raw in values])

    async def until_drained(self, timeout_s: float = FINAL_TIMEOUT_S) -> None:
        """Wait until everything in the topic is committed; a partition without records need not be."""
        ends = await self.stack.kafka.end_offsets(self.site.topic)

        async def all_committed() -> bool:
            committed = await self.committed()
            return all(committed.get(partition, 0) == end for partition, end in ends.items())

        await wait_until(all_committed, timeout_s, f"{ends} is committed in {self.site.topic}", interval_s=0.1)

    async def posts(self) -> Counter[tuple[int, int]]:
        """How many POSTs of each record reached the provider."""
        posts = await self.stack.simulator.client.posts(f"{self.site.source}:")
        return Counter(position(post.reference) for post in posts)

    async def charges(self) -> Counter[tuple[int, int]]:
        """How many charges of each record the provider carried out."""
        charges: list[Charge] = await self.stack.simulator.client.charges(f"{self.site.source}:")
        return Counter(position(charge.reference) for charge in charges)

    async def states(self) -> dict[tuple[int, int], str]:
        """The state of each record of this source in the ledger."""
        rows = await self.stack.mysql.execute(
            f"SELECT partition_id, record_offset, state FROM {self.site.names.database}.recharges "
            f"WHERE source = '{self.site.source}'"
        )
        return {(partition, offset): state for partition, offset, state in rows}

    async def until_states(self, expected: Mapping[tuple[int, int], str], timeout_s: float = FINAL_TIMEOUT_S) -> None:
        """Wait until these records are in these states."""
        seen: dict[tuple[int, int], str] = {}

        async def as_expected() -> bool:
            nonlocal seen
            seen = await self.states()
            return all(seen.get(where) == state for where, state in expected.items())

        try:
            await wait_until(as_expected, timeout_s, f"the ledger says {expected}", interval_s=0.1)
        except WaitTimeoutError as error:
            raise AssertionError(f"{error} It says {seen}.") from error

    async def ledger_rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that the ledger holds about the site's records, but for how often and when it was looked at."""
        database = self.site.names.database
        columns = await self.stack.mysql.execute(
            f"SELECT column_name FROM information_schema.columns WHERE table_schema = '{database}' "
            "AND table_name = 'recharges' AND column_name NOT IN ('begun', 'updated_at') ORDER BY ordinal_position"
        )
        chosen = ", ".join(name for (name,) in columns)
        return {
            "recharges": await self.stack.mysql.execute(f"SELECT {chosen} FROM {database}.recharges ORDER BY id"),
            "attempts": await self.stack.mysql.execute(f"SELECT * FROM {database}.recharge_attempts ORDER BY id"),
            "actions": await self.stack.mysql.execute(f"SELECT * FROM {database}.operator_actions ORDER BY id"),
        }

    async def dead_letters(self) -> Counter[tuple[int, int]]:
        """How many dead letters of each record there are."""
        letters = await self.stack.kafka.read_all(f"{self.site.topic}.dlt")
        ids = [(dict(letter.headers)["recharge-workflow-id"] or b"").decode() for letter in letters]
        return Counter(position(workflow_id) for workflow_id in ids)

    # --- Workflows --------------------------------------------------------------------------------------------------------

    def handle(self, partition: int, offset: int = 0) -> WorkflowHandle[Any, RechargeResult]:
        """The newest run of a record's workflow."""
        return self.client.get_workflow_handle(self.workflow_id(partition, offset), result_type=RechargeResult)

    async def result(self, partition: int, run_id: str, offset: int = 0) -> RechargeResult:
        """The result of one run, once it is there."""
        handle = self.client.get_workflow_handle(
            self.workflow_id(partition, offset), run_id=run_id, result_type=RechargeResult
        )
        return await asyncio.wait_for(handle.result(follow_runs=False), FINAL_TIMEOUT_S)

    async def reset_points(self, partition: int, offset: int = 0) -> tuple[str, list[int]]:
        """The newest run's id, and the events of its history that it can be reset to."""
        run_id = (await self.handle(partition, offset).describe()).run_id
        history = await self.client.get_workflow_handle(
            self.workflow_id(partition, offset), run_id=run_id
        ).fetch_history()
        return run_id, [event.event_id for event in history.events if _is_reset_point(event)]

    async def reset(self, partition: int, run_id: str, event_id: int, offset: int = 0) -> str | None:
        """Reset a run to one event, as an operator does in the Web UI; returns the new run's id.

        None where the server refuses it: a task that was begun in one step with what led to it is no point to reset to.
        """
        try:
            return await self._reset(self.workflow_id(partition, offset), run_id, event_id)
        except RPCError as error:
            if "must be at the boundary" in error.message:
                return None
            raise

    async def _reset(self, workflow_id: str, run_id: str, event_id: int) -> str:
        answer = await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                workflow_task_finish_event_id=event_id,
                request_id=str(uuid.uuid4()),
                reason="by a test",
            )
        )
        return answer.run_id

    async def delete(self, partition: int, offset: int = 0) -> None:
        """Delete the newest run of a workflow and wait until it is gone, as it is at the end of its retention."""
        run_id = (await self.handle(partition, offset).describe()).run_id
        await self.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=self.workflow_id(partition, offset), run_id=run_id),
            )
        )

        async def gone() -> bool:
            newest = await described(self.handle(partition, offset))
            return newest is None or newest.run_id != run_id

        await wait_until(gone, FINAL_TIMEOUT_S, f"{self.workflow_id(partition, offset)} is gone", interval_s=0.05)

    async def until_waiting(self, partition: int, offset: int = 0, run_id: str | None = None) -> None:
        """Wait until a record's workflow waits for certainty in its look-up activity. It may not have been started yet."""
        handle = self.client.get_workflow_handle(self.workflow_id(partition, offset), run_id=run_id)

        async def waits() -> bool:
            newest = await described(handle)
            pending = newest.raw_description.pending_activities if newest else ()
            return any(activity.activity_type.name == "look_up" for activity in pending)

        await wait_until(waits, FINAL_TIMEOUT_S, f"{handle.id} waits for certainty", interval_s=0.05)

    # --- People -----------------------------------------------------------------------------------------------------------

    async def decide(self, partition: int, action: Action, offset: int = 0, *, is_closed: bool = False) -> None:
        """Write a person's decision down, as soon as the ledger takes it."""
        wish = Wish(self.workflow_id(partition, offset), action, "Ann", "asked the provider", is_closed=is_closed)
        processing_time_s = float(self.site.environment.get("RECHARGE_PROVIDER__PROCESSING_TIME_S", "60"))
        decisions = Decisions(self.site.environment["RECHARGE_MYSQL__URL"])

        async def taken() -> Ruling | None:
            ruling = await decisions.decide(wish, processing_time_s=processing_time_s)
            assert ruling.refused_because is None or "will be taken from" in ruling.refused_because, ruling
            return ruling if ruling.refused_because is None else None

        try:
            await wait_until(taken, FINAL_TIMEOUT_S, f"the decision {action} is taken", interval_s=0.25)
        finally:
            await decisions.close()

    async def resolve(self, partition: int, action: Action, offset: int = 0) -> DecisionReply:
        """Decide, and tell the workflow."""
        await self.decide(partition, action, offset)
        reply: DecisionReply = await self.handle(partition, offset).execute_update(
            RESOLVE_UPDATE, Decision(action, "Ann", "asked the provider"), result_type=DecisionReply
        )
        return reply

    # --- Topics -----------------------------------------------------------------------------------------------------------

    async def create_topic_again(self, partitions: int) -> None:
        """Delete the topic and make it anew, so that its offsets begin again."""
        topic = self.site.topic
        async with self.kafka_admin() as admin:
            await admin.delete_topics([topic], timeout_ms=20_000)

            async def gone() -> bool:
                (described,) = await admin.describe_topics([topic])
                return bool(described["error_code"] == UnknownTopicOrPartitionError.errno)

            await wait_until(gone, FINAL_TIMEOUT_S, f"{topic} is deleted")
        await self.stack.kafka.create_topic(topic, partitions)


def position(workflow_id: str) -> tuple[int, int]:
    """Partition and offset of a workflow's id."""
    _, _, partition, offset = workflow_id.split(":")
    return int(partition), int(offset)


def log_lines(process: ManagedProcess) -> list[dict[str, Any]]:
    """What a process of ours has logged so far."""
    lines: list[dict[str, Any]] = []
    for line in process.log_file.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    return lines


async def until_logged(
    process: ManagedProcess, event: str, timeout_s: float = FINAL_TIMEOUT_S, **fields: object
) -> None:
    """Wait until a process has logged a line that begins like this, with these fields."""
    read_bytes = -1

    def is_logged() -> bool:
        nonlocal read_bytes
        size_bytes = process.log_file.stat().st_size
        if size_bytes == read_bytes:
            return False  # nothing new was written
        read_bytes = size_bytes
        return bool(logged_by(process, event, **fields))

    await wait_until(
        is_logged,
        timeout_s,
        f"{process.name} logs {event!r} with {fields}",
        process=process,
        interval_s=0.05,
    )


def logged_by(process: ManagedProcess, event: str, **fields: object) -> list[dict[str, Any]]:
    """The lines a process has logged that begin like this and have these fields."""
    return [
        line
        for line in log_lines(process)
        if str(line.get("event", "")).startswith(event) and fields.items() <= line.items()
    ]


async def stopped(processes: Sequence[ManagedProcess]) -> None:
    """Stop processes in good order."""
    await asyncio.gather(*(process.terminate(30) for process in processes))
    assert [process.returncode for process in processes] == [0] * len(processes)


async def killed(processes: Sequence[ManagedProcess]) -> None:
    """End processes by SIGKILL: in good order they would wait for records in doubt."""
    for process in processes:
        await process.kill_and_wait()


def _is_reset_point(event: HistoryEvent) -> bool:
    return any(event.HasField(name) for name in RESET_POINTS)  # type: ignore[arg-type]


def provider_of(site: Site) -> Provider:
    """The provider as a worker of the site has it."""
    where = {name: site.environment[f"RECHARGE_PROVIDER__{name}"] for name in ("URL", "CA_FILE", "AUTH_TOKEN")}
    return Provider(ProviderSettings.model_validate({name.lower(): text for name, text in where.items()}))
