"""The workflow on the real Temporal server, with activities that play a script: each test tells what every call answers.

The names, the payloads and the sandbox are those of the service, and the workflows are started by the intake's own starter. Only
what the activities would do at the ledger and at the provider is the test's word.
"""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.heartbeats import heartbeats
from devstack.processes import wait_until
from ingest.starter import Starter
from recharge import contract, limits
from recharge.contract import (
    AnswerTask,
    Decision,
    DecisionReply,
    Finding,
    HoldTask,
    LookUpTask,
    RechargeResult,
    RechargeTask,
    RecordInput,
    ResultTask,
)
from recharge.outcome import State
from workflows.recharge import RechargeWorkflow

TIMEOUT_S: Final = 30.0
LOOK_ONCE: Final = "look_up once"
"""The script of the single looks into the ledger, beside that of the `look_up` which waits."""
METADATA_QUERY: Final = "__temporal_workflow_metadata"

STRICT_SANDBOX: Final = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("recharge").with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)
"""The service's sandbox, which besides refuses a module that nobody meant to let in."""


@dataclass
class Step:
    """What one call of an activity does: it waits until it is let go, then answers or fails."""

    answer: object
    """What it returns, or the exception that it raises."""
    beats: bool = True
    """Whether it sends heartbeats. A worker that was lost sends none."""
    fails_when_cancelled: bool = False
    """Whether its answer, a failure, comes at the very moment when it is asked to end."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once Temporal asked it to end."""

    def __post_init__(self) -> None:
        self.gate.set()

    async def play(self) -> object:
        """Carry the step out."""
        if self.beats and activity.info().heartbeat_timeout is not None:
            async with heartbeats():
                await self._until_let_go()
        else:
            await self._until_let_go()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def _until_let_go(self) -> None:
        """A call that has begun goes on to its end although it is to be cancelled, as the real one does; a look may end at once."""
        opened = asyncio.ensure_future(self.gate.wait())
        try:
            await asyncio.shield(opened)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            self.cancelled.set()
            if self.fails_when_cancelled:
                opened.cancel()
                return
            if activity.info().activity_type != contract.RECHARGE_ACTIVITY or not (
                details and details.cancel_requested
            ):
                opened.cancel()
                raise
            await opened


def held(answer: object, *, beats: bool = True) -> Step:
    """A step that waits until the test opens its gate."""
    step = Step(answer, beats=beats)
    step.gate.clear()
    return step


def not_answered(said: str, delay_s: float = 0.1) -> ApplicationError:
    """The failure by which an activity asks for another try."""
    return ApplicationError(said, type=contract.ERROR_NOT_ANSWERED, next_retry_delay=timedelta(seconds=delay_s))


@dataclass(frozen=True)
class Call:
    """One call of an activity as it arrived."""

    name: str
    task: object
    attempt: int


class Run:
    """One record's workflow, its script, and the calls that it made."""

    def __init__(self, client: Client, record: RecordInput) -> None:
        self.record = record
        self.calls: list[Call] = []
        self.script: dict[str, deque[Step]] = defaultdict(deque)
        self.steps: list[Step] = []
        """Every step of every script, played or not."""
        self.carried_out: asyncio.Task[RechargeResult] | None = None
        self._client = client

    @property
    def handle(self) -> WorkflowHandle[object, RechargeResult]:
        """The workflow's handle."""
        return self._client.get_workflow_handle(self.record.workflow_id, result_type=RechargeResult)

    def plays(self, name: str, *steps: object) -> None:
        """Add to the script of an activity. What is not a step is the answer of one that is given at once."""
        added = [step if isinstance(step, Step) else Step(step) for step in steps]
        self.steps += added
        self.script[name].extend(added)

    async def answer(self, name: str, task: object, script: str | None = None) -> object:
        """Note a call and play its step, from the script of its name where no other is meant."""
        steps = self.script[script or name]
        self.calls.append(Call(name, task, activity.info().attempt))
        if not steps:
            raise ApplicationError(f"the script has no further answer of {script or name}", non_retryable=True)
        return await steps.popleft().play()

    def names(self) -> list[str]:
        """The activities called so far, in order, retries included."""
        return [call.name for call in self.calls]

    async def until_called(self, name: str, times: int = 1) -> None:
        """Wait until an activity was called so often."""
        await wait_until(lambda: self.names().count(name) >= times, TIMEOUT_S, f"{name} is called {times} times")

    async def until_status(self, state: State) -> None:
        """Wait until the search attribute tells this state."""

        async def told() -> bool:
            return (await self.described()).typed_search_attributes[contract.STATUS] == state

        await wait_until(told, TIMEOUT_S, f"{self.record.workflow_id} tells {state}")

    async def result(self) -> RechargeResult:
        """How the record ended."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.handle.result()

    async def decide(self, decision: Decision) -> DecisionReply:
        """Tell the workflow of a decision, as the command does after it has written it into the ledger."""
        async with asyncio.timeout(TIMEOUT_S):
            reply: DecisionReply = await self.handle.execute_update(
                contract.RESOLVE_UPDATE, decision, result_type=DecisionReply
            )
            return reply

    async def described(self) -> WorkflowExecutionDescription:
        """What Temporal says about the workflow."""
        return await self.handle.describe()

    async def details(self) -> str:
        """The current details, as the Web UI shows them."""
        metadata: WorkflowMetadata = await self.handle.query(METADATA_QUERY, result_type=WorkflowMetadata)
        return metadata.current_details

    async def history(self) -> WorkflowHistory:
        """The history so far."""
        return await self.handle.fetch_history()

    async def events(self) -> int:
        """The number of events so far."""
        return len((await self.history()).events)

    async def until_started(self) -> None:
        """Wait until the server knows the workflow."""

        async def known() -> bool:
            try:
                await self.described()
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return False
                raise
            return True

        await wait_until(known, TIMEOUT_S, f"{self.record.workflow_id} is started")


class Stage:
    """A worker with the real workflow and scripted activities, and the starter of the intake."""

    def __init__(self, client: Client, task_queue: str, source: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self.source = source
        self._offsets = itertools.count()
        self._runs: dict[str, Run] = {}
        self._starter = Starter(client, task_queue=task_queue, hash_key=b"stage", beside=None)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """Run the worker while the body does, and let every call and wait end after it."""
        async with (
            Worker(
                self._client,
                task_queue=self._task_queue,
                workflows=[RechargeWorkflow],
                activities=self.activities,
                workflow_runner=STRICT_SANDBOX,
                max_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
            ),
            Worker(
                self._client,
                task_queue=contract.calls_task_queue(self._task_queue),
                activities=self.activities[:1],
                max_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
            ),
        ):
            try:
                yield self
            finally:
                await self._strike()

    async def _strike(self) -> None:
        # A worker's shutdown awaits its local activities, so none may be left that waits for its test.
        for step in itertools.chain.from_iterable(run.steps for run in self._runs.values()):
            step.gate.set()
        waiting = [run.carried_out for run in self._runs.values() if run.carried_out is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def next_offset(self) -> int:
        """An offset that no other record of this stage has."""
        return next(self._offsets)

    async def start(self, record: RecordInput, script: Mapping[str, Sequence[object]] | None = None) -> Run:
        """Start a record's workflow as the intake does. Where the script says nothing else, `record_result` writes what it is told."""
        run = self._runs[record.workflow_id] = Run(self._client, record)
        for name, steps in (script or {}).items():
            run.plays(name, *steps)
        run.carried_out = asyncio.create_task(self._starter.carry_out(record, record.raw_key))
        await run.until_started()
        return run

    @property
    def activities(self) -> list[Callable[..., Awaitable[object]]]:
        """The stand-ins, by the names of the contract."""

        @activity.defn(name=contract.RECHARGE_ACTIVITY)
        async def recharge(task: RechargeTask) -> Finding:
            answer = await self._runs[task.record.workflow_id].answer(contract.RECHARGE_ACTIVITY, task)
            assert isinstance(answer, Finding)
            return answer

        @activity.defn(name=contract.AWAIT_ANSWER_ACTIVITY)
        async def await_answer(task: AnswerTask) -> Finding:
            answer = await self._runs[task.record.workflow_id].answer(contract.AWAIT_ANSWER_ACTIVITY, task)
            assert isinstance(answer, Finding)
            return answer

        @activity.defn(name=contract.LOOK_UP_ACTIVITY)
        async def look_up(task: LookUpTask) -> Finding:
            script = LOOK_ONCE if task.once else contract.LOOK_UP_ACTIVITY
            answer = await self._runs[task.record.workflow_id].answer(contract.LOOK_UP_ACTIVITY, task, script)
            assert isinstance(answer, Finding)
            return answer

        @activity.defn(name=contract.RECORD_RESULT_ACTIVITY)
        async def record_result(task: ResultTask) -> RechargeResult:
            run = self._runs[task.record.workflow_id]
            if not run.script[contract.RECORD_RESULT_ACTIVITY]:
                run.plays(contract.RECORD_RESULT_ACTIVITY, result_of(task))
            answer = await run.answer(contract.RECORD_RESULT_ACTIVITY, task)
            assert isinstance(answer, RechargeResult)
            return answer

        @activity.defn(name=contract.HOLD_ACTIVITY)
        async def hold(task: HoldTask) -> None:
            run = self._runs[task.record.workflow_id]
            if not run.script[contract.HOLD_ACTIVITY]:
                run.plays(contract.HOLD_ACTIVITY, None)
            await run.answer(contract.HOLD_ACTIVITY, task)

        return [recharge, await_answer, look_up, record_result, hold]


def result_of(task: ResultTask) -> RechargeResult:
    """What the ledger answers where its rows bear out the finding."""
    found = task.finding
    return RechargeResult(
        found.state, task.record.fingerprint, found.reason, found.provider_reference, found.status, found.attempts
    )


async def replay(history: WorkflowHistory, workflow: type = RechargeWorkflow) -> None:
    """Run a workflow's code against a history. Raises NondeterminismError where it would do something else."""
    replayer = Replayer(workflows=[workflow], workflow_runner=STRICT_SANDBOX)
    await replayer.replay_workflow(history)


def event_names(history: WorkflowHistory) -> list[str]:
    """The kinds of a history's events, in their order."""
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]


def started_activities(history: WorkflowHistory) -> Counter[str]:
    """How often each regular activity was started."""
    names = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    return Counter(name for name in names if name)
