"""Workflows that differ from the real one by one deliberate change each, to show that a replay finds it."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from recharge.contract import WORKFLOW_TYPE, Finding, RechargeResult, RecordInput
    from recharge.outcome import State
    from workflows.recharge import RechargeWorkflow


@workflow.defn(name=WORKFLOW_TYPE)
class PausesFirst(RechargeWorkflow):
    """Waits a moment before everything else."""

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Do what the real one does, later."""
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(record)


@workflow.defn(name=WORKFLOW_TYPE)
class ForgetsTheBackoff(RechargeWorkflow):
    """Sends again without a pause."""

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Do what the real one does."""
        return await super().run(record)

    async def _go_on(self, record: RecordInput, finding: Finding) -> Finding:
        if finding.state is State.RETRYING:
            self._tell(record, finding)
            return await self._send_again(record)
        return await super()._go_on(record, finding)


@workflow.defn(name=WORKFLOW_TYPE)
class NeverTells(RechargeWorkflow):
    """Leaves the search attribute as it was."""

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Do what the real one does."""
        return await super().run(record)

    def _show(self, state: State) -> None:
        self._status = state


@workflow.defn(name=WORKFLOW_TYPE)
class Careless(RechargeWorkflow):
    """Lets a module in that nobody meant to let in, while it runs."""

    @workflow.run
    async def run(self, record: RecordInput) -> RechargeResult:
        """Import an effect, then do what the real one does."""
        import activities.profile  # noqa: PLC0415, F401  # the slip that has to be found

        return await super().run(record)
