"""The intake as a whole: one membership in the group after another, with the waiting for servers that are not there in between."""

import asyncio
import time
from contextlib import AsyncExitStack

import structlog

from ingest import first_start
from ingest.assignment import Assignment
from ingest.consumer import Membership
from ingest.kafka import Cluster
from ingest.kafka_watch import KafkaWatch
from ingest.kafka_words import KafkaProblem
from ingest.outage import Outage, backoff_s, unless
from ingest.standing import IntakeStanding
from ingest.starter import Starter
from recharge.settings import IngestSettings, KafkaSettings

_HEALTHY_AFTER_S = 30.0
"""A membership that lasted so long was a good one, after which waiting begins anew at the shortest."""

_log = structlog.get_logger(__name__)


class Ingester:
    """Reads the topic as one member of the group, until it is told to stop."""

    def __init__(self, kafka: KafkaSettings, ingest: IngestSettings, starter: Starter) -> None:
        self._kafka = kafka
        self._ingest = ingest
        self._starter = starter
        self._switch = starter.switch(kafka, ingest)
        self._outage = Outage(_log, "Kafka cannot be used; waiting for it", "Kafka can be used again")
        self._membership_now: Membership | None = None
        self._problem: str | None = None
        self._task: asyncio.Task[object] | None = None

    @property
    def task(self) -> asyncio.Task[object] | None:
        """The task that reads and commits, from the beginning of `run` on."""
        return self._task

    @property
    def standing(self) -> IntakeStanding:
        """How the intake stands now."""
        if self._membership_now is None:
            problem = self._problem or "the group is not joined yet"
            return IntakeStanding(self._problem, problem, self._starter.temporal_problem, stalled_s=0.0)
        return self._membership_now.standing

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then end in good order. Servers that are not there are waited for.

        Raises:
            KafkaProblem, StarterProblem: waiting cannot help; the message says in one line what to do.
        """
        self._task = asyncio.current_task()
        await unless(stop, self._starter.check())
        tries = 0
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                await self._membership(stop)
            except KafkaProblem as problem:
                if problem.fatal:
                    raise
                tries = 0 if time.monotonic() - began_s > _HEALTHY_AFTER_S else tries + 1
                self._problem = str(problem)
                self._outage.began(self, self._problem)
                await unless(stop, asyncio.sleep(backoff_s(tries)))

    async def _membership(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            membership = await unless(stop, self._join(stack, stop))
            if membership is not None:
                self._outage.over(self)
                self._membership_now, self._problem = membership, None
                try:
                    await membership.work()
                finally:
                    self._membership_now = None

    async def _join(self, stack: AsyncExitStack, stop: asyncio.Event) -> Membership:
        cluster = await stack.enter_async_context(Cluster(self._kafka))
        await cluster.check_topics()
        recorded = await first_start.settle(self._kafka, self._ingest, cluster, self._starter.intake_record)
        await self._switch.refresh()
        assignment = Assignment(self._kafka, self._ingest, cluster, recorded)
        membership = Membership(
            self._kafka, self._ingest.max_in_flight, self._starter, self._switch, cluster, assignment, stop
        )
        stack.push_async_callback(membership.leave)
        await membership.join(KafkaWatch(cluster, self._kafka.topic, self._outage))
        return membership
