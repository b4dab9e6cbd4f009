"""What the demo proves: the provider's own count beside the ledger and Kafka's committed offset."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from devstack.simulator.client import Charge, Post
from devstack.site import Site
from devstack.stack import Devstack


@dataclass(frozen=True, slots=True)
class RecordEvidence:
    """One record from every side."""

    workflow_id: str
    posts: list[Post]
    charges: list[Charge]
    state: str | None
    amount: Decimal | None
    attempts: str
    final_at: datetime | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All records, and how far the topic is committed."""

    records: list[RecordEvidence]
    committed: int | None
    end: int


async def gather(stack: Devstack, site: Site, workflow_ids: list[str]) -> Evidence:
    """Ask the provider, the ledger and Kafka."""
    records = [await _one(stack, site, workflow_id) for workflow_id in workflow_ids]
    committed = await stack.kafka.committed(site.group, site.topic)
    return Evidence(records, committed.get(0), (await stack.kafka.end_offsets(site.topic))[0])


async def _one(stack: Devstack, site: Site, workflow_id: str) -> RecordEvidence:
    database = site.names.database
    rows = await stack.mysql.execute(
        f"SELECT state, amount, final_at FROM {database}.recharges WHERE workflow_id = %s",  # noqa: S608  # the stack's own name
        [workflow_id],
    )
    attempts = await stack.mysql.execute(
        f"SELECT number, outcome, verdict FROM {database}.recharge_attempts WHERE workflow_id = %s ORDER BY number",  # noqa: S608
        [workflow_id],
    )
    client = stack.simulator.client
    state, amount, final_at = rows[0] if rows else (None, None, None)
    return RecordEvidence(
        workflow_id,
        [post for post in await client.posts(workflow_id) if post.reference == workflow_id],
        [charge for charge in await client.charges(workflow_id) if charge.reference == workflow_id],
        state,
        amount,
        ", ".join(f"{outcome or 'open'}{f', then {verdict}' if verdict else ''}" for _, outcome, verdict in attempts),
        final_at,
    )


def is_in_order(evidence: Evidence) -> bool:
    """Each record's first POST came after the one before it was final: seen by the order of POSTs and of final states."""
    posts = [post.at for record in evidence.records for post in record.posts]
    finals = [record.final_at for record in evidence.records]
    return posts == sorted(posts) and None not in finals and finals == sorted(finals)  # type: ignore[type-var]  # no None is left


def is_met(evidence: Evidence) -> bool:
    """Every record succeeded, was charged once for its amount, in order, and everything is committed."""
    return (
        all(
            record.state == "succeeded" and len(record.charges) == 1 and record.charges[0].amount == record.amount
            for record in evidence.records
        )
        and is_in_order(evidence)
        and evidence.committed == evidence.end
    )


def _amount(amount: Decimal) -> str:
    """The amount with two decimals, or with as many more as it needs."""
    return f"{amount:.2f}" if amount == amount.quantize(Decimal("0.01")) else f"{amount.normalize():f}"


def show(console: Console, evidence: Evidence) -> None:
    """Print the table, the statement beside the ledger, and the verdict in one line."""
    table = Table(title="\nwhat the provider received and did, beside the ledger", title_justify="left")
    for column in ("record", "POSTs", "charges", "statement", "ledger", "attempts"):
        table.add_column(column)
    for number, record in enumerate(evidence.records, start=1):
        statement = ", ".join(charge.amount_text for charge in record.charges) or "—"
        amount = "" if record.amount is None else f" {_amount(record.amount)}"
        ledger = f"{record.state or 'no row'}{amount}"
        table.add_row(str(number), str(len(record.posts)), str(len(record.charges)), statement, ledger, record.attempts)
    console.print(table)
    charges = sum(len(record.charges) for record in evidence.records)
    twice = sum(len(record.charges) > 1 for record in evidence.records)
    order = "in order" if is_in_order(evidence) else "OUT OF ORDER"
    committed = (
        "all committed" if evidence.committed == evidence.end else f"committed {evidence.committed} of {evidence.end}"
    )
    met = is_met(evidence)
    line = f"{len(evidence.records)} records, {charges} charges, {twice} twice, {order}, {committed}"
    console.print(f"\n[bold {'green' if met else 'red'}]{'✓' if met else '✗'} {line}[/]")
