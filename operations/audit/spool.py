"""Charges, workflows and dead letters, which come in no order, put into that of the positions on disk; and copies beside each other.

It is a private file that nobody else sees. SQLite keeps a few megabytes of it in memory whatever its size, and removes the
file with the process.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import NamedTuple, Self

from ingest.executions import is_open
from operations.audit.facts import Charges, Letters, Workflow

_CACHE_KIB = 4 * 1024
_BATCH_ROWS = 5000

_TABLES = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{_CACHE_KIB};
    CREATE TABLE charges (
        partition_id INTEGER NOT NULL,
        record_offset INTEGER NOT NULL,
        is_reversed INTEGER NOT NULL,
        amount TEXT NOT NULL,
        rest TEXT NOT NULL,
        line INTEGER NOT NULL,
        provider_reference TEXT NOT NULL
    );
    CREATE TABLE letters (
        partition_id INTEGER NOT NULL,
        record_offset INTEGER NOT NULL,
        state TEXT NOT NULL,
        fingerprint TEXT NOT NULL
    );
    CREATE TABLE copies (
        partition_id INTEGER NOT NULL,
        first TEXT NOT NULL,
        record_offset INTEGER NOT NULL,
        PRIMARY KEY (partition_id, first, record_offset)
    ) WITHOUT ROWID;
    CREATE TABLE workflows (
        partition_id INTEGER NOT NULL,
        record_offset INTEGER NOT NULL,
        status TEXT NOT NULL,
        started_ns INTEGER NOT NULL,
        state TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        PRIMARY KEY (partition_id, record_offset)
    ) WITHOUT ROWID;
"""  # a journal would only serve a file that outlives the process


class ChargeLine(NamedTuple):
    """One charge of ours, as a line of the statement has it."""

    partition: int
    offset: int
    is_reversed: int
    amount: str
    """The exact decimal."""
    rest: str
    """The other fields, which only tell one line from another."""
    line: int
    provider_reference: str = ""


class LetterLine(NamedTuple):
    """One dead letter, as its headers tell it."""

    partition: int
    offset: int
    state: str
    fingerprint: str


class RunLine(NamedTuple):
    """One run of a record's workflow, as Temporal's list has it."""

    partition: int
    offset: int
    status: str
    started_ns: int
    """When it was started, in nanoseconds since 1970."""
    state: str = ""
    """Its search attribute RechargeStatus."""
    fingerprint: str = ""
    """Of its memo."""


class Spool:
    """The sorted files of one audit."""

    def __init__(self) -> None:
        # An empty name is SQLite's word for a temporary file of its own.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add_charges(self, lines: Iterable[ChargeLine]) -> int:
        """Add the statement's lines, and return how many there are."""
        count = self._add("INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?, ?)", lines)
        self._database.execute("CREATE INDEX charges_in_order ON charges (partition_id, record_offset, line)")
        return count

    def add_runs(self, lines: Iterable[RunLine]) -> int:
        """Add runs; of one record the newest stays."""
        return self._add(
            "INSERT INTO workflows VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, "
            "started_ns = excluded.started_ns, state = excluded.state, fingerprint = excluded.fingerprint "
            "WHERE excluded.started_ns >= workflows.started_ns",
            lines,
        )

    def add_letters(self, lines: Iterable[LetterLine]) -> int:
        """Add dead letters, and return how many there are."""
        return self._add("INSERT INTO letters VALUES (?, ?, ?, ?)", lines)

    def index_letters(self) -> None:
        """Sort the dead letters, once all are there."""
        self._database.execute("CREATE INDEX letters_in_order ON letters (partition_id, record_offset)")

    def add_copy(self, partition: int, first: str, offset: int) -> None:
        """Add one copy of a record, where it may have been carried out."""
        self._database.execute("INSERT INTO copies VALUES (?, ?, ?)", (partition, first, offset))

    def copies(self, partition: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The records that the copies of a partition repeat, each with the offsets of its copies, in their order."""
        query = "SELECT first, record_offset FROM copies WHERE partition_id = ? ORDER BY first, record_offset"
        for first, copies in groupby(self._database.execute(query, [partition]), key=itemgetter(0)):
            yield first, tuple(offset for _, offset in copies)

    def _add(self, statement: str, lines: Iterable[tuple[object, ...]]) -> int:
        count = 0
        batch: list[tuple[object, ...]] = []
        for line in lines:
            batch.append(line)
            if len(batch) == _BATCH_ROWS:
                count += self._insert(statement, batch)
                batch.clear()
        return count + self._insert(statement, batch)

    def _insert(self, statement: str, batch: list[tuple[object, ...]]) -> int:
        self._database.execute("BEGIN")
        self._database.executemany(statement, batch)
        self._database.execute("COMMIT")
        return len(batch)

    def repeated_line(self) -> tuple[int, int] | None:
        """The numbers of two lines of the statement that are the same in every field; None where there are none."""
        # Only references with several lines are looked at, which the index tells, so that nothing has to be sorted once more.
        query = """
            SELECT MIN(line), MAX(line) FROM charges
            JOIN (SELECT partition_id, record_offset FROM charges GROUP BY partition_id, record_offset HAVING COUNT(*) > 1)
            USING (partition_id, record_offset)
            GROUP BY partition_id, record_offset, is_reversed, amount, rest HAVING COUNT(*) > 1 ORDER BY MIN(line) LIMIT 1
        """
        found: tuple[int, int] | None = self._database.execute(query).fetchone()
        return found

    def partitions(self) -> list[int]:
        """Every partition of which there is a charge, a workflow or a dead letter."""
        query = """
            SELECT partition_id FROM charges UNION SELECT partition_id FROM workflows UNION SELECT partition_id FROM letters
            ORDER BY partition_id
        """
        return [partition for (partition,) in self._database.execute(query)]

    def charges(self, partition: int) -> Iterator[Charges]:
        """What the statement says about each record of a partition, in the order of the offsets."""
        query = """
            SELECT record_offset, SUM(1 - is_reversed), SUM(is_reversed), MIN(CASE WHEN NOT is_reversed THEN amount END),
                MIN(line), MAX(line), MIN(CASE WHEN NOT is_reversed THEN provider_reference END)
            FROM charges WHERE partition_id = ? GROUP BY record_offset ORDER BY record_offset
        """
        for offset, charged, reversed_, amount, first, last, theirs in self._database.execute(query, [partition]):
            exact = None if amount is None else Decimal(amount)
            yield Charges(offset, charged, reversed_, exact, first, last, theirs or "")

    def letters(self, partition: int) -> Iterator[Letters]:
        """The dead letters of each record of a partition, in the order of the offsets."""
        query = """
            SELECT record_offset, COUNT(*), MIN(state), MAX(state), MIN(fingerprint), MAX(fingerprint)
            FROM letters WHERE partition_id = ? GROUP BY record_offset ORDER BY record_offset
        """
        for offset, count, *ends in self._database.execute(query, [partition]):
            yield Letters(offset, count, frozenset(ends[:2]), frozenset(ends[2:]))

    def workflows(self, partition: int) -> Iterator[Workflow]:
        """The newest listed run of each record of a partition, in the order of the offsets."""
        query = """
            SELECT record_offset, status, state, fingerprint FROM workflows WHERE partition_id = ? ORDER BY record_offset
        """
        for offset, status, state, fingerprint in self._database.execute(query, [partition]):
            yield Workflow(offset, status, is_open(status), state, fingerprint)
