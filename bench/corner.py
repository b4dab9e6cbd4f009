"""A corner of the stack for one benchmark: its topic, its records, and how far they are."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from activities.migrations import migrate
from devstack.processes import ManagedProcess, wait_until
from devstack.site import Site
from devstack.stack import Devstack

PARTITIONS = 8
_DRAINED_TIMEOUT_S = 600.0
_COMMITTED_LOOK_S = 0.5
_COMMITTED_LAST_LOOKS_S = 0.05
_LAST_RECORDS = 120
"""The records of a second or two: so near the end it is looked oftener, since a look that comes late is counted as work."""
_PRODUCED_TOGETHER = 20_000
"""Records that wait for their acknowledgements at a time: they are all in memory until then."""


@dataclass(frozen=True)
class Corner:
    """One migrated site with an empty topic, and what the benchmarks do there."""

    stack: Devstack
    site: Site

    @classmethod
    async def make(cls, stack: Devstack, name: str, *, ordering: str = "account", **settings: str) -> "Corner":
        """A corner whose service runs in this order, with these settings by their full names, and logs warnings only."""
        profile = {"RECHARGE_INGEST__ORDERING": ordering, "RECHARGE_LOG__LEVEL": "warning"} | settings
        site = await stack.site(name, partitions=PARTITIONS, profile=profile)
        await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
        return cls(stack, site)

    @property
    def prefix(self) -> str:
        """How the references of this corner's records begin."""
        return f"{self.site.source}:"

    async def produce(self, numbers: Iterable[int]) -> None:
        """Send a record for each of the numbers, to the partitions in turn."""
        async with self.producer() as producer:
            left = iter(numbers)
            while batch := list(itertools.islice(left, _PRODUCED_TOGETHER)):
                sent = [
                    await producer.send(self.site.topic, value(number), partition=number % PARTITIONS)
                    for number in batch
                ]
                await asyncio.gather(*sent)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        """A producer that waits for nobody's acknowledgement before it sends the next batch."""
        producer = AIOKafkaProducer(**self.stack.kafka.client_options(), acks="all", enable_idempotence=True)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def committed_count(self) -> int:
        """Records before the committed offsets, over all partitions."""
        return sum((await self.stack.kafka.committed(self.site.group, self.site.topic)).values())

    async def final_count(self) -> int:
        """Records that are final in the ledger: more than are committed, since a commit waits for every record before it."""
        ((count,),) = await self.stack.mysql.execute(
            f"SELECT COUNT(*) FROM {self.site.names.database}.recharges WHERE final_at IS NOT NULL"  # noqa: S608  # a name of our own
        )
        return int(count)

    async def until_committed(self, count: int, process: ManagedProcess) -> None:
        """Wait until the commit of `count` records is seen, a twentieth of a second late."""
        for nearly, interval_s in ((count - _LAST_RECORDS, _COMMITTED_LOOK_S), (count, _COMMITTED_LAST_LOOKS_S)):
            await self._until(nearly, interval_s, process)

    async def _until(self, count: int, interval_s: float, process: ManagedProcess) -> None:
        async def committed() -> bool:
            return await self.committed_count() >= count

        await wait_until(
            committed, _DRAINED_TIMEOUT_S, f"{count} records are committed", process=process, interval_s=interval_s
        )

    async def rewind(self) -> None:
        """Set the group's committed offsets to zero, as after a commit that was lost. The group has to be without members."""
        consumer = AIOKafkaConsumer(
            **self.stack.kafka.client_options(), group_id=self.site.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(self.site.topic, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.commit(dict.fromkeys(partitions, 0))
        finally:
            await consumer.stop()


def value(number: int) -> bytes:
    """A record of two accounts of its own, so that in `account` order nothing waits for another."""
    return json.dumps(
        {
            "operationType": "OneShotTransfer",
            "phoneNumberDonor": f"+5917{number:07d}",
            "phoneNumberReceiver": f"+5916{number:07d}",
            "amount": f"{number % 90 + 1}.50",
            "currency": "BOB",
            "requestId": f"bench-{number}",
        }
    ).encode()
