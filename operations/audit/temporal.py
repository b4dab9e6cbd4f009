"""What Temporal has of a topic's workflows: page by page, since there may be millions."""

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from ingest import intake_record
from ingest.executions import status_word
from operations.audit.facts import NEVER_STARTED, Workflow
from operations.audit.spool import RunLine
from operations.runs import newest_run
from recharge import limits
from recharge.contract import (
    MEMO_FINGERPRINT,
    STATUS,
    TOPIC,
    WORKFLOW_TYPE,
    Position,
)

_PAGE_TIMEOUT = timedelta(seconds=limits.AUDIT_PAGE_TIMEOUT_S)
_POSITION = re.compile(r"(?P<partition>[0-9]{1,10}):(?P<offset>[0-9]{1,18})")


class TemporalBook:
    """Questions to Temporal about the workflows of one source and topic. All raise RPCError where it does not answer."""

    def __init__(self, client: Client, source: str, topic: str) -> None:
        self._client = client
        self._source = source
        self._topic = topic

    def runs(self, since: datetime | None = None) -> AsyncIterator[list[RunLine]]:
        """Every run that Temporal still has, page by page; those started since a moment in UTC, where one is named. Runs that a reset
        has ended are among them.
        """
        started = "" if since is None else f" AND StartTime >= '{since.isoformat()}Z'"
        return self._list(f"WorkflowType = '{WORKFLOW_TYPE}' AND {TOPIC.name} = '{self._topic}'{started}")

    async def newest(self, partition: int, offset: int) -> Workflow:
        """The newest run of one record's workflow as it is now, asked of its history and not of the list."""
        run = await newest_run(self._client, Position(self._source, self._topic, partition, offset).workflow_id)
        if run is None:
            return Workflow(offset, NEVER_STARTED, is_open=False)
        return Workflow(offset, run.status, run.is_open)

    async def first_offsets(self) -> dict[int, int]:
        """Where the intake of the topic began under `latest`, as its own workflow records it; empty where it began at the start."""
        try:
            begun = await intake_record.read(self._client, self._source, self._topic)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return {}
            raise
        return dict(begun.first_offsets)

    async def _list(self, query: str) -> AsyncIterator[list[RunLine]]:
        # The SDK's own list has no word for a paused workflow and raises, so the pages are read as they come.
        token = b""
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=self._client.namespace,
                page_size=limits.AUDIT_WORKFLOWS_PAGE,
                next_page_token=token,
                query=query,
            )
            answer = await self._client.workflow_service.list_workflow_executions(
                request, retry=True, timeout=_PAGE_TIMEOUT
            )
            lines = [await self._line(execution) for execution in answer.executions]
            yield [line for line in lines if line is not None]
            token = answer.next_page_token
            if not token:
                return

    async def _line(self, execution: WorkflowExecutionInfo) -> RunLine | None:
        """The run, where it belongs to a record of this source."""
        prefix = f"{self._source}:{self._topic}:"
        workflow_id = execution.execution.workflow_id
        match = _POSITION.fullmatch(workflow_id.removeprefix(prefix))
        if not workflow_id.startswith(prefix) or match is None:
            return None
        return RunLine(
            int(match["partition"]),
            int(match["offset"]),
            status_word(execution.status),
            execution.start_time.ToNanoseconds(),
            _state(execution),
            await self._fingerprint(execution),
        )

    async def _fingerprint(self, execution: WorkflowExecutionInfo) -> str:
        """The memo's; empty where it has none. It goes through the payload codec, as everything that may be encrypted does."""
        payload = execution.memo.fields.get(MEMO_FINGERPRINT)
        if payload is None:
            return ""
        (fingerprint,) = await self._client.data_converter.decode([payload])
        return str(fingerprint)


def _state(execution: WorkflowExecutionInfo) -> str:
    """The search attribute RechargeStatus, which Temporal has to read and so is never encrypted; empty where it was not set."""
    payload = execution.search_attributes.indexed_fields.get(STATUS.name)
    return "" if payload is None else str(json.loads(payload.data))
