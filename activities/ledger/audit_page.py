"""One page of the ledger as the audit reads it: which columns, how they travel, and what they are afterwards."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func, literal, literal_column, select

from activities.ledger.audited import AuditedAction, AuditedAttempt, AuditedLookup, AuditedRow
from activities.ledger.connection import LedgerConnection
from activities.ledger.errors import LedgerContradiction
from activities.ledger.tables import attempts, lookups, operator_actions, recharges, request_claims
from recharge import limits
from recharge.contract import Ordering
from recharge.outcome import Outcome, State, Verdict

_KEY_DIGEST_CHARS = 32
_DECODER = json.JSONDecoder(parse_float=Decimal)

# The same text as `claims_of` in obstacles.py: an integration test holds the two together.
_REQUEST = func.concat_ws(
    literal("\0"),
    literal("request"),
    recharges.c.request_id,
    func.trim(literal_column("LEADING '+' FROM account_donor")),
    func.trim(literal_column("LEADING '+' FROM account_receiver")),
)
_REQUEST_OF = (
    select(request_claims.c.workflow_id)
    .where(recharges.c.request_id.is_not(None), request_claims.c.claim == func.sha2(_REQUEST, 256))
    .correlate(recharges)
    .scalar_subquery()
)
_KEY_DIGEST = func.left(func.sha2(recharges.c.raw_key, 256), _KEY_DIGEST_CHARS)
_COLUMNS = [
    "partition_id",
    "record_offset",
    "workflow_id",
    "state",
    "fingerprint",
    "ordering",
    "record_timestamp_ms",
    "created_at",
    "final_at",
    "amount",
    "resolved_by",
    "account_donor",
    "account_receiver",
    "size_bytes",
    "redacted_at",
]
_ROW = (
    *(recharges.c[name] for name in _COLUMNS),
    case((recharges.c.ordering == Ordering.KEY, _KEY_DIGEST)),
    recharges.c.provider_reference,
    recharges.c.redrive_of,
    _REQUEST_OF,
)
_ATTEMPT = [
    "number",
    "opened_at",
    "closed_at",
    "outcome",
    "verdict",
    "verdict_by",
    "verdict_at",
    "late_outcome",
    "late_at",
]
_LOOKUP = ["attempt_number", "answer"]
_ACTION = ["action", "decided_by", "note", "refused_because"]


async def read_page(connection: LedgerConnection, which: ColumnElement[bool], *, count_max: int) -> list[AuditedRow]:
    """The first rows that are wanted, all of one partition, in the order of the offsets, each with all that bears on it.

    Raises:
        LedgerContradiction: a word stands there that this release does not know.
    """
    query = select(recharges.c.record_offset, _packed(*_ROW)).where(which).order_by(recharges.c.record_offset)
    rows = (await connection.execute(query.limit(count_max))).all()
    if not rows:
        return []
    page = which & recharges.c.record_offset.between(rows[0][0], rows[-1][0])
    attempts_of = await _children(connection, attempts, _ATTEMPT, page)
    lookups_of = await _children(connection, lookups, _LOOKUP, page)
    actions_of = await _children(connection, operator_actions, _ACTION, page)
    try:
        return [
            _row(
                _unpacked(text),
                tuple(_attempt(each) for each in attempts_of.get(offset, ())),
                tuple(AuditedLookup(*each) for each in lookups_of.get(offset, ())),
                tuple(_action(*each) for each in actions_of.get(offset, ())),
            )
            for offset, text in rows
        ]
    except ValueError as error:  # an enumeration's
        raise LedgerContradiction(f"the ledger holds a word that this release does not know: {error}") from error


def _packed(*columns: ColumnElement[Any]) -> ColumnElement[str]:
    """Columns as one: the driver takes rows apart in Python, column by column, and that was half of an audit's time."""
    return func.json_array(*columns)


def _unpacked(packed: str) -> list[Any]:
    """The columns again. Amounts are exact decimals, and times still texts."""
    fields: list[Any] = _DECODER.decode(packed)
    return fields


async def _children(
    connection: LedgerConnection, table: Table, columns: list[str], page: ColumnElement[bool]
) -> dict[int, list[list[Any]]]:
    """The rows of another table that belong to the records of a page, oldest first, by offset."""
    query = (
        select(recharges.c.record_offset, _packed(*(table.c[name] for name in columns)))
        .join(table, table.c.workflow_id == recharges.c.workflow_id)
        .where(page)
        .order_by(table.c.id)
    )
    found: dict[int, list[list[Any]]] = {}
    for offset, text in (await connection.execute(query)).all():
        found.setdefault(offset, []).append(_unpacked(text))
    return found


def _row(
    fields: list[Any],
    attempts_: tuple[AuditedAttempt, ...],
    lookups_: tuple[AuditedLookup, ...],
    actions: tuple[AuditedAction, ...],
) -> AuditedRow:
    partition, offset, workflow_id, state, fingerprint, ordering, timestamp_ms, *rest = fields
    created_at, final_at, amount, resolved_by, donor, receiver, size_bytes, redacted_at, key_digest, *outside = rest
    provider_reference, redrive_of, request_of = outside
    return AuditedRow(
        partition=partition,
        offset=offset,
        workflow_id=workflow_id,
        state=State(state),
        fingerprint=fingerprint,
        ordering=Ordering(ordering),
        timestamp_ms=timestamp_ms,
        created_at=datetime.fromisoformat(created_at),
        final_at=_moment(final_at),
        amount=amount,
        resolved_by=resolved_by,
        donor=donor,
        receiver=receiver,
        key_digest=key_digest,
        provider_reference=provider_reference,
        redrive_of=redrive_of,
        request_of=request_of,
        key_is_cut=size_bytes > limits.RECORD_BYTES_MAX or redacted_at is not None,
        attempts=tuple(sorted(attempts_, key=lambda attempt: attempt.number)),
        lookups=lookups_,
        actions=actions,
    )


def _attempt(fields: list[Any]) -> AuditedAttempt:
    number, opened_at, closed_at, outcome, verdict, verdict_by, verdict_at, late_outcome, late_at = fields
    return AuditedAttempt(
        number=number,
        opened_at=datetime.fromisoformat(opened_at),
        closed_at=_moment(closed_at),
        outcome=_outcome(outcome),
        verdict=None if verdict is None else Verdict(verdict),
        verdict_by=verdict_by,
        verdict_at=_moment(verdict_at),
        late_outcome=_outcome(late_outcome),
        late_at=_moment(late_at),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _outcome(value: str | None) -> Outcome | None:
    return None if value is None else Outcome(value)


def _action(action: str, by: str, note: str, refused_because: str | None) -> AuditedAction:
    return AuditedAction(action, by, note, refused=refused_because is not None)
