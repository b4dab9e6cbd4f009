"""Was a request that two records make carried out for one of them alone? Pure."""

from collections.abc import Iterator

from activities.ledger import AuditedRow
from operations.audit.attempts import Problem
from operations.audit.findings import Kind
from recharge.outcome import Action, State

_FREED = frozenset({State.REJECTED, State.INVALID, State.SKIPPED})
"""A record that ended so has given its claim up, or was never sent."""
_BY_A_PERSON = frozenset({Action.NOT_CHARGED, Action.CHARGED})


def check_claim(row: AuditedRow, *, duplicates_are_allowed: bool) -> Iterator[Problem]:
    """Whether a record was sent although its request belongs to another one.

    A person may release a duplicate that was held. Where the service is told to allow duplicates they have no claims.
    """
    if duplicates_are_allowed or row.state in _FREED or not row.attempts:
        return
    if row.request_of is None or row.request_of == row.workflow_id:
        return
    if any(not one.refused and one.action in _BY_A_PERSON for one in row.actions):
        return
    yield Kind.REQUEST_SENT_TWICE, f"it was sent, and its requestId and numbers belong to {row.request_of}"
