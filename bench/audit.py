"""How long an audit takes, and how much memory: `python -m bench.audit --records 1000000`.

Topic, ledger and committed offsets are filled on the real servers, each record with one row, one attempt and one claim, in the order
`account` with two numbers of its own; the statement is a file in no order. Of the first records (`--workflows`) Temporal still has the
completed workflow, as within its retention. Then `recharge audit` runs as a process of its own, and what is told is the high-water
mark of exactly that process's memory (VmHWM).
"""

import asyncio
import hashlib
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.migrations import migrate
from app.temporal import register_search_attributes
from devstack.server import minimal_environment
from devstack.site import Site
from devstack.stack import Devstack
from operations.audit.statement import HEADER
from recharge import contract, record
from recharge.outcome import State

PARTITIONS = 8
TIMESTAMP_MS = 1_793_534_400_000
KEY = b"key"
_BATCH = 20_000
_SEED = 7
_LOOK_S = 0.05
_STARTS_AT_ONCE = 40
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """What one audit of so many records cost."""

    records: int
    workflows: int
    took_s: float
    cpu_s: float
    """What it needed of a core, whatever else ran on the machine."""
    max_rss_mib: float
    ok: bool


def _value(number: int) -> bytes:
    return json.dumps(
        {
            "operationType": "OneShotTransfer",
            "phoneNumberDonor": f"+5917{number:08d}",
            "phoneNumberReceiver": f"+5916{number:08d}",
            "amount": "10.50",
            "requestId": f"audit-{number}",
        }
    ).encode()


def _places(records: int) -> Iterator[tuple[int, int, int]]:
    """Number, partition and offset of each record."""
    for number in range(records):
        yield number, number % PARTITIONS, number // PARTITIONS


async def _fill_topic(stack: Devstack, site: Site, records: int) -> None:
    producer = AIOKafkaProducer(**stack.kafka.client_options(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        sent = []
        for number, partition, _ in _places(records):
            sent.append(
                await producer.send(site.topic, _value(number), KEY, partition=partition, timestamp_ms=TIMESTAMP_MS)
            )
            if len(sent) == _BATCH:
                await asyncio.gather(*sent)
                sent.clear()
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


async def _fill_ledger(stack: Devstack, site: Site, records: int, folder: Path) -> None:
    database = site.names.database
    rows, attempts, claims = folder / "rows.csv", folder / "attempts.csv", folder / "claims.csv"
    places = list(_places(records))
    for first in range(0, records, _BATCH):
        with rows.open("w") as row_file, attempts.open("w") as attempt_file, claims.open("w") as claim_file:
            for number, partition, offset in places[first : first + _BATCH]:
                workflow_id = f"{site.source}:{site.topic}:{partition}:{offset}"
                fingerprint = record.fingerprint(KEY, _value(number), TIMESTAMP_MS)
                row_file.write(
                    f"{partition},{offset},{workflow_id},{fingerprint},{number:064d},+5917{number:08d},+5916{number:08d},audit-{number}\n"
                )
                claim = "\0".join(("request", f"audit-{number}", f"5917{number:08d}", f"5916{number:08d}"))
                claim_file.write(f"{hashlib.sha256(claim.encode()).hexdigest()},{workflow_id}\n")
                attempt_file.write(f"{workflow_id},{number:032d}\n")
        await stack.mysql.execute(
            f"LOAD DATA INFILE '{rows}' INTO TABLE {database}.recharges FIELDS TERMINATED BY ',' "
            "(partition_id, record_offset, workflow_id, fingerprint, content_digest, account_donor, account_receiver, request_id) "
            f"SET source = '{site.source}', topic = '{site.topic}', state = 'succeeded', ordering = 'account', "
            "amount = 10.50, resolved_by = 'answer', raw_key = 'key', size_bytes = 200, "
            f"record_timestamp_ms = {TIMESTAMP_MS}, begun = 1, created_at = '2026-11-01', updated_at = '2026-11-01', "
            "final_at = '2026-11-01 00:00:02'"
        )
        await stack.mysql.execute(
            f"LOAD DATA INFILE '{attempts}' INTO TABLE {database}.recharge_attempts FIELDS TERMINATED BY ',' "
            "(workflow_id, token) SET number = 1, opened_at = '2026-11-01', deadline_at = '2026-11-01 00:00:30', "
            "closed_at = '2026-11-01 00:00:01', outcome = 'charged', status = 200"
        )
        await stack.mysql.execute(
            f"LOAD DATA INFILE '{claims}' INTO TABLE {database}.request_claims FIELDS TERMINATED BY ',' "
            "(claim, workflow_id) SET claimed_at = '2026-11-01'"
        )


@workflow.defn(name=contract.WORKFLOW_TYPE)
class _AtItsEnd:
    """A record's workflow that has nothing left to do."""

    @workflow.run
    async def run(self, fingerprint: str) -> contract.RechargeResult:
        """End as a record that was charged."""
        return contract.RechargeResult(State.SUCCEEDED, fingerprint)


async def _fill_temporal(client: Client, site: Site, workflows: int) -> None:
    """Let the first records have their completed workflows, with what the audit compares: status, position and the memo's fingerprint."""
    places = itertools.islice(_places(workflows), workflows)

    async def start_some() -> None:
        for number, partition, offset in places:
            fingerprint = record.fingerprint(KEY, _value(number), TIMESTAMP_MS)
            attributes = (
                SearchAttributePair(contract.STATUS, State.SUCCEEDED.value),
                SearchAttributePair(contract.TOPIC, site.topic),
                SearchAttributePair(contract.PARTITION, partition),
                SearchAttributePair(contract.OFFSET, offset),
            )
            await client.execute_workflow(
                _AtItsEnd.run,
                fingerprint,
                id=f"{site.source}:{site.topic}:{partition}:{offset}",
                task_queue=site.task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                memo={contract.MEMO_FINGERPRINT: fingerprint},
                search_attributes=TypedSearchAttributes(attributes),
                request_eager_start=True,
            )

    async with Worker(
        client, task_queue=site.task_queue, workflows=[_AtItsEnd], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        await asyncio.gather(*(start_some() for _ in range(_STARTS_AT_ONCE)))


def _write_statement(site: Site, records: int, file: Path) -> None:
    places = list(_places(records))
    random.Random(_SEED).shuffle(places)  # noqa: S311  # any order will do
    with file.open("w") as out:
        out.write(",".join(HEADER) + "\n")
        for number, partition, offset in places:
            reference = f"{site.source}:{site.topic}:{partition}:{offset}"
            out.write(f"{reference},P-{number:09d},charged,10.50,2026-11-01T00:00:01Z\n")


def _audit(site: Site, statement: Path, records: int, workflows: int) -> Measured:
    """Run the command, and read the high-water mark of its own memory until it ends.

    The kernel's usage of an ended child would not do: it counts what the forked process had before it became the command, which is this
    benchmark's own memory.
    """
    began_s, used_before_s = time.monotonic(), _ended_children_s()
    with tempfile.TemporaryFile() as out:
        command = subprocess.Popen(
            [sys.executable, "-m", "app", "audit", "--statement", str(statement), "--json"],
            env=minimal_environment() | site.environment,
            stdout=out,
        )
        max_rss_kib = 0
        while command.poll() is None:
            max_rss_kib = max(max_rss_kib, _high_water_kib(command.pid))
            time.sleep(_LOOK_S)
        took_s = time.monotonic() - began_s
        out.seek(0)
        report = json.load(out)
    if report["counts"]["rows"] != records or report["counts"]["charges"] != records:
        raise RuntimeError(f"the audit did not see all of it: {report['counts']}")
    return Measured(records, workflows, took_s, _ended_children_s() - used_before_s, max_rss_kib / _KIB, report["ok"])


def _ended_children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _high_water_kib(pid: int) -> int:
    """VmHWM of a process; 0 where it is just ending and has no memory any more."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def main(
    records: Annotated[int, typer.Option(help="Records to audit.")] = 1_000_000,
    workflows: Annotated[int, typer.Option(help="Of how many of them Temporal still has the workflow.")] = 20_000,
) -> None:
    """Measure one audit of many records: its time, and the largest resident set of its process."""
    console = Console()

    async def run() -> Measured:
        with tempfile.TemporaryDirectory(prefix="recharge-bench-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            async with Devstack(folder, lambda text: console.print(f"[dim]{text}[/dim]")) as stack:
                client = await Client.connect(stack.temporal.address)
                await register_search_attributes(client)
                site = await stack.site("bench-audit", partitions=PARTITIONS)
                await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
                console.print(f"[dim]filling topic, ledger, statement and Temporal with {records} records[/dim]")
                await _fill_topic(stack, site, records)
                await _fill_ledger(stack, site, records, folder)
                statement = folder / "statement.csv"
                _write_statement(site, records, statement)
                await _fill_temporal(client, site, min(workflows, records))
                return await asyncio.to_thread(_audit, site, statement, records, min(workflows, records))

    measured = asyncio.run(run())
    console.print(
        f"{measured.records} records, {measured.workflows} of them with their workflow, audited in {measured.took_s:.1f} s "
        f"({measured.cpu_s:.1f} s of CPU time), largest resident set {measured.max_rss_mib:.0f} MiB, "
        f"{'every promise kept' if measured.ok else 'VIOLATIONS'}"
    )


if __name__ == "__main__":
    typer.run(main)
