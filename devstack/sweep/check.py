"""Whether records came to the right end, by the ledger, the provider's statement, the dead letters and the committed offset."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from devstack.site import Site
from devstack.stack import Devstack
from devstack.sweep.scenarios import Expected


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger says about one record."""

    state: str
    amount: Decimal | None
    resolved_by: str | None
    attempts: int
    open_attempts: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known about the records of a site's one partition, by offset. `posts` are in the order in which they arrived."""

    rows: dict[int, list[Row]]
    charges: dict[int, list[Decimal]]
    posts: list[int]
    letters: Counter[int]
    committed: int

    def told(self, offset: int) -> str:
        """One record's end in a few words."""
        rows = self.rows.get(offset, [])
        ends = [f"{row.state} by {row.resolved_by}, attempts: {row.attempts}" for row in rows] or ["no row"]
        return f"{'; '.join(ends)}, POSTs: {self.posts.count(offset)}, charges: {len(self.charges.get(offset, []))}"


async def find(stack: Devstack, site: Site) -> Findings:
    """Ask everybody who knows something about the records of a site."""
    prefix = f"{site.source}:{site.topic}:0:"
    charges: dict[int, list[Decimal]] = {}
    for line in csv.DictReader(io.StringIO(await stack.simulator.client.statement(prefix))):
        charges.setdefault(_offset(line["reference"]), []).append(Decimal(line["amount"]))
    letters = await stack.kafka.read_all(f"{site.topic}.dlt")
    return Findings(
        rows=await _rows(stack, site),
        charges=charges,
        posts=[_offset(post.reference) for post in await stack.simulator.client.posts(prefix)],
        letters=Counter(_offset((dict(letter.headers)["recharge-workflow-id"] or b"").decode()) for letter in letters),
        committed=(await stack.kafka.committed(site.group, site.topic)).get(0, 0),
    )


def problems(findings: Findings, expected: Mapping[int, Expected]) -> list[str]:
    """Every promise that was broken for these records, each in one line that begins with the offset; none where all were kept.

    A POST alone breaks none: one that is sent again after the provider said 'not found' is right. What counts is the statement.
    """
    broken: list[str] = []
    for offset, end in expected.items():
        rows = findings.rows.get(offset, [])
        if [row.state for row in rows] != [end.state]:
            broken.append(f"{offset}: the ledger says {[row.state for row in rows]}, not {end.state}")
        if any(row.open_attempts for row in rows):
            broken.append(f"{offset}: final with an attempt that is still open")
        charges = findings.charges.get(offset, [])
        if len(charges) != end.charges:
            broken.append(f"{offset}: charged {len(charges)} times, not {end.charges}")
        if any(charge != row.amount for charge in charges for row in rows):
            broken.append(f"{offset}: the statement's amount {charges} is not the ledger's")
        if bool(findings.letters[offset]) is not end.has_letter:
            broken.append(f"{offset}: {findings.letters[offset]} dead letters")
        if findings.committed <= offset:
            broken.append(f"{offset}: not committed")
    in_order = [offset for offset in findings.posts if offset in expected]
    if in_order != sorted(in_order):
        broken.append(f"{min(expected)}: sent in the order {in_order}")
    return broken


async def _rows(stack: Devstack, site: Site) -> dict[int, list[Row]]:
    database = site.names.database
    rows: dict[int, list[Row]] = {}
    for offset, *columns in await stack.mysql.execute(
        "SELECT r.record_offset, r.state, r.amount, r.resolved_by, COUNT(a.id), "  # noqa: S608  # the stack's own names
        f"COUNT(a.id) - COUNT(a.outcome) FROM {database}.recharges r LEFT JOIN {database}.recharge_attempts a "
        "ON a.workflow_id = r.workflow_id WHERE r.source = %s AND r.topic = %s GROUP BY r.id",
        (site.source, site.topic),
    ):
        rows.setdefault(offset, []).append(Row(*columns))
    return rows


def _offset(workflow_id: str) -> int:
    return int(workflow_id.rpartition(":")[2])
