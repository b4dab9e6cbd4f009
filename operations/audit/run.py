"""One audit: who is asked in which order, so that what moves meanwhile is not taken for a broken promise.

First the statement, then the committed offsets, then where the topic ends, then the dead letters, then Temporal's list, and last the
ledger, beside the topic.
Each is read after what it has to bear out: what was committed is final in a ledger that is read later, and what was charged had its row
before. What can only be told from two moments (a workflow and its row, two rows of one lane) is asked again before it is told.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from temporalio.client import Client

from activities.ledger import AuditedRow, AuditReader
from ingest.kafka import Cluster, TopicScan, UnreadableRecord
from operations.audit.copies import family
from operations.audit.facts import LoggedRecord, PartitionFacts, Period, Terms
from operations.audit.findings import Kind, Note, Violation
from operations.audit.joining import side_by_side
from operations.audit.letters import letter_line
from operations.audit.partition import ChargeSuspect, Finding, OrderSuspect, PartitionAudit, SentCopy, WorkflowSuspect
from operations.audit.reach import Reach, reach_of
from operations.audit.recheck import CopySuspect, Recheck
from operations.audit.report import Report
from operations.audit.spool import LetterLine, Spool
from operations.audit.statement import Statement, StatementReader
from operations.audit.temporal import TemporalBook
from recharge import record
from recharge.sending import KeyRules
from recharge.settings import KafkaSettings

_TOLD_EVERY = 1000

Progress = Callable[[str, int, int | None], None]
"""Told what is being read, how much of it was, and how much there is, where that is known."""


@dataclass(frozen=True, slots=True)
class Books:
    """Who is asked. Nothing is written to any of them."""

    kafka: KafkaSettings
    ledger: AuditReader
    client: Client


async def run(
    books: Books,
    *,
    statement: Statement | None = None,
    period: Period | None = None,
    keys: KeyRules | None = None,
    duplicates_are_allowed: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> Report:
    """Compare the topic, the group's offsets, the ledger, Temporal's workflows and the statement, and tell every promise that is broken.

    Args:
        books: who is asked.
        statement: the provider's; without it no charge is compared.
        period: the records that are looked at; all of them where it is left out.
        keys: the provider's promise to ignore a repetition under the same key, where it makes one.
        duplicates_are_allowed: the service is told to carry out a request as often as it comes.
        progress: told how far it is.

    Raises:
        LedgerError, KafkaProblem, RPCError: one of the books gives no answer.
        StatementProblem: the statement cannot be read; nothing was compared.
        OrderProblem: a book has a position twice.
    """
    began_s = time.monotonic()
    source, topic = books.kafka.source, books.kafka.topic
    await books.ledger.check_schema()
    terms = Terms(
        source,
        topic,
        began_at=await books.ledger.now(),
        keys=keys,
        has_statement=statement is not None,
        statement_until=None if statement is None else statement.until,
        period=period or Period(),
        duplicates_are_allowed=duplicates_are_allowed,
    )
    report = Report(source, topic, terms.period, None if statement is None else statement.name)
    with Spool() as spool:
        if statement is not None:
            _load(statement, spool, report)
        audit = _Audit(books, terms, spool, report, progress)
        await audit.run()
    report.took_s = time.monotonic() - began_s
    return report


def _load(statement: Statement, spool: Spool, report: Report) -> None:
    def stray(reference: str, line: int) -> None:
        told = f"the statement has a charge of it (line {line}), and it names no record of the topic"
        report.add(Violation(Kind.CHARGE_WITHOUT_ROW, reference, told))

    reader = StatementReader(statement, report.source, report.topic, stray)
    spool.add_charges(reader.charges())
    report.counts["foreign_charges"] = reader.foreign
    repeated = spool.repeated_line()
    if repeated is not None:
        raise reader.problem(
            f"it repeats line {repeated[0]}, so it is not known whether one charge or two are meant", repeated[1]
        )


class _Audit:
    def __init__(self, books: Books, terms: Terms, spool: Spool, report: Report, progress: Progress) -> None:
        self._books = books
        self._terms = terms
        self._spool = spool
        self._report = report
        self._progress = progress
        self._temporal = TemporalBook(books.client, terms.source, terms.topic)
        self._reach = Reach()
        self._recheck = Recheck(books.ledger, self._temporal, terms)
        self._done = 0

    async def run(self) -> None:
        source, topic = self._terms.source, self._terms.topic
        async with Cluster(self._books.kafka) as cluster:
            committed = {
                number: offset
                for number, (offset, _) in (await cluster.committed(await cluster.leaders(topic))).items()
            }
            is_compacted = "compact" in await cluster.topic_setting("cleanup.policy")
        async with TopicScan(self._books.kafka, topic) as scan:
            letters_are_whole = await self._read_letters()
            begins = await self._temporal.first_offsets()
            accepted = await self._books.ledger.accepted_gaps(source, topic)
            known = await self._books.ledger.partitions(source, topic)
            async with Cluster(self._books.kafka) as cluster:
                self._reach = await reach_of(self._terms, cluster, self._books.ledger, scan.spans)
            await self._list_workflows()
            total = sum(
                max(0, span.end - max(span.first, self._reach.first(number))) for number, span in scan.spans.items()
            )
            for number in sorted({*scan.spans, *known, *self._spool.partitions()}):
                span = scan.spans.get(number)
                facts = PartitionFacts(
                    number,
                    committed.get(number),
                    0 if span is None else span.first,
                    0 if span is None else span.end,
                    begin=begins.get(number, 0),
                    reach=self._reach.first(number),
                    accepted=[range(first, last + 1) for partition, first, last in accepted if partition == number],
                    deleted=scan.deleted.setdefault(number, []),
                    letters_are_whole=letters_are_whole,
                    gaps_are_proof=not is_compacted,
                )
                records = _logged(scan, number, self._reach.first(number)) if span is not None else _nothing()
                await self._partition(facts, records, total)
        self._report.counts["partitions"] = len(scan.spans)
        async for workflow_id in self._books.ledger.attempts_without_row(source, topic, since=self._reach.moment):
            self._report.add(
                Violation(Kind.ATTEMPT_WITHOUT_ROW, workflow_id, "it has an attempt in the ledger and no row")
            )
        if self._reach.moment is None:
            # A claim has no time by which those of a period could be found.
            async for workflow_id in self._books.ledger.claims_without_row(source, topic):
                self._report.add(
                    Violation(
                        Kind.CLAIM_WITHOUT_ROW, workflow_id, "it has a claim to a request in the ledger and no row"
                    )
                )
        await self._settle()
        self._report.counts["read_again"] = self._recheck.count

    async def _list_workflows(self) -> None:
        count = 0
        async for page in self._temporal.runs(self._reach.moment):
            count += self._spool.add_runs(page)
            self._progress("workflows", count, None)

    async def _read_letters(self) -> bool:
        """Read the dead letters of our source and topic; whether every one that was written is still there and could be read."""
        kafka = self._books.kafka
        count = 0
        is_whole = True
        batch: list[LetterLine] = []
        async with TopicScan(kafka, kafka.dead_letters) as scan:
            for number in scan.spans:
                async for letter in scan.records(number):
                    if isinstance(letter, UnreadableRecord):
                        is_whole = False
                        continue
                    line = letter_line(letter.headers, self._terms)
                    batch += [] if line is None else [line]
                    if len(batch) == _TOLD_EVERY:
                        count += self._spool.add_letters(batch)
                        self._progress("dead letters", count, None)
                        batch.clear()
            self._spool.add_letters(batch)
            self._spool.index_letters()
            return is_whole and all(span.first == 0 for span in scan.spans.values()) and not scan.deleted

    async def _partition(self, facts: PartitionFacts, records: AsyncIterator[LoggedRecord], total: int) -> None:
        audit = PartitionAudit(self._terms, facts)
        self._take(audit.begin())
        rows = self._rows(facts.number)
        charges, workflows = self._spool.charges(facts.number), self._spool.workflows(facts.number)
        letters = self._spool.letters(facts.number)
        async for case in side_by_side(records, rows, charges, workflows, letters):
            self._take(audit.look(case))
            self._done += 1
            if self._done % _TOLD_EVERY == 0:
                self._progress("records", self._done, max(total, self._done))
            if self._recheck.is_full:
                await self._settle()
        self._take(audit.end())
        self._report.counts.update(audit.counts)
        for first, offsets in self._spool.copies(facts.number):
            everyone = family(first, offsets, facts.number, self._terms)
            if len(everyone) > 1:
                self._recheck.add(CopySuspect(facts.number, first, everyone))
            if self._recheck.is_full:
                await self._settle()

    async def _rows(self, partition: int) -> AsyncIterator[AuditedRow]:
        """The rows of the period, and before them those that may count for its order."""
        ledger, source, topic = self._books.ledger, self._terms.source, self._terms.topic
        if self._reach.moment is not None:
            before = self._reach.before(partition)
            async for row in ledger.rows_open_at(source, topic, partition, before, self._reach.moment):
                yield row
        async for row in ledger.rows(source, topic, partition, first=self._reach.first(partition)):
            yield row

    def _take(self, findings: Iterator[Finding]) -> None:
        for finding in findings:
            match finding:
                case OrderSuspect() | WorkflowSuspect() | ChargeSuspect():
                    self._recheck.add(finding)
                case SentCopy():
                    self._spool.add_copy(finding.partition, finding.first, finding.offset)
                case Violation() | Note():
                    self._report.add(finding)
                case _:
                    assert_never(finding)

    async def _settle(self) -> None:
        for finding in await self._recheck.settle():
            self._report.add(finding)


async def _logged(scan: TopicScan, partition: int, first: int) -> AsyncIterator[LoggedRecord]:
    async for each in scan.records(partition, since=first):
        if isinstance(each, UnreadableRecord):
            yield LoggedRecord.broken(each.offset, each.why)
            continue
        fingerprint = record.fingerprint(each.key, each.value, each.timestamp_ms)
        yield LoggedRecord(each.offset, fingerprint, each.timestamp_ms)


async def _nothing() -> AsyncIterator[LoggedRecord]:
    """The log of a partition that the topic does not have."""
    none: tuple[LoggedRecord, ...] = ()
    for each in none:
        yield each
