"""The usual way of a record, in two messages to MySQL and two commits: begun and opened, then answered and final.

Each message holds all statements of its step in the order of the long way (`ledger.py`), with the same locks. All that they answered is
looked at before the commit. Where any of it is not what it is for a record of which nothing is known yet, nothing is committed,
and the long way finds everything as it was. So nothing is decided here that would be decided otherwise there; it is only asked at once.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, select, update

from activities.ledger.batch import Answered, Batch, Unusual
from activities.ledger.closing import CLOSE_OPEN, closing_of
from activities.ledger.obstacles import CLAIM, TWIN, claims_of, stale
from activities.ledger.reading import KNOWN, NEWEST_DECISION_ID
from activities.ledger.rows import (
    BEGUN_COLUMNS,
    INSERT_ATTEMPT,
    INSERT_OPEN,
    NOW,
    cut_reason,
    new_row,
    position_of,
    timeout_us,
)
from activities.ledger.tables import attempts, operator_actions, recharges
from activities.profile import Answer
from recharge.contract import Finding, RecordInput
from recharge.outcome import FINAL_STATES, PREDECESSORS, State
from recharge.sending import AttemptFacts, Facts, judge


@dataclass(frozen=True, slots=True)
class Opened:
    """An attempt that stands in the ledger, committed: the one permission to send."""

    number: int
    token: str
    after_unknown: bool
    """An attempt before it may have reached the provider, so a 4xx may speak of the repetition and not of the recharge."""


_FIRST = 1
"""The number of a record's first attempt."""

_LOOK = select(
    NEWEST_DECISION_ID.scalar_subquery().label("decided"), TWIN.scalar_subquery().label("twin"), NOW.label("now")
)
_ATTEMPT_COLUMNS = ("workflow_id", "number", "token")
_OPEN = Batch(INSERT_OPEN, _LOOK, INSERT_ATTEMPT, written=(BEGUN_COLUMNS, _ATTEMPT_COLUMNS))
_OPEN_CLAIMING = Batch(
    INSERT_OPEN, _LOOK, CLAIM, INSERT_ATTEMPT, written=(BEGUN_COLUMNS, ("claim", "workflow_id"), _ATTEMPT_COLUMNS)
)


def open_usually(connection: Connection, record: RecordInput, token: str, timeout_s: float) -> Opened:
    """Begin a record that nobody knows, and open its first attempt.

    Raises Unusual where there is a row, a claim or a decision already, or anything that keeps the record from being sent.
    """
    claims = claims_of(record)
    if len(claims) > 1:
        raise Unusual("it claims more than its request")
    values = new_row(record, State.SENDING) | {
        "claim": "".join(claims),
        "decided_id": record.workflow_id,
        "same_digest": record.content_digest,
        "own_source": record.source,
        "number": _FIRST,
        "token": token,
        "timeout_us": timeout_us(timeout_s),
    }
    answers = (_OPEN_CLAIMING if claims else _OPEN).run(connection, values)
    if not _is_all_new(record, answers[0], answers[1], answers[-1]):
        raise Unusual("something is known about it, or keeps it from being sent")
    return Opened(_FIRST, token, after_unknown=False)


def _is_all_new(record: RecordInput, row: Answered, look: Answered, attempt: Answered) -> bool:
    """Tell whether the row and its attempt are new, nobody decided, the content stands nowhere else, and it is not too old."""
    (known,) = look.rows
    is_new = row.rowcount == 1 and attempt.rowcount == 1 and known["decided"] is None and known["twin"] is None
    return is_new and stale(record, known["now"]) is None


_END = (
    update(recharges)
    .where(recharges.c.workflow_id == bindparam("closed_id"), recharges.c.state == State.SENDING)
    .values(
        updated_at=NOW,
        final_at=NOW,
        **{
            name: bindparam(f"end_{name}")
            for name in ("state", "reason", "provider_reference", "status", "resolved_by")
        },
    )
)
# The same rows and locks as KNOWN's, with no more of them than has to be looked at: each column costs, and there are thirty.
_KNOWN = KNOWN.with_only_columns(
    recharges.c.fingerprint,
    attempts.c.number.label("attempt_number"),
    attempts.c.token.label("attempt_token"),
    operator_actions.c.id.label("decided_id"),
    maintain_column_froms=True,
)
_ANSWER = Batch(_KNOWN, CLOSE_OPEN, _END, written=(("outcome", "status", "error", "provider_reference"), ()))
if not all(State.SENDING in PREDECESSORS[state] for state in (State.SUCCEEDED, State.REJECTED)):
    raise AssertionError("the answer to a record's first attempt must be able to end it")


def leads_to(answer: Answer) -> Finding | None:
    """The end to which an answer leads a record of one attempt and no decision; None where it does not end it."""
    facts = AttemptFacts(_FIRST, answer.outcome, None, None, answer.status, answer.said, answer.provider_reference)
    finding = judge(Facts(State.SENDING, [facts]))
    return finding if finding.state in FINAL_STATES else None


def answer_usually(connection: Connection, record: RecordInput, token: str, answer: Answer, ending: Finding) -> Finding:
    """Close a record's first attempt and make the record final by it, where its row, this attempt and nothing else is known.

    Raises Unusual where the record is in another state, has another attempt or a decision, or the attempt was closed already.
    """
    end = {
        "end_state": ending.state,
        "end_reason": cut_reason(ending.reason),
        "end_provider_reference": ending.provider_reference,
        "end_status": ending.status,
        "end_resolved_by": ending.resolved_by,
    }
    values = position_of(record) | closing_of(record, _FIRST, token, answer) | end
    known, closed, ended = _ANSWER.run(connection, values)
    if closed.rowcount != 1 or ended.rowcount != 1 or not _is_all_that_is_known(record, token, known):
        raise Unusual("more is known about it than this open attempt")
    return replace(ending, is_recorded=True)


def _is_all_that_is_known(record: RecordInput, token: str, known: Answered) -> bool:
    """Tell whether the ledger has this record's row, this one attempt and no decision."""
    if len(known.rows) != 1:
        return False
    row = known.rows[0]
    is_mine = row["attempt_number"] == _FIRST and row["attempt_token"] == token
    return is_mine and row["fingerprint"] == record.fingerprint and row["decided_id"] is None
