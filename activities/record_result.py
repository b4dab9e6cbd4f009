"""The one place where a record's state becomes final, for every way that leads there."""

import structlog
from temporalio import activity

from activities.failures import from_ledger
from activities.heartbeats import heartbeats
from activities.ledger import Ledger, LedgerError
from recharge import instruments, telemetry
from recharge.contract import RECORD_RESULT_ACTIVITY, RechargeResult, RecordInput, ResultTask
from recharge.outcome import ResolvedBy

log = structlog.get_logger(__name__)


class RecordResult:
    """The activity that writes a final state. It may run any number of times: the ledger answers with what is final already."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @activity.defn(name=RECORD_RESULT_ACTIVITY)
    async def record_result(self, task: ResultTask) -> RechargeResult:
        """Make the record final in the ledger, as far as its own rows bear that out, and return how it ended."""
        try:
            async with heartbeats():
                result = await self._ledger.record_result(task.record, task.finding)
        except LedgerError as error:
            raise from_ledger(error) from error
        tell_final(task.record, result)
        return result


def tell_final(record: RecordInput, result: RechargeResult) -> None:
    """Count and log a record that is final in the ledger now, whichever step wrote that."""
    telemetry.count(instruments.RECORDS_FINAL, result.state, result.resolved_by or ResolvedBy.INTAKE)
    log.info("record final", workflow_id=record.workflow_id, state=result.state, reason=result.reason)
