"""How a cancellation becomes a hold: written down first, so that it stands whatever happens next."""

import structlog
from temporalio import activity

from activities.failures import from_ledger
from activities.heartbeats import heartbeats
from activities.ledger import Ledger, LedgerError
from recharge.contract import HOLD_ACTIVITY, HoldTask

log = structlog.get_logger(__name__)


class Hold:
    """The activity that puts a record on hold in the ledger, from where every later attempt to send reads it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @activity.defn(name=HOLD_ACTIVITY)
    async def hold(self, task: HoldTask) -> None:
        """Write the hold down. A record that is final or on hold already stays as it is."""
        try:
            async with heartbeats():
                await self._ledger.hold(task.record, by=task.by, note=task.note)
        except LedgerError as error:
            raise from_ledger(error) from error
        log.info("record on hold", workflow_id=task.record.workflow_id, by=task.by, note=task.note)
