"""`recharge accept-gap`: a person writes down that offsets are lost, which Kafka deleted before their records were carried out, or whose
records break Kafka's own format, so that nobody can read them.

It records the decision, for the audit and for those who ask later, and moves nothing: the group's offset is moved by Kafka's own tool
while the group is stopped.
"""

import re

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client

from activities.ledger import AcceptedGap, Gap, Gaps, OpenInGap
from ingest.kafka import Cluster, Edge, TopicScan, UnreadableRecord
from ingest.kafka_words import move_group
from operations.errors import Refused
from operations.references import ReferenceProblem
from operations.runs import RPC_TIMEOUT
from operations.telling import Discretion
from recharge.contract import OFFSET, PARTITION, TOPIC
from recharge.settings import KafkaSettings
from recharge.text import printable

_GAP = re.compile(r"(?P<partition>[0-9]{1,10}):(?P<first>[0-9]{1,19})-(?P<last>[0-9]{1,19})")
_SHOWN_CHARS_MAX = 60


def parse(text: str, *, source: str, topic: str) -> Gap:
    """The gap that was typed as PARTITION:FROM-TO, both offsets included.

    Raises ReferenceProblem where it is none.
    """
    wanted = text.strip()
    match = _GAP.fullmatch(wanted)
    if match is None:
        raise ReferenceProblem(
            f"{wanted[:_SHOWN_CHARS_MAX]!r} is no gap; write PARTITION:FROM-TO, such as 0:100-199, both offsets included"
        )
    gap = Gap(source, topic, int(match["partition"]), int(match["first"]), int(match["last"]))
    if gap.first > gap.last:
        raise ReferenceProblem(f"the gap {gap} ends before it begins; write PARTITION:FROM-TO, both offsets included")
    return gap


class Acceptor:
    """Accepts gaps for a person.

    Args:
        ledger: where the decision is written.
        kafka: the topic, and the group that has to go on behind the gap.
        client: knows whether a record of the gap is under way.
        discretion: what may be told of somebody else's reason.
    """

    def __init__(self, ledger: Gaps, kafka: KafkaSettings, client: Client, discretion: Discretion) -> None:
        self._ledger = ledger
        self._kafka = kafka
        self._client = client
        self._discretion = discretion

    async def accept(self, gap: Gap, *, by: str, note: str) -> str:
        """Write the decision down, and tell what is left to do.

        Raises:
            Refused: something of the gap is not lost, or a record in it is open, or it was accepted before.
            LedgerError, KafkaProblem, RPCError: a server could not be asked; nothing is written then.
        """
        earliest, committed = await self._edges(gap)
        if gap.last >= earliest and not await self._is_unreadable(gap):
            raise Refused(_not_lost(gap, earliest))
        started = await _started(self._client, gap)
        if started is not None:
            raise Refused(
                f"{started} stands in the gap and its workflow is open: wait for it, or decide by `recharge resolve`"
            )
        match await self._ledger.accept(gap, by=by, note=note):
            case OpenInGap() as found:
                others = f", as are {found.count - 1} more" if found.count > 1 else ""
                raise Refused(
                    f"{found.workflow_id} stands in the gap and is {found.state}{others}: nothing may be open in a gap; wait for it, "
                    "or decide by `recharge resolve`"
                )
            case AcceptedGap() as before:
                who_and_why = f"by {before.by} at {before.at:%Y-%m-%d %H:%M:%S} UTC: {before.note}"
                said = printable(self._discretion.text(who_and_why) or "")
                raise Refused(f"the gap {gap} of {gap.topic} was accepted already, {said}")
            case None:
                return _accepted(self._kafka, gap, earliest, committed)

    async def _is_unreadable(self, gap: Gap) -> bool:
        """Whether all that the topic still holds of a gap are records that cannot be taken apart."""
        async with TopicScan(self._kafka, gap.topic) as scan:
            if gap.last >= scan.spans[gap.partition].end:
                return False
            found = False
            async for each in scan.records(gap.partition, since=gap.first):
                if each.offset > gap.last:
                    break
                if not isinstance(each, UnreadableRecord):
                    return False
                found = True
            return found

    async def _edges(self, gap: Gap) -> tuple[int, int | None]:
        """The first offset that the topic still holds, and the group's committed one, where it has one."""
        async with Cluster(self._kafka) as cluster:
            partitions = await cluster.leaders(gap.topic)
            if gap.partition not in partitions:
                raise Refused(f"{gap.topic} has no partition {gap.partition}; it has 0 to {max(partitions)}")
            earliest = await cluster.offsets([gap.partition], Edge.EARLIEST)
            committed = await cluster.committed([gap.partition])
        offset, _ = committed.get(gap.partition, (None, ""))
        return earliest[gap.partition], offset


async def _started(client: Client, gap: Gap) -> str | None:
    """A record in the gap whose workflow is open, be it that no worker has begun it, so that the ledger does not know it."""
    # None of the names can hold a quote. A paused workflow is open too, and not `Running`.
    query = (
        f"{TOPIC.name} = '{gap.topic}' AND {PARTITION.name} = {gap.partition} AND {OFFSET.name} BETWEEN {gap.first} AND {gap.last} "
        f"AND WorkflowId STARTS_WITH '{gap.source}:' AND CloseTime IS NULL"
    )
    # The SDK's own list has no word for a paused workflow and raises, so the answer is read as it comes.
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, page_size=1, query=query)
    answer = await client.workflow_service.list_workflow_executions(request, retry=True, timeout=RPC_TIMEOUT)
    return next((run.execution.workflow_id for run in answer.executions), None)


def _not_lost(gap: Gap, earliest: int) -> str:
    said = f"partition {gap.partition} of {gap.topic} holds its records from offset {earliest} on, so {max(gap.first, earliest)}"
    said += f" to {gap.last} are not lost" if gap.last > max(gap.first, earliest) else " is not lost"
    return said if gap.first >= earliest else f"{said}; {gap.partition}:{gap.first}-{earliest - 1} is"


def _accepted(kafka: KafkaSettings, gap: Gap, earliest: int, committed: int | None) -> str:
    told = f"accepted: offsets {gap.first} to {gap.last} of partition {gap.partition} of {gap.topic} are lost"
    if gap.last + 1 < earliest:
        told += f"; {gap.last + 1} to {earliest - 1} are gone, too, and not accepted"
    if committed is not None and gap.first <= committed <= gap.last:
        told += f"; to go on behind them, stop the group and type: {move_group(kafka, gap.partition, gap.last + 1)}"
    return told
