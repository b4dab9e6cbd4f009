"""The audit of a period: it reads what may belong to it and no more, and misses nothing of it."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from temporalio.client import Client

from activities.ledger import AuditReader, auditing
from app.environment import AuditEnvironment, load
from devstack.stack import Devstack
from operations.audit import Books, Kind, Period, Statement, run
from operations.audit.statement import HEADER
from recharge import limits, record
from tests.conftest import SiteMaker
from tests.support.intake import Corner
from tests.support.records import value

RECORDS = 300
FIRST_AT = datetime(2026, 3, 1, tzinfo=UTC)
SINCE = 200
"""The number of the period's first record; there is one an hour."""
REACH = SINCE - int(limits.AUDIT_CLOCKS_S // 3600)
"""The first record that the ledger cannot tell from those of the period, by a second that a row takes to be begun."""
IN_LOG = 250
"""Those before it are no longer in the topic."""


def at(number: float) -> datetime:
    return FIRST_AT + timedelta(hours=number)


class Year:
    """A partition with a record an hour, each carried out at once."""

    def __init__(self, corner: Corner) -> None:
        self._corner = corner
        self._database = corner.site.names.database
        self.charges = [(number, "10.50") for number in range(RECORDS)]

    def workflow_id(self, number: int) -> str:
        return self._corner.workflow_id(0, number)

    async def write(self) -> None:
        stack, topic = self._corner.stack, self._corner.site.topic
        producer = AIOKafkaProducer(**stack.kafka.client_options(), acks="all")
        await producer.start()
        try:
            for number in range(RECORDS):
                at_ms = int(at(number).timestamp() * 1000)
                await producer.send(topic, value(), b"key", partition=0, timestamp_ms=at_ms)
        finally:
            await producer.stop()
        await self._corner.move_group({0: RECORDS})
        rows, attempts = zip(*map(self._row_and_attempt, range(RECORDS)), strict=True)
        await self.change(
            "INSERT INTO {0}.recharges (source, topic, partition_id, record_offset, workflow_id, state, fingerprint, content_digest, "
            "ordering, account_donor, amount, resolved_by, raw_key, size_bytes, record_timestamp_ms, begun, created_at, updated_at, "
            f"final_at) VALUES {', '.join(rows)}"
        )
        await self.change(
            "INSERT INTO {0}.recharge_attempts (workflow_id, number, token, opened_at, deadline_at, closed_at, outcome) "
            f"VALUES {', '.join(attempts)}"
        )

    def _row_and_attempt(self, number: int) -> tuple[str, str]:
        at_ms = int(at(number).timestamp() * 1000)
        fingerprint = record.fingerprint(b"key", value(), at_ms)
        begun_at, final_at = (f"{at(number) + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}" for seconds in (1, 3))
        source, topic, workflow_id = self._corner.site.source, self._corner.site.topic, self.workflow_id(number)
        row = (
            source,
            topic,
            0,
            number,
            workflow_id,
            "succeeded",
            fingerprint,
            f"{number:064}",
            "account",
            f"{number:010}",
            10.5,
        )
        # Python writes tuples of texts and numbers as MySQL reads them.
        return (
            str((*row, "answer", "key", 9, at_ms, 1, begun_at, final_at, final_at)),
            str((workflow_id, 1, f"{number:032}", begun_at, begun_at, begun_at, "charged")),
        )

    async def change(self, statement: str) -> None:
        await self._corner.stack.mysql.execute(statement.format(self._database))

    async def delete_from_topic(self, before: int) -> None:
        async with self._corner.kafka_admin() as admin:
            await admin.delete_records({TopicPartition(self._corner.site.topic, 0): RecordsToDelete(before)})

    def statement(self) -> Statement:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [
                HEADER,
                *(
                    (self.workflow_id(number), "", "charged", amount, "2026-03-01T00:00:00Z")
                    for number, amount in self.charges
                ),
            ]
        )
        return Statement("a statement", io.BytesIO(text.getvalue().encode()), datetime(2030, 1, 1))  # noqa: DTZ001


@asynccontextmanager
async def books(corner: Corner) -> AsyncIterator[Books]:
    settings = load(AuditEnvironment, corner.site.environment_of("audit"))
    ledger = AuditReader(settings.mysql.url.get_secret_value())
    try:
        yield Books(settings.kafka, ledger, corner.client)
    finally:
        await ledger.close()


@pytest.fixture
async def year(stack: Devstack, make_site: SiteMaker, client: Client) -> Year:
    made = Year(Corner(stack, await make_site("period"), client))
    await made.write()
    return made


async def test_only_what_may_belong_to_a_period_is_read_and_nothing_of_it_is_missed(year: Year) -> None:
    await year.delete_from_topic(IN_LOG)
    period = Period(at(SINCE))
    async with books(year._corner) as asked:
        clean = await run(asked, statement=year.statement(), period=period)
        assert (clean.violations, clean.notes) == ([], [])
        assert (clean.counts["rows"], clean.counts["records"]) == (RECORDS - SINCE, RECORDS - IN_LOG)
        assert clean.counts["outside_of_period"] == SINCE - REACH
        assert clean.counts["deleted_with_row"] == IN_LOG - SINCE

        # Of these, two are older than the period.
        await year.change(f"UPDATE {{0}}.recharges SET amount = 10.51 WHERE record_offset IN (100, {SINCE})")
        await year.change("DELETE FROM {0}.recharges WHERE record_offset IN (20, 230)")
        # The record of one lane was final only after that of the period had begun; the other was final within its day.
        for number, later in ((90, 240), (91, 92)):
            await year.change(
                f"UPDATE {{0}}.recharges SET account_donor = '5', final_at = '{at(later + 1):%Y-%m-%d %H:%M:%S}' "
                f"WHERE record_offset = {number}"
            )
        await year.change("UPDATE {0}.recharges SET account_donor = '5' WHERE record_offset = 240")
        found = await run(asked, statement=year.statement(), period=period)
        whole = await run(asked, statement=year.statement())
    expected = {
        (Kind.AMOUNT_DIFFERS, SINCE),
        *((Kind.CHARGE_WITHOUT_ROW, number) for number in (20, 230)),
        (Kind.OUT_OF_ORDER, 240),
        (Kind.ATTEMPT_WITHOUT_ROW, 230),
        (Kind.GONE_WITHOUT_ROW, 230),
    }
    assert {(each.kind, int(each.workflow_id.rpartition(":")[2])) for each in found.violations} == expected
    assert {(each.kind, int(each.workflow_id.rpartition(":")[2])) for each in whole.violations} == expected | {
        (Kind.AMOUNT_DIFFERS, 100),
        (Kind.ATTEMPT_WITHOUT_ROW, 20),
        (Kind.GONE_WITHOUT_ROW, 20),
        (Kind.OUT_OF_ORDER, 91),
    }


async def test_where_kafka_has_older_records_of_the_period_than_the_ledger_tells_it_is_believed(year: Year) -> None:
    """As where a topic was made again: its first offsets hold the newest records, and the ledger's rows there are old."""
    period = Period(at(2))
    await year.change("UPDATE {0}.recharges SET created_at = created_at - INTERVAL 100 DAY")
    async with books(year._corner) as asked:
        found = await run(asked, statement=year.statement(), period=period)
    assert (found.counts["rows"], found.counts["outside_of_period"], found.violations) == (RECORDS - 2, 0, [])


async def test_every_row_is_read_once_wherever_a_page_ends(year: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last page is full, and where a page is all there is."""
    where = year._corner.site.source, year._corner.site.topic
    async with books(year._corner) as asked:
        for page_rows in (7, RECORDS // 2, RECORDS - 1, RECORDS, RECORDS + 1):
            monkeypatch.setattr(auditing, "_PAGE_ROWS", page_rows)
            offsets = [row.offset async for row in asked.ledger.rows(*where, 0)]
            assert offsets == list(range(RECORDS)), page_rows
            assert [row.offset async for row in asked.ledger.rows(*where, 0, first=IN_LOG)] == offsets[IN_LOG:]
        assert [row.offset async for row in asked.ledger.rows(*where, 1)] == []
