"""Was a record that `recharge redrive` produced anew carried out once, by one of its copies or by itself? Pure.

The copies share a claim, which keeps the second one from being sent. Here nothing rests on that claim: the attempts are compared.
"""

from collections.abc import Iterator, Sequence

from activities.ledger import AuditedAttempt, AuditedRow
from operations.audit.facts import Terms
from operations.audit.findings import Kind, Violation
from recharge.contract import THE_SERVICE
from recharge.late_evidence import is_late_charge
from recharge.outcome import Action
from recharge.sending import AttemptFacts, frees_its_claim


def may_have_been_carried_out(row: AuditedRow) -> bool:
    """Whether one of its attempts may have carried the record out: it did, or it is not known that it did not."""
    attempts = [_facts(attempt) for attempt in row.attempts]
    return not frees_its_claim(row.state, attempts) and not all(attempt.did_nothing for attempt in attempts)


def check_copies(first: str, rows: Sequence[AuditedRow]) -> Iterator[Violation]:
    """What is wrong among a record and its copies: of all of them one may be carried out, but for those that a person released."""
    sent = [row for row in rows if may_have_been_carried_out(row) and not _was_released(row)]
    for row in sent[1:]:
        told = f"of {first} and its copies one may be carried out; it and {sent[0].workflow_id} may both have been"
        yield Violation(Kind.COPY_SENT_TWICE, row.workflow_id, told)


def family(first: str, copies: Sequence[int], partition: int, terms: Terms) -> tuple[int, ...]:
    """The offsets of a record and its copies. All stand in one partition; where the record itself does not, it is left out."""
    before, _, offset = first.rpartition(":")
    is_here = offset.isdecimal() and terms.workflow_id(partition, int(offset)) == f"{before}:{int(offset)}"
    return tuple(sorted({*copies, int(offset)} if is_here else copies))


def _facts(attempt: AuditedAttempt) -> AttemptFacts:
    late_charge = is_late_charge(attempt.late_outcome)
    return AttemptFacts(attempt.number, attempt.outcome, attempt.verdict, late_charge=late_charge)


def _was_released(row: AuditedRow) -> bool:
    """Whether the service held it, since another record does the same, and a person had it sent all the same."""
    standing = [one for one in row.actions if not one.refused]
    held = next(
        (n for n, one in enumerate(standing) if one.action == Action.HOLD and one.by == THE_SERVICE), len(standing)
    )
    return any(one.action == Action.NOT_CHARGED for one in standing[held:])
