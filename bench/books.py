"""The four books of an audit, filled with so many records that are final: topic, ledger, Temporal, and the provider's statement.

Each record has one row, one attempt and one claim, the order `account` and two numbers of its own. A hundred thousand of them make a day.
Nothing here is kept in memory record by record, and whatever is written is written in bulk.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.migrations import migrate
from bench.bulk import filling
from devstack.site import Site, SiteNames
from devstack.stack import Devstack
from operations.audit.statement import HEADER
from recharge import contract, record
from recharge.outcome import State

PARTITIONS = 8
FIRST_AT = datetime(2026, 6, 1, tzinfo=UTC)
RECORDS_PER_DAY = 100_000
KEY = b"key"
_STEP_MS = 86_400_000 // RECORDS_PER_DAY
_FIRST_MS = int(FIRST_AT.timestamp() * 1000)
_BATCH = 20_000
_STRIDE = 7_368_787
"""A prime: numbers that are so far apart come round to each of any count that it does not divide, and look as if in no order."""
_STARTS_AT_ONCE = 40


@dataclass(frozen=True, slots=True)
class Numbered:
    """One record, all of which follows from its number."""

    number: int

    @property
    def partition(self) -> int:
        """The records go round the partitions."""
        return self.number % PARTITIONS

    @property
    def offset(self) -> int:
        """And have no gaps."""
        return self.number // PARTITIONS

    @property
    def timestamp_ms(self) -> int:
        """Their own time, which is also when they were carried out."""
        return _FIRST_MS + self.number * _STEP_MS

    @property
    def at(self) -> datetime:
        """The same in UTC."""
        return FIRST_AT + timedelta(milliseconds=self.number * _STEP_MS)

    @property
    def value(self) -> bytes:
        """What the topic holds."""
        return json.dumps(
            {
                "operationType": "OneShotTransfer",
                "phoneNumberDonor": f"+5917{self.number:08d}",
                "phoneNumberReceiver": f"+5916{self.number:08d}",
                "amount": "10.50",
                "requestId": f"audit-{self.number}",
            }
        ).encode()

    @property
    def fingerprint(self) -> str:
        """The record's."""
        return record.fingerprint(KEY, self.value, self.timestamp_ms)

    def workflow_id(self, site: Site) -> str:
        """The record's reference everywhere."""
        return f"{site.source}:{site.topic}:{self.partition}:{self.offset}"


def _batches(what: str, numbers: range, console: Console) -> Iterator[Sequence[Numbered]]:
    """The records with these numbers, so many at a time; each tenth of them is told."""
    told = 0
    for first in range(numbers.start, numbers.stop, _BATCH):
        batch = [Numbered(number) for number in range(first, min(first + _BATCH, numbers.stop))]
        yield batch
        done = batch[-1].number + 1 - numbers.start
        if done * 10 // len(numbers) > told:
            told = done * 10 // len(numbers)
            console.print(f"[dim]{datetime.now(UTC):%H:%M:%S} filling {what}: {done} of {len(numbers)}[/dim]")


async def prepared(stack: Devstack, name: str) -> Site:
    """A site whose topic keeps records of last year, with an empty ledger."""
    await stack.kafka.create_topic(SiteNames.of(name, None).topic, PARTITIONS, config={"retention.ms": "-1"})
    site = await stack.site(name, partitions=PARTITIONS)
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    return site


async def fill_topic(stack: Devstack, site: Site, records: int, console: Console) -> None:
    """Produce the records, and commit every one."""
    producer = AIOKafkaProducer(**stack.kafka.client_options(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for batch in _batches("the topic", range(records), console):
            sent = [
                await producer.send(
                    site.topic, each.value, KEY, partition=each.partition, timestamp_ms=each.timestamp_ms
                )
                for each in batch
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(**stack.kafka.client_options(), group_id=site.group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(site.topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


_AT = f"TIMESTAMP '{FIRST_AT:%Y-%m-%d %H:%M:%S}' + INTERVAL @n * {_STEP_MS * 1000} MICROSECOND"
_LOADED = {
    "recharges": (
        "(@n, partition_id, record_offset, workflow_id, fingerprint, content_digest, account_donor, account_receiver, request_id, "
        "raw_value) "
        "SET source = '{source}', topic = '{topic}', state = 'succeeded', ordering = 'account', operation_type = 'OneShotTransfer', "
        "amount = 10.50, resolved_by = 'answer', provider_reference = CONCAT('P-', LPAD(@n, 9, '0')), raw_key = 'key', "
        f"size_bytes = LENGTH(raw_value) + 3, record_timestamp_ms = {_FIRST_MS} + @n * {_STEP_MS}, begun = 1, created_at = {_AT}, "
        f"updated_at = {_AT} + INTERVAL 2 SECOND, final_at = {_AT} + INTERVAL 2 SECOND"
    ),
    "recharge_attempts": (
        f"(@n, workflow_id) SET token = LPAD(@n, 32, '0'), number = 1, opened_at = {_AT}, deadline_at = {_AT} + INTERVAL 30 SECOND, "
        f"closed_at = {_AT} + INTERVAL 1 SECOND, outcome = 'charged', status = 200"
    ),
    "request_claims": f"(@n, workflow_id, claim) SET claimed_at = {_AT}",
}
"""Columns of a file with tabs, and the others of the table that it is loaded into."""


async def fill_ledger(
    stack: Devstack, site: Site, records: int, folder: Path, console: Console, *, pool_mib: int
) -> None:
    """Load the rows, attempts and claims of the records; afterwards MySQL has a buffer pool of `pool_mib`."""
    async with filling(stack, site, pool_mib=pool_mib):
        for batch in _batches("the ledger", range(records), console):
            _write_files(site, batch, folder)
            loads = (
                f"LOAD DATA INFILE '{folder / table}' INTO TABLE {site.names.database}.{table} "
                + columns.format(source=site.source, topic=site.topic)
                for table, columns in _LOADED.items()
            )
            await asyncio.gather(*map(stack.mysql.execute, loads))


def _write_files(site: Site, batch: Sequence[Numbered], folder: Path) -> None:
    rows, attempts, claims = (folder / table for table in _LOADED)
    with rows.open("w") as row_file, attempts.open("w") as attempt_file, claims.open("w") as claim_file:
        for each in batch:
            n, workflow_id = each.number, each.workflow_id(site)
            donor, receiver, request_id = f"5917{n:08d}", f"5916{n:08d}", f"audit-{n}"
            digest = hashlib.sha256(b"content" + each.value).hexdigest()
            row_file.write(
                f"{n}\t{each.partition}\t{each.offset}\t{workflow_id}\t{each.fingerprint}\t{digest}\t"
                f"+{donor}\t+{receiver}\t{request_id}\t{each.value.decode()}\n"
            )
            attempt_file.write(f"{n}\t{workflow_id}\n")
            claim = f"request\0{request_id}\0{donor}\0{receiver}"
            claim_file.write(f"{n}\t{workflow_id}\t{hashlib.sha256(claim.encode()).hexdigest()}\n")


@workflow.defn(name=contract.WORKFLOW_TYPE)
class _AtItsEnd:
    """A record's workflow that has nothing left to do."""

    @workflow.run
    async def run(self, fingerprint: str) -> contract.RechargeResult:
        """End as a record that was charged."""
        return contract.RechargeResult(State.SUCCEEDED, fingerprint)


async def fill_temporal(client: Client, site: Site, records: int, workflows: int, console: Console) -> None:
    """Let the last records have their completed workflows, with what the audit compares: status, position and the memo's fingerprint."""
    records_left = (
        each for batch in _batches("Temporal", range(records - workflows, records), console) for each in batch
    )

    async def start_some() -> None:
        for each in records_left:
            attributes = (
                SearchAttributePair(contract.STATUS, State.SUCCEEDED.value),
                SearchAttributePair(contract.TOPIC, site.topic),
                SearchAttributePair(contract.PARTITION, each.partition),
                SearchAttributePair(contract.OFFSET, each.offset),
            )
            await client.execute_workflow(
                _AtItsEnd.run,
                each.fingerprint,
                id=each.workflow_id(site),
                task_queue=site.task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                memo={contract.MEMO_FINGERPRINT: each.fingerprint},
                search_attributes=TypedSearchAttributes(attributes),
                request_eager_start=True,
            )

    async with Worker(
        client, task_queue=site.task_queue, workflows=[_AtItsEnd], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        await asyncio.gather(*(start_some() for _ in range(_STARTS_AT_ONCE)))


def write_statement(site: Site, records: int, file: Path) -> None:
    """The provider's statement of every record, in no order."""
    with file.open("w") as out:
        out.write(",".join(HEADER) + "\n")
        for number in range(records):
            out.write(statement_line(site, Numbered(number * _STRIDE % records)))


def write_day(site: Site, numbers: range, file: Path) -> None:
    """The provider's statement of these records alone."""
    with file.open("w") as out:
        out.write(",".join(HEADER) + "\n")
        out.writelines(statement_line(site, Numbered(number)) for number in numbers)


def statement_line(site: Site, each: Numbered) -> str:
    """One charge."""
    return f"{each.workflow_id(site)},P-{each.number:09d},charged,10.50,{each.at.isoformat()}\n"
