"""Where a group begins that has no committed offsets: decided once in its life, recorded, and committed before anything is read."""

from collections.abc import Mapping

import structlog

from ingest.intake_record import IntakeRecord
from ingest.kafka import Cluster, Edge
from ingest.kafka_words import KafkaProblem
from recharge.settings import FirstStart, IngestSettings, KafkaSettings

_log = structlog.get_logger(__name__)


async def first_offsets(
    cluster: Cluster, partitions: set[int], recorded: Mapping[int, int]
) -> dict[int, int | KafkaProblem]:
    """Where these partitions begin if nothing is committed: where the record says, at their start where it says nothing.

    Of one whose leader does not say where its start is, the problem; the others do not wait for it.

    Raises:
        KafkaProblem: the cluster did not say it of any.
    """
    earliest = await cluster.offsets_of_each(partitions, Edge.EARLIEST)
    return {
        number: said if isinstance(said, KafkaProblem) else max(said, recorded.get(number, said))
        for number, said in earliest.items()
    }


async def settle(
    kafka: KafkaSettings, ingest: IngestSettings, cluster: Cluster, record: IntakeRecord
) -> dict[int, int]:
    """See to it that the group has a beginning, and return the recorded first offsets for partitions without a committed one.

    The offsets are chosen and recorded in one step, the start of a workflow that only one process can win. So two processes that begin
    at the same time begin at the same offsets, and one that dies before it committed them is followed by one that commits the same.

    Raises:
        KafkaProblem, StarterProblem: as their names say.
    """
    partitions = set(await cluster.leaders(kafka.topic))
    committed = await cluster.committed(partitions)
    begun = await record.read(kafka.source, kafka.topic)
    if begun is None:
        is_latest = ingest.first_start is FirstStart.LATEST and not committed
        chosen = await cluster.offsets(partitions, Edge.END) if is_latest else {}
        begun = await record.write(kafka.source, kafka.topic, ingest.first_start, chosen)
    elif not committed:
        _log.warning(
            "the group has no committed offsets, although its intake has begun before; it begins again where it began, and attaches to "
            "what is there",
            group=kafka.group_id,
            begun_at=begun.at,
            begun_by=begun.by,
        )
    recorded = dict(begun.first_offsets)
    missing = partitions - committed.keys()
    if missing:
        said = await first_offsets(cluster, missing, recorded)
        # Who gets a partition that nobody leads finds out where it begins, and commits that, as soon as somebody does.
        first = {number: offset for number, offset in said.items() if not isinstance(offset, KafkaProblem)}
        if first and not await cluster.commit_while_stopped(first):
            # The group has members. They begin at the same offsets, and commit them.
            _log.info("first offsets left to the group's members", partitions=sorted(first))
    return recorded
