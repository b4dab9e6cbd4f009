"""Runs the workflows of a worker that has an intake in its process, and tells that intake which of them end.

That a workflow returned is not its end: Temporal may refuse to hear of it, when a decision came in between, or never hear of it. The
SDK lets go of a workflow when Temporal has acknowledged that it is complete, and says that this is why; that alone is told as an end
with a result.
"""

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import RemoveFromCache, WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import PayloadConverter
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails

from ingest.endings import Endings
from recharge.contract import RechargeResult

_ACKNOWLEDGED = RemoveFromCache.EvictionReason.WORKFLOW_EXECUTION_ENDING
"""By the SDK's protocol: a terminal command ended the workflow, and the server has taken it."""


class TellingRunner(UnsandboxedWorkflowRunner):
    """The SDK's runner without a sandbox. The worker's `debug_mode` has to be on: what is told has to be told in the loop's own thread."""

    def __init__(self, endings: Endings, converter: PayloadConverter) -> None:
        self._endings = endings
        self._converter = converter

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """A workflow that begins here, or goes on here."""
        self._endings.began(det.info.workflow_id, det.info.run_id)
        return _Telling(super().create_instance(det), self._endings, self._converter)


class _Telling(WorkflowInstance):
    """One run while the worker has it."""

    def __init__(self, instance: WorkflowInstance, endings: Endings, converter: PayloadConverter) -> None:
        self._instance = instance
        self._endings = endings
        self._converter = converter
        self._returned: RechargeResult | None = None

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        completion = self._instance.activate(act)
        for command in completion.successful.commands:
            if command.HasField("complete_workflow_execution"):
                self._returned = self._read(command.complete_workflow_execution.result)
        for job in act.jobs:
            if job.HasField("remove_from_cache"):
                is_complete = job.remove_from_cache.reason == _ACKNOWLEDGED
                info = self.get_info()
                self._endings.ended(info.workflow_id, info.run_id, self._returned if is_complete else None)
        return completion

    def _read(self, result: Payload) -> RechargeResult | None:
        """What Temporal will give to those who ask it. It is read now, since the SDK encrypts it in its place.

        None where it is no result of ours: a step of a workflow must not fail by that, and the intake asks Temporal then, and says so.
        """
        try:
            read: RechargeResult = self._converter.from_payload(result, RechargeResult)
        except (TypeError, ValueError, KeyError, RuntimeError):
            return None
        return read

    def get_serialization_context(self, command_info: Any) -> Any:  # noqa: ANN401  # the SDK's own, which it does not export
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:  # noqa: ANN401  # as above
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> Any:  # noqa: ANN401  # as above
        return self._instance.get_info()
