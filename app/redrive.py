"""`recharge redrive`: rejected or invalid records, produced anew."""

from collections.abc import AsyncIterator, Sequence

from activities.ledger import OperatorLedger
from app.environment import RedriveEnvironment
from ingest.kafka import RecordWriter
from operations.decide import Line
from operations.redrive import Redriver
from operations.references import position_of


async def run(settings: RedriveEnvironment, workflow_ids: Sequence[str], *, by: str, note: str) -> AsyncIterator[Line]:
    """Produce each record anew, one after another, so that those of one partition keep their order.

    Raises a LedgerError or KafkaProblem where ledger or cluster cannot be reached: nothing is produced then.
    """
    async with OperatorLedger(settings.mysql.url.get_secret_value(), connections_max=2) as ledger:
        await ledger.check()
        writer = RecordWriter(settings.kafka)
        try:
            await writer.start()
            redriver = Redriver(ledger, settings.kafka, writer)
            for workflow_id in workflow_ids:
                yield await redriver.redrive(position_of(workflow_id), by=by, note=note)
        finally:
            await writer.stop()
