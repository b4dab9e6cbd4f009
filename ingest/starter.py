"""One record's workflow: started once, followed to its newest run, awaited until the record is final.

Starting is safe to repeat. Temporal rejects a second workflow of the same id, open or closed; what was rejected is either our own
start whose answer was lost, or that of another ingester, or another record at the same position. The fingerprint tells which.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from ingest import starter_words as words
from ingest.beside import WorkerBeside
from ingest.endings import Ending
from ingest.executions import Execution, described
from ingest.intake_record import IntakeRecord
from ingest.labels import search_attributes, summary
from ingest.patience import DeletedError, Patience
from ingest.switch import Switch
from recharge import contract, instruments, limits, telemetry
from recharge.contract import RechargeResult, RecordInput
from recharge.outcome import FINAL_STATES
from recharge.settings import IngestSettings, KafkaSettings

_RPC_TIMEOUT = timedelta(seconds=limits.RPC_TIMEOUT_S)
_LONG_POLL_TIMEOUT = timedelta(seconds=70)
"""One long poll for a result. The server answers after 20 s at the latest, with nothing where there is nothing yet."""
_OPEN_AFTER_S = 3.0
"""A duplicate whose result is not there by then is taken for open, and its memo is read: a closed one costs no further call. Above what
an answer takes while as many duplicates are read again as may be in flight, where half a second asked about one in six."""

_Handle = WorkflowHandle[object, RechargeResult]
_log = structlog.get_logger(__name__)


class Starter:
    """Starts workflows and awaits their results. One for each process, over the process's one Temporal client.

    Args:
        client: its namespace is where the workflows live. Eager start needs a worker on this very object.
        task_queue: the workers' task queue.
        hash_key: keys the hashes by which numbers and keys can be searched for.
        beside: told by a worker on this very client, which gets the first workflow task at once. None where there is none.
    """

    def __init__(self, client: Client, *, task_queue: str, hash_key: bytes, beside: WorkerBeside | None) -> None:
        self._client = client
        self._task_queue = task_queue
        self._hash_key = hash_key
        self.beside = beside
        """What the worker tells, where it is here."""
        self._patience = Patience(client.namespace)
        self._held: set[str] = set()
        self.intake_record = IntakeRecord(client, self._patience)
        """Where it stands that an intake has begun."""

    def switch(self, kafka: KafkaSettings, ingest: IngestSettings) -> Switch:
        """The switch that pauses the intake of this source."""
        return Switch(
            self._client,
            self._patience,
            kafka.source,
            by=f"{contract.INGESTER_PREFIX}{kafka.group_instance_id or socket.gethostname()}",
            refused_in_a_row_max=ingest.refused_in_a_row_max,
        )

    @property
    def lanes_held(self) -> int:
        """How many records wait since their workflow ended without a final state."""
        return len(self._held)

    @property
    def temporal_problem(self) -> str | None:
        """What is wrong with Temporal in one line, as far as somebody has asked it lately; None where it answers."""
        if self._patience.silent_s < limits.READY_SILENCE_S:
            return None
        return self._patience.problem or f"Temporal has not answered for {self._patience.silent_s:.0f} s"

    async def check(self) -> None:
        """Wait for Temporal, and make sure that the namespace knows our search attributes.

        Raises:
            StarterProblem: somebody has to do something first.
        """
        request = ListSearchAttributesRequest(namespace=self._client.namespace)
        registered = await self._patience.ask(
            "check", lambda: self._client.operator_service.list_search_attributes(request, timeout=_RPC_TIMEOUT)
        )
        missing = [
            name
            for name, kind in contract.SEARCH_ATTRIBUTES.items()
            if registered.custom_attributes.get(name) != int(kind)
        ]
        if missing:
            raise words.unregistered(missing, self._client.namespace)

    async def carry_out(
        self,
        record: RecordInput,
        kafka_key: bytes | None,
        *,
        heard: Callable[[str, RechargeResult], None] | None = None,
        found: Callable[[float], None] | None = None,
    ) -> RechargeResult:
        """Start the record's workflow, or attach to the one there is, and await the record's final state, however long it takes.

        Args:
            record: what the workflow gets.
            kafka_key: the record's key, as it stands on the topic.
            heard: hears the id and the result of a workflow that was started here. One that was found may have ended long ago.
            found: hears of a workflow that was found open for how many seconds it has been, once that is known.

        Raises:
            FingerprintMismatch: the position belongs to another record.
            StarterProblem: Temporal takes no workflows from us, and waiting cannot help.
        """
        while True:
            try:
                with self._expected(record) as ending:
                    handle, is_ours = await self._start(record, kafka_key)
                    result = await self._told(handle, ending) if is_ours else None
                if result is None:
                    result = await self._follow(record, handle, is_ours=is_ours, found=found)
            except DeletedError:
                _log.warning(
                    "workflow was deleted before it was final, starting it again", workflow_id=record.workflow_id
                )
                continue
            _refuse_another(record, result.fingerprint)
            if is_ours and heard is not None:
                heard(record.workflow_id, result)
            return result

    async def _start(self, record: RecordInput, kafka_key: bytes | None) -> tuple[_Handle, bool]:
        where = {"workflow_id": record.workflow_id, "partition": record.partition, "offset": record.offset}
        try:
            handle: _Handle = await self._patience.ask(
                record.workflow_id,
                lambda: self._client.start_workflow(
                    contract.WORKFLOW_TYPE,
                    record,
                    id=record.workflow_id,
                    task_queue=self._task_queue,
                    result_type=RechargeResult,
                    task_timeout=timedelta(seconds=limits.WORKFLOW_TASK_TIMEOUT_S),
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo={contract.MEMO_FINGERPRINT: record.fingerprint},
                    search_attributes=search_attributes(record, kafka_key, self._hash_key),
                    static_summary=summary(record),
                    rpc_timeout=_RPC_TIMEOUT,
                    request_eager_start=self.beside is not None,
                ),
            )
        except WorkflowAlreadyStartedError as error:
            _log.info("record attached to the workflow that is there", run_id=error.run_id, **where)
            telemetry.count(instruments.WORKFLOW_STARTS, "duplicate")
            if self.beside is not None:
                self.beside.beginnings.over(record.workflow_id)
            return self._handle(record, error.run_id), False
        _log.info("record started", run_id=handle.result_run_id, **where)
        telemetry.count(instruments.WORKFLOW_STARTS, "started")
        return handle, True

    def _expected(self, record: RecordInput) -> AbstractContextManager[Ending | None]:
        return nullcontext() if self.beside is None else self.beside.endings.expected(record.workflow_id)

    async def _told(self, handle: _Handle, ending: Ending | None) -> RechargeResult | None:
        """The final state, where the worker in this process has told of this run's end; None where Temporal has to be asked."""
        if ending is None or handle.result_run_id is None:
            return None
        result = await ending.result_of(handle.result_run_id)
        return result if result is not None and result.state in FINAL_STATES else None

    def _handle(self, record: RecordInput, run_id: str | None) -> _Handle:
        return self._client.get_workflow_handle(record.workflow_id, run_id=run_id, result_type=RechargeResult)

    async def _follow(
        self, record: RecordInput, handle: _Handle, *, is_ours: bool, found: Callable[[float], None] | None
    ) -> RechargeResult:
        """Await this run's result; where it has none, that of the newest run there is or will be."""
        while True:
            try:
                result = await (
                    self._result(record, handle) if is_ours else self._result_of_duplicate(record, handle, found)
                )
            except WorkflowFailureError as failure:
                why = _said(failure)
                mismatch = _mismatch(failure)
                if mismatch is not None:
                    raise words.fingerprint_mismatch(record, f"of another record ({mismatch})") from failure
            except (TypeError, ValueError, KeyError, RuntimeError) as error:
                why = f"its result cannot be read: {error}"
            else:
                if result.state in FINAL_STATES:
                    return result
                why = f"it ended in the state {result.state}, which is not final"
            handle, is_ours = await self._newer_run(record, handle, why), False

    async def _result(self, record: RecordInput, handle: _Handle) -> RechargeResult:
        return await self._patience.ask(record.workflow_id, lambda: handle.result(rpc_timeout=_LONG_POLL_TIMEOUT))

    async def _result_of_duplicate(
        self, record: RecordInput, handle: _Handle, found: Callable[[float], None] | None
    ) -> RechargeResult:
        waiting = asyncio.create_task(self._result(record, handle))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=_OPEN_AFTER_S)
            run = None if done else await self._describe(record, handle.run_id)
            if run is not None and found is not None:
                found((datetime.now(UTC) - run.started_at).total_seconds())
            return await waiting
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _describe(self, record: RecordInput, run_id: str | None) -> Execution:
        """What Temporal says about a run, the newest where none is named. Its memo has to hold the record's fingerprint."""
        found = await self._patience.ask(
            record.workflow_id, lambda: described(self._client, record.workflow_id, run_id)
        )
        memo = await self._patience.ask(record.workflow_id, found.memo)
        _refuse_another(record, memo.get(contract.MEMO_FINGERPRINT))
        return found

    async def _newer_run(self, record: RecordInput, ended: _Handle, why: str) -> _Handle:
        """Hold the lane until the newest run is one that can be awaited. A run that was ended by a reset has a newer one at once."""
        try:
            return await self._until_newer_run(record, ended, why)
        finally:
            self._held.discard(record.workflow_id)

    async def _until_newer_run(self, record: RecordInput, ended: _Handle, why: str) -> _Handle:
        held_run_id: str | None = None
        while True:
            newest = await self._describe(record, None)
            if newest.is_open or (newest.status == "completed" and newest.run_id != ended.result_run_id):
                if held_run_id is not None:
                    _log.info("lane goes on with a newer run", workflow_id=record.workflow_id, run_id=newest.run_id)
                return self._handle(record, newest.run_id)
            if held_run_id != newest.run_id:
                held_run_id = newest.run_id
                self._held.add(record.workflow_id)
                _log.error(
                    "lane is held: the workflow ended without a final state",
                    workflow_id=record.workflow_id,
                    partition=record.partition,
                    offset=record.offset,
                    run_id=newest.run_id,
                    why=why,
                    to_do=f"look at `recharge show {record.workflow_id}`, then decide by `recharge resolve {record.workflow_id} …`",
                )
            await asyncio.sleep(limits.HELD_LANE_POLL_S)


def _refuse_another(record: RecordInput, known: str | None) -> None:
    """Raise FingerprintMismatch where a workflow of this id stands for another record."""
    if known != record.fingerprint:
        raise words.fingerprint_mismatch(record, known)


def _said(failure: WorkflowFailureError) -> str:
    return f"{type(failure.cause).__name__}: {failure.cause}"


def _mismatch(failure: WorkflowFailureError) -> ApplicationError | None:
    """The activity's own words where the ledger holds another record at this position."""
    cause: BaseException | None = failure.cause
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type == contract.ERROR_FINGERPRINT_MISMATCH:
            return cause
        cause = cause.__cause__
    return None
