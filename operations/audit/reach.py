"""From where on the books of a period are read, so that the audit of one day does not take as long as that of all years."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.ledger import AuditReader
from ingest.kafka import Cluster
from operations.audit.facts import Terms
from recharge import limits


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the reading of each partition begins."""

    moment: datetime | None = None
    """MySQL's time before which no record of the period came to the topic; None where everything is read."""
    firsts: dict[int, int] | None = None
    """By partition the first offset that is read."""

    def first(self, partition: int) -> int:
        """Where one partition begins; at its own beginning where nothing is known of it."""
        return (self.firsts or {}).get(partition, 0)

    def before(self, partition: int) -> range:
        """The offsets before it whose records may have been open when those of the period were started, which counts for the order."""
        first = self.first(partition)
        return range(max(0, first - limits.AUDIT_LANE_OFFSETS), first)


async def reach_of(terms: Terms, cluster: Cluster, ledger: AuditReader, partitions: Collection[int]) -> Reach:
    """Ask Kafka and the ledger from where on there may be records of the period.

    Kafka knows the first record of a time among those that it still has. Of those before them the ledger has rows, which were begun
    after their records had come to the topic; by a day too early, since the clocks of those who produced them may be ahead.

    Raises:
        LedgerError, KafkaProblem: one of them gives no answer.
    """
    if terms.period.since is None:
        return Reach()
    moment = terms.period.since.astimezone(UTC).replace(tzinfo=None) - timedelta(seconds=limits.AUDIT_CLOCKS_S)
    logged = await cluster.offsets_since(partitions, int(terms.period.since.timestamp() * 1000))
    firsts = {}
    for partition in partitions:
        first = await ledger.first_begun_since(terms.source, terms.topic, partition, moment)
        in_log = logged[partition]
        firsts[partition] = first if in_log is None else min(first, in_log)
    return Reach(moment, firsts)
