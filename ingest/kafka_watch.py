"""Says once that Kafka does not answer, and once that it does again; and ends the intake when its topic is gone.

A consumer whose brokers are away finds nothing to read and says nothing: aiokafka tries again inside, for ever. So does one whose topic
was deleted, or that may no longer describe it. So the cluster is asked one small question every few seconds, beside the consumer.
"""

import asyncio

from ingest.kafka import Cluster
from ingest.kafka_words import KafkaProblem, slow
from ingest.outage import Outage
from recharge import limits

_NEXT_TRY_S = 0.5


class KafkaWatch:
    """Asks for the topic again and again, as long as a membership lasts."""

    def __init__(self, cluster: Cluster, topic: str, outage: Outage) -> None:
        self._cluster = cluster
        self._topic = topic
        self._outage = outage
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
                        await self._cluster.leaders(self._topic)
                    except KafkaProblem as problem:
                        last = problem
                    else:
                        return
                    await asyncio.sleep(_NEXT_TRY_S)
        except TimeoutError as error:
            raise last from error
