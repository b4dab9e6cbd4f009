"""The audit on the real servers: what is planted by hand is found and nothing else, and a site in good order breaks no promise."""

import asyncio
import csv
import io
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typer.testing import CliRunner

from activities.ledger import AuditedRow, AuditReader
from activities.ledger.obstacles import claims_of
from activities.provider import ProviderProblem, fetch_statement
from app import operate_runs, process
from app.environment import AuditEnvironment, load
from app.main import cli
from devstack.kafka_admin import Record as Letter
from devstack.processes import wait_until
from devstack.site import Site
from devstack.stack import Devstack
from ingest.kafka import TopicScan
from operations.audit import Books, Kind, NoteKind, Report, Statement, run
from operations.audit.statement import HEADER
from recharge import record
from recharge.contract import (
    INTAKE_TASK_QUEUE,
    INTAKE_WORKFLOW_TYPE,
    MEMO_FINGERPRINT,
    MEMO_INTAKE_FIRST_OFFSETS,
    OFFSET,
    PARTITION,
    STATUS,
    TOPIC,
    WORKFLOW_TYPE,
    intake_workflow_id,
)
from tests.conftest import SiteMaker
from tests.integration.stub_workflow import StubWorkflow
from tests.integration.test_end_to_end import LOOKUP_PROFILE, drained, produce
from tests.support import command
from tests.support.audited import BEGAN_AT, TRUE_FINGERPRINT, Scenario, scenarios
from tests.support.command import Told
from tests.support.intake import FINAL_TIMEOUT_S, Corner
from tests.support.records import record as stub_record
from tests.support.records import value
from tests.support.unreadable import produce_unreadable


async def ask(site: Site, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Told:
    """Run `recharge audit` as a person would."""
    return await command.ask("audit", *arguments, environment=site.environment | dict(environment or {}), stdin=stdin)


@asynccontextmanager
async def books(site: Site, client: Client, environment: Mapping[str, str] | None = None) -> AsyncIterator[Books]:
    """What an audit asks, in this process."""
    settings = load(AuditEnvironment, site.environment | dict(environment or {}))
    ledger = AuditReader(settings.mysql.url.get_secret_value())
    try:
        yield Books(settings.kafka, ledger, client)
    finally:
        await ledger.close()


def csv_of(lines: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *lines])
    return text.getvalue().encode()


# --- Planted ----------------------------------------------------------------------------------------------------------


class Forger:
    """Writes scenarios into a real topic, database, statement and Temporal, one a partition, as no service of ours would."""

    def __init__(self, corner: Corner) -> None:
        self._corner = corner
        self._site = corner.site
        self._stack = corner.stack
        self.scenarios = scenarios(self._site.source, self._site.topic)
        self._now = datetime.now() - timedelta(days=1)  # noqa: DTZ005  # only that it is in the past matters

    async def plant(self) -> bytes:
        """Plant all scenarios, and return the statement that goes with them."""
        await self._write_topic()
        await self._write_ledger()
        for number, each in enumerate(self.scenarios):
            if each.unreadable:
                # Now, since nothing here could read it again.
                await produce_unreadable(self._corner, number, behind=len(each.unreadable) - 1)
        await self._write_letters()
        await self._corner.move_group({number: each.committed for number, each in enumerate(self.scenarios)})
        await self._write_workflows()
        return csv_of(
            [
                (self._corner.workflow_id(number, offset), reference, status, amount, "2026-11-01T00:00:00Z")
                for number, each in enumerate(self.scenarios)
                for offset, reference, status, amount in each.charges
            ]
        )

    async def _write_topic(self) -> None:
        plain = [number for number, each in enumerate(self.scenarios) if not each.is_transactional]
        await self._corner.stack.kafka.produce(
            self._site.topic, [(b"key", value(), number, []) for number in plain for _ in range(2)]
        )
        for number in sorted(set(range(len(self.scenarios))) - set(plain)):
            await self._write_transactions(number)
        doomed = {
            TopicPartition(self._site.topic, number): RecordsToDelete(each.deleted_before)
            for number, each in enumerate(self.scenarios)
            if each.deleted_before
        }
        async with self._corner.kafka_admin() as admin:
            await admin.delete_records(doomed)

    async def _write_transactions(self, partition: int) -> None:
        producer = AIOKafkaProducer(
            **self._stack.kafka.client_options(), transactional_id=f"{self._site.topic}-{partition}"
        )
        await producer.start()
        try:
            for _ in range(2):
                async with producer.transaction():
                    await producer.send_and_wait(self._site.topic, value(), key=b"key", partition=partition)
        finally:
            await producer.stop()

    async def _write_ledger(self) -> None:
        self._held = {
            (each.partition, each.offset): each for each in await self._stack.kafka.read_all(self._site.topic)
        }
        rows = []
        for row in itertools.chain.from_iterable(each.rows for each in self.scenarios):
            found = self._held.get((row.partition, row.offset))
            if found is not None and row.fingerprint == TRUE_FINGERPRINT:
                rows.append(
                    replace(row, fingerprint=self._truth(row.partition, row.offset), timestamp_ms=found.timestamp)
                )
            else:
                rows.append(row)
        orphans = [
            (self._corner.workflow_id(number, offset), 1, "t" * 32, self._at(BEGAN_AT), self._at(BEGAN_AT))
            for number, each in enumerate(self.scenarios)
            for offset in each.orphans
        ]
        await self._insert("recharges", _ROW, [self._row(row) for row in rows])
        await self._insert("recharge_attempts", _ATTEMPT, [line for row in rows for line in self._attempts(row)])
        await self._insert("recharge_attempts", _ATTEMPT[:5], orphans)
        await self._insert("lookups", _LOOKUP, [line for row in rows for line in self._lookups(row)])
        await self._insert("request_claims", _CLAIM, self._claims(rows))
        await self._insert("operator_actions", _ACTION, [line for row in rows for line in self._actions(row)])

    def _claims(self, rows: Sequence[AuditedRow]) -> list[Sequence[object]]:
        """The claims of the rows' requests, by the service's own reckoning, and those of no row."""
        owners = {
            _request_id(row): (row, row.request_of)
            for row in rows
            if row.request_of is not None and row.donor is not None
        }
        claimed_at = self._at(BEGAN_AT)
        orphans = [
            (f"{number:064}", self._corner.workflow_id(number, offset), claimed_at)
            for number, each in enumerate(self.scenarios)
            for offset in each.orphan_claims
        ]
        return [*orphans, *((self._claim(row), owner, claimed_at) for row, owner in owners.values())]

    def _claim(self, row: AuditedRow) -> str:
        # Without a leading plus sign, as the ledger's numbers are compared.
        sent = value(phoneNumberDonor=row.donor, phoneNumberReceiver=f"+{row.receiver}", requestId=_request_id(row))
        (claim,) = claims_of(stub_record(self._site.source, row.offset, sent))
        return claim

    async def _insert(self, table: str, columns: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
        marks = ", ".join(f"({', '.join(['%s'] * len(columns))})" for _ in lines)
        await self._stack.mysql.execute(
            f"INSERT INTO {self._site.names.database}.{table} ({', '.join(columns)}) VALUES {marks}",
            [field for line in lines for field in line],
        )

    def _at(self, moment: datetime | None) -> datetime | None:
        """A moment of the scenario, moved into yesterday."""
        return None if moment is None else self._now + (moment - BEGAN_AT)

    def _row(self, row: AuditedRow) -> Sequence[object]:
        return (
            *(self._site.source, self._site.topic, row.partition, row.offset, row.workflow_id, row.state),
            *(
                row.fingerprint,
                "c" * 64,
                row.ordering,
                row.donor,
                row.receiver,
                row.amount,
                row.resolved_by,
                b"key",
                10,
                row.provider_reference,
                None if row.request_of is None else _request_id(row),
                row.redrive_of,
            ),
            *(row.timestamp_ms, 1, self._at(row.created_at), self._at(row.created_at), self._at(row.final_at)),
        )

    def _attempts(self, row: AuditedRow) -> list[Sequence[object]]:
        return [
            (
                *(row.workflow_id, each.number, "t" * 32, self._at(each.opened_at), self._at(each.opened_at)),
                *(self._at(each.closed_at), each.outcome, each.verdict, each.verdict_by, self._at(each.verdict_at)),
                *(each.late_outcome, self._at(each.late_at)),
            )
            for each in row.attempts
        ]

    def _lookups(self, row: AuditedRow) -> list[Sequence[object]]:
        asked_at = self._at(row.created_at)
        return [(row.workflow_id, each.attempt_number, asked_at, asked_at, each.answer, "said") for each in row.lookups]

    def _actions(self, row: AuditedRow) -> list[Sequence[object]]:
        return [
            (
                row.workflow_id,
                each.action,
                each.by,
                each.note,
                self._at(row.created_at),
                "refused" if each.refused else None,
            )
            for each in row.actions
        ]

    def _truth(self, partition: int, offset: int) -> str:
        """The fingerprint of the record at a position; where the topic has none, the stand-in that its row has as well."""
        found = self._held.get((partition, offset))
        return TRUE_FINGERPRINT if found is None else record.fingerprint(found.key, found.value, found.timestamp)

    async def _write_letters(self) -> None:
        letters: list[Letter] = []
        for number, each in enumerate(self.scenarios):
            for offset, state, fingerprint in each.written_letters:
                truth = self._truth(number, offset) if fingerprint == TRUE_FINGERPRINT else fingerprint
                told = {"workflow-id": self._corner.workflow_id(number, offset), "state": state, "fingerprint": truth}
                letters.append(
                    (b"key", value(), 0, [(f"recharge-{name}", text.encode()) for name, text in told.items()])
                )
        await self._stack.kafka.produce(f"{self._site.topic}.dlt", letters)

    async def _write_workflows(self) -> None:
        wanted = [(number, *each) for number, every in enumerate(self.scenarios) for each in every.workflows.items()]
        for number, offset, status in wanted:
            await self._start(number, offset, status)
        # Temporal's list lags a moment behind.
        await wait_until(
            lambda: self._are_listed(len(wanted)),
            FINAL_TIMEOUT_S,
            f"{len(wanted)} workflows are listed",
            interval_s=0.05,
        )

    async def _are_listed(self, count: int) -> bool:
        runs = await self._corner.runs()
        return len(runs) == count and sum(run.close_time is not None for run in runs) == self._closed_count

    @property
    def _closed_count(self) -> int:
        statuses = itertools.chain.from_iterable(each.workflows.values() for each in self.scenarios)
        return sum(status != "running" for status in statuses)

    async def _start(self, partition: int, offset: int, status: str) -> None:
        input_ = stub_record(self._site.source, offset, value(), partition=partition, topic=self._site.topic)
        attributes = (
            SearchAttributePair(TOPIC, self._site.topic),
            SearchAttributePair(PARTITION, partition),
            SearchAttributePair(OFFSET, offset),
            SearchAttributePair(STATUS, self.scenarios[partition].status_of(offset)),
        )
        queue = self._site.task_queue if status == "completed" else f"{self._site.task_queue}-nobody"
        handle = await self._corner.client.start_workflow(
            WORKFLOW_TYPE,
            input_,
            id=self._corner.workflow_id(partition, offset),
            task_queue=queue,
            search_attributes=TypedSearchAttributes(attributes),
            memo={MEMO_FINGERPRINT: self.scenarios[partition].memos.get(offset, self._truth(partition, offset))},
        )
        if status == "completed":
            await handle.result()
        elif status == "terminated":
            await handle.terminate("by a test")


_ROW = (
    *("source", "topic", "partition_id", "record_offset", "workflow_id", "state"),
    *("fingerprint", "content_digest", "ordering", "account_donor", "account_receiver", "amount", "resolved_by"),
    *(
        "raw_key",
        "size_bytes",
        "provider_reference",
        "request_id",
        "redrive_of",
        "record_timestamp_ms",
        "begun",
        "created_at",
        "updated_at",
        "final_at",
    ),
)
_ATTEMPT = (
    *("workflow_id", "number", "token", "opened_at", "deadline_at", "closed_at", "outcome"),
    *("verdict", "verdict_by", "verdict_at", "late_outcome", "late_at"),
)
_CLAIM = ("claim", "workflow_id", "claimed_at")
_LOOKUP = ("workflow_id", "attempt_number", "asked_at", "answered_at", "answer", "said")
_ACTION = ("workflow_id", "action", "decided_by", "note", "decided_at", "refused_because")


def _request_id(row: AuditedRow) -> str:
    """The requestId of a row that has a claim: the same for all of its partition."""
    return f"request-{row.partition}"


def by_name(planted: Sequence[Scenario], found: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """What was found, by the name of the scenario that it belongs to."""
    by_scenario: dict[str, list[tuple[str, str]]] = {each.name: [] for each in planted}
    for kind, workflow_id in found:
        _, _, partition, offset = workflow_id.split(":")
        by_scenario[planted[int(partition)].name].append((kind, offset))
    return {name: sorted(found) for name, found in by_scenario.items()}


async def test_every_fault_that_is_planted_is_found_and_nothing_else(
    stack: Devstack, make_site: SiteMaker, client: Client, tmp_path: Path
) -> None:
    site = await make_site("audit", partitions=len(scenarios("", "")))
    forger = Forger(Corner(stack, site, client))
    async with Worker(
        client, task_queue=site.task_queue, workflows=[StubWorkflow], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        statement = await forger.plant()
    before = await everything(stack, site)
    file = tmp_path / "statement.csv"
    file.write_bytes(statement)
    readable, machine = await asyncio.gather(
        ask(site, "--statement", "-", stdin=statement), ask(site, "--statement", str(file), "--json")
    )
    assert [each.status for each in (readable, machine)] == [1, 1], (readable, machine.err)
    report = machine.json()
    planted = forger.scenarios
    found = [(each["kind"], each["workflow_id"]) for each in report["violations"]]
    assert by_name(planted, found) == {
        each.name: sorted((kind.value, str(offset)) for kind, offset in each.violations) for each in planted
    }
    noted = [(each["kind"], each["workflow_id"]) for each in report["notes"]]
    assert by_name(planted, noted) == {
        each.name: sorted((kind.value, str(offset)) for kind, offset in each.notes) for each in planted
    }
    assert report["ok"] is False
    assert sum(report["broken"].values()) == len(found)
    assert all(each["problem"] and each["advice"] and each["promise"] for each in report["violations"])
    assert report["counts"]["gaps_in_log"] >= 3
    by_statement = {"charged_twice", "charged_though_not_succeeded", "charge_without_row", "charge_without_attempt"}
    by_statement |= {"charged_though_nothing_done", "charge_missing", "amount_differs", "reference_differs"}
    async with books(site, client) as asked:
        without = await run(asked)
    assert {each.kind.value for each in without.violations} == {kind for kind, _ in found} - by_statement
    assert "never twice" in readable.out
    assert "to do:" in readable.out
    assert readable.err == ""
    assert await everything(stack, site) == before, "an audit changes nothing"


async def everything(stack: Devstack, site: Site) -> list[Any]:
    tables = ("recharges", "recharge_attempts", "lookups", "operator_actions", "request_claims")
    rows = [await stack.mysql.execute(f"SELECT * FROM {site.names.database}.{table}") for table in tables]
    return [*rows, await stack.kafka.committed(site.group, site.topic), await stack.kafka.end_offsets(site.topic)]


async def test_a_charge_that_was_answered_as_none_is_found_in_time_and_carried_out_once(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site("audit")
    await produce(stack, site, [value(simulate=["charge+retry_after:600+status:429"])], partitions=1)
    site.spawn("run")
    workflow_id = f"{site.source}:{site.topic}:0:0"
    url = f"{stack.simulator.client.statement_url}?prefix={site.source}:"

    async def is_retrying() -> bool:
        query = f"SELECT COUNT(*) FROM {site.names.database}.recharges WHERE state = 'retrying'"
        return await stack.mysql.execute(query) == [(1,)]

    async def decide(*arguments: str) -> Told:
        return await command.ask(
            *arguments, workflow_id, "--by", "Ann", "--note", "asked", environment=site.environment
        )

    await wait_until(is_retrying, FINAL_TIMEOUT_S, "it is retrying", interval_s=0.05)
    found = await ask(site, "--statement", url)
    assert found.status == 1
    assert f"never_twice  {workflow_id}\n  it is retrying, and the statement has a charge of it (line 2)" in found.out
    assert found.out.count("to do:") == 1
    assert "`recharge hold ID` at once" in found.out

    held = await decide("hold")
    assert held.status == 0, held
    assert (await ask(site, "--statement", url)).status == 1, "a person may still release it"
    charged = await decide("resolve", "--charged")
    assert charged.status == 0, charged
    await drained(stack, site)
    assert (await ask(site, "--statement", url)).status == 0
    assert len(await stack.simulator.client.posts(workflow_id)) == 1


# --- In good order ----------------------------------------------------------------------------------------------------


async def test_a_site_in_good_order_passes_while_it_runs_and_afterwards(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site("audit", partitions=2, profile=LOOKUP_PROFILE)
    refused, doubtful = value(simulate=["refuse+ok"]), value(simulate=["charge+status:500"], requestId="d")
    values = [b"{", refused, doubtful, value(simulate=["status:429"]), *(value(requestId=f"r-{n}") for n in range(60))]
    await produce(stack, site, values, partitions=2)
    reader = read_only(site)
    site.spawn("run")
    url = f"{stack.simulator.client.statement_url}?prefix={site.source}:"

    beside_the_service = 0
    while await stack.kafka.committed(site.group, site.topic) != await stack.kafka.end_offsets(site.topic):
        async with books(site, client, reader) as asked:
            drawn_at = await asked.ledger.now()
            drawn = (await stack.simulator.client.statement(f"{site.source}:")).encode()
            seen = await run(asked, statement=Statement("drawn", io.BytesIO(drawn), drawn_at))
        assert not seen.violations, seen.violations
        beside_the_service += bool(seen.counts["rows"] and seen.counts["waiting"])
    assert beside_the_service
    await drained(stack, site)

    async def report(*arguments: str) -> Any:
        answer = await ask(site, "--statement", url, "--json", *arguments, environment=reader)
        assert answer.status == 0, answer
        return answer.json()

    final = await report()
    assert (final["ok"], final["violations"], final["notes"]) == (True, [], [])
    counts = final["counts"]
    assert (counts["records"], counts["rows"], counts["charges"]) == (64, 64, 62)
    assert (counts["succeeded"], counts["rejected"], counts["invalid"], counts["waiting"]) == (62, 1, 1, 0)
    later = await report("--from", "2100-01-01")
    assert (later["counts"]["outside_of_period"], later["counts"]["records"]) == (0, 0)
    async with books(site, client) as asked:
        own = await run(asked, statement=Statement("none", io.BytesIO(csv_of([])), await asked.ledger.now()))
    assert isinstance(own, Report)
    assert {each.kind.value for each in own.violations} == {"charge_missing"}
    assert len(own.violations) == 62


async def test_what_stood_before_an_intake_that_began_at_the_end_was_never_owed(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site("audit")
    await produce(stack, site, [value(), value()])
    corner = Corner(stack, site, client)
    await corner.move_group({0: 2})
    async with books(site, client) as asked:
        lost = await run(asked)
        assert [(each.kind, each.workflow_id) for each in lost.violations] == [
            (Kind.COMMITTED_WITHOUT_ROW, corner.workflow_id(0, offset)) for offset in (0, 1)
        ]
        await client.start_workflow(
            INTAKE_WORKFLOW_TYPE,
            id=intake_workflow_id(site.source, site.topic),
            task_queue=INTAKE_TASK_QUEUE,
            memo={MEMO_INTAKE_FIRST_OFFSETS: {"0": 2}},
        )
        owed = await run(asked)
    assert (owed.violations, owed.counts["before_the_beginning"]) == ([], 2)


async def test_records_that_kafka_deletes_while_they_are_read_are_told_and_not_taken_for_gaps(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site("audit")
    await produce(stack, site, [value(), value(), value()])
    corner = Corner(stack, site, client)
    async with TopicScan(load(AuditEnvironment, site.environment).kafka, site.topic) as scan:
        async with corner.kafka_admin() as admin:
            await admin.delete_records({TopicPartition(site.topic, 0): RecordsToDelete(2)})
        assert [each.offset async for each in scan.records(0)] == [2]
    assert scan.deleted == {0: [range(2)]}


async def test_a_record_that_breaks_kafkas_own_format_is_told_and_the_others_are_audited(
    stack: Devstack, make_site: SiteMaker, client: Client
) -> None:
    site = await make_site("audit")
    corner = Corner(stack, site, client)
    await produce(stack, site, [value()])
    await produce_unreadable(corner, 0, behind=1)
    await produce(stack, site, [value(), value()])
    await corner.move_group({0: 0})
    async with books(site, client) as asked:
        waiting = await run(asked)
        assert [(each.kind, each.workflow_id) for each in waiting.notes] == [
            (NoteKind.UNREADABLE_RECORD, corner.workflow_id(0, offset)) for offset in (1, 2)
        ]
        counts = waiting.counts
        assert (counts["records"], counts["waiting"], counts["unreadable"], waiting.violations) == (5, 5, 2, [])
        await corner.move_group({0: 5})
        passed = await run(asked)
    assert [(each.kind, each.workflow_id) for each in passed.violations] == [
        (Kind.COMMITTED_WITHOUT_ROW, corner.workflow_id(0, offset)) for offset in range(5)
    ]
    told = await ask(site, environment=read_only(site))
    assert (told.status, told.err) == (1, "")
    assert "cannot be taken apart: 2\n" in told.out
    assert "UnicodeDecodeError" in told.out


def read_only(site: Site) -> dict[str, str]:
    """The settings of a user that may read the ledger and no more."""
    return {"RECHARGE_MYSQL__URL": site.ledger.reader_url}


# --- Bad input --------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_audited_is_told_in_one_line_with_status_2(
    make_site: SiteMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await make_site("audit")
    cases: list[tuple[list[str], dict[str, str], str]] = [
        (["--statement", str(tmp_path / "none.csv")], {}, "none.csv cannot be opened: No such file"),
        (["--from", "yesterday"], {}, "--from: 'yesterday' is no time in ISO 8601"),
        (["--from", "2026-02-01", "--to", "2026-01-01"], {}, "--from must lie before --to"),
        (["--statement-until", "2026-02-01"], {}, "goes with --statement"),
        ([], {"TEMPORAL_ADDRESS": "127.0.0.1:1"}, "Temporal at 127.0.0.1:1 gave no answer"),
        ([], {"RECHARGE_MYSQL__URL": "mysql://a:secret-word@127.0.0.1:1/none"}, "MySQL at 127.0.0.1:1"),
    ]
    # The command line itself in this process, with its end replaced by an exception.
    monkeypatch.setattr(process, "leave", _leave)
    monkeypatch.setattr(operate_runs, "CONNECT_TIMEOUT_S", 0.5)
    for arguments, extra, why in cases:
        environment = site.environment | extra
        answer = await asyncio.to_thread(CliRunner().invoke, cli, ["audit", *arguments], env=environment)
        assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1), (arguments, answer.stderr)
        assert why in answer.stderr, (arguments, answer.stderr)
        assert "secret-word" not in answer.stderr
    line = (f"{site.source}:{site.topic}:0:0", "P-1", "charged", "1.00", "")
    endless = (*line[:3], "9" * 27, "")
    twice, too_long, foreign = await asyncio.gather(
        ask(site, "--statement", "-", stdin=csv_of([line, line])),
        ask(site, "--statement", "-", stdin=csv_of([endless])),
        ask(site, environment={"RECHARGE_KAFKA__TOPIC": "no-such-topic"}),
    )
    for told, why in (
        (twice, "the statement standard input, line 3: it repeats line 2"),
        (too_long, "the statement standard input, line 2: the amount has more than 24 digits before the point"),
        (foreign, "lacks the permission Describe on topic 'no-such-topic'"),
    ):
        assert (told.status, told.out, told.err.count("\n")) == (2, "", 1), told
        assert why in told.err


async def test_a_statement_that_cannot_be_fetched_is_refused_and_our_token_is_shown_to_the_provider_alone(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site("audit")
    url = stack.simulator.client.statement_url
    provider = load(AuditEnvironment, site.environment).provider
    elsewhere = provider.model_copy(update={"url": "https://provider.example.net/recharges"})
    for settings, asked, why in (
        (provider, f"{url}/none", "was answered 404"),
        (elsewhere, url, "was answered 401"),
        (provider, "https://127.0.0.1:1/s", "did not come whole"),
        (provider, "http://provider.example.net/s", "must be https"),
        (provider, "https://a:secret-word@127.0.0.1/s", "must not hold a user or a password"),
        (provider, "https://[1/s", "cannot be read"),
    ):
        with pytest.raises(ProviderProblem, match=why) as caught:
            await fetch_statement(settings, asked, io.BytesIO())
        assert "secret-word" not in str(caught.value)
        assert "\n" not in str(caught.value)


def _leave(status: int) -> NoReturn:
    raise SystemExit(status)


async def test_an_empty_site_keeps_every_promise(make_site: SiteMaker) -> None:
    site = await make_site("audit", partitions=3)
    answer = await ask(site, "--json")
    assert answer.status == 0, answer
    assert answer.json()["ok"] is True
