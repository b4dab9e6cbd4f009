"""Says once that Kafka does not answer, and once that it does again; ends the intake when its topic is gone; and sees it grow.

A consumer whose brokers are away finds nothing to read and says nothing: aiokafka tries again inside, for ever. So does one whose topic
was deleted, or that may no longer describe it. So the cluster is asked one small question every few seconds, beside the consumer.

In a group its leader alone looks for partitions that were added. Where the leader has a group instance id and was restarted, Kafka tells it
nothing of its office, unless it knows a newer protocol than aiokafka's. So every member looks, and asks for a new assignment.
"""

import asyncio
from collections.abc import Callable

import structlog

from ingest.kafka import Cluster
from ingest.kafka_words import KafkaProblem, slow
from ingest.outage import Outage
from recharge import limits

_NEXT_TRY_S = 0.5
_log = structlog.get_logger(__name__)


class KafkaWatch:
    """Asks for the topic again and again, as long as a membership lasts. `when_grown` is called where it has got more partitions."""

    def __init__(self, cluster: Cluster, topic: str, outage: Outage) -> None:
        self._cluster = cluster
        self._topic = topic
        self._outage = outage
        self._partitions: int | None = None
        self.when_grown: Callable[[], None] = _nobody_minds
        self.problem: str | None = None
        """Why Kafka gave no answer, where it gave none; one line."""

    async def run(self) -> None:
        """Look until cancelled. Waiting for Kafka is the consumer's part; this tells of it.

        Raises:
            KafkaProblem: a fatal one, such as a topic that was deleted.
        """
        try:
            while True:
                try:
                    await self._look()
                except KafkaProblem as problem:
                    if problem.fatal:
                        raise
                    self.problem = str(problem)
                    self._outage.began(self, self.problem)
                else:
                    self.problem = None
                    self._outage.over(self)
                await asyncio.sleep(limits.KAFKA_WATCH_INTERVAL_S)
        finally:
            self._outage.forget(self)

    async def _look(self) -> None:
        """Ask until there is an answer, for as long as one may take: of several brokers one may be away, and the next is asked."""
        last: KafkaProblem = slow("asking for the topic's partitions", limits.KAFKA_WATCH_TIMEOUT_S)
        try:
            async with asyncio.timeout(limits.KAFKA_WATCH_TIMEOUT_S):
                while True:
                    try:
                        self._counted(len(await self._cluster.leaders(self._topic)))
                    except KafkaProblem as problem:
                        last = problem
                    else:
                        return
                    await asyncio.sleep(_NEXT_TRY_S)
        except TimeoutError as error:
            raise last from error

    def _counted(self, partitions: int) -> None:
        before = self._partitions
        # A broker that lags behind the others tells fewer for a while.
        self._partitions = partitions if before is None else max(before, partitions)
        if before is not None and partitions > before:
            _log.info("partitions were added", topic=self._topic, before=before, now=partitions)
            self.when_grown()


def _nobody_minds() -> None:
    return None
