"""Does the provider's statement agree with the row? Pure."""

from collections.abc import Iterator

from activities.ledger import AuditedRow
from operations.audit.attempts import Problem, carried_nothing_out
from operations.audit.facts import Charges, Terms
from operations.audit.findings import Kind
from operations.audit.proofs import newest_decision
from operations.telling import amount as told_amount
from recharge.outcome import FINAL_STATES, Action, State

_NOT_CARRIED_OUT = frozenset({State.REJECTED, State.INVALID, State.SKIPPED})


def check_charges(row: AuditedRow | None, charges: Charges | None, terms: Terms) -> Iterator[Problem]:
    """Everything that is wrong between one record's row and its charges. Without a statement nothing is."""
    if charges is not None and charges.charged:
        yield from _check_charged(row, charges)
    elif row is not None and row.state is State.SUCCEEDED and charges is None and _is_covered(row, terms):
        yield Kind.CHARGE_MISSING, f"it succeeded at {row.final_at} UTC, and the statement has no charge of it"


def _check_charged(row: AuditedRow | None, charges: Charges) -> Iterator[Problem]:
    if charges.charged > 1:
        where = f"lines {charges.first_line} to {charges.last_line}"
        yield Kind.CHARGED_TWICE, f"the statement has {charges.charged} charges of it ({where})"
    where = f"line {charges.first_line}"
    if row is None:
        yield Kind.CHARGE_WITHOUT_ROW, f"the statement has a charge of it ({where}), and the ledger has no row"
    elif row.state in _NOT_CARRIED_OUT:
        yield Kind.CHARGED_THOUGH_NOT_SUCCEEDED, f"it is {row.state}, and the statement has a charge of it ({where})"
    elif not row.attempts:
        yield Kind.CHARGE_WITHOUT_ATTEMPT, f"the statement has a charge of it ({where}), and the ledger no attempt"
    else:
        if _may_be_charged_again(row):
            told = f"it is {row.state}, and the statement has a charge of it ({where}), although by the ledger none of its attempts"
            yield Kind.CHARGED_THOUGH_NOTHING_DONE, f"{told} carried anything out"
        if charges.charged == 1:
            yield from _check_one(row, charges, where)


def _may_be_charged_again(row: AuditedRow) -> bool:
    """Whether nothing keeps the ledger from sending once more a record that the statement has as charged.

    The ledger is read after the statement, so the attempt that made the charge is among these, and when it was closed does not
    matter: `not_charged` says that nothing was carried out at any time. Nor does a key: it protects from a doubt, and here is none.
    An attempt that is open, unknown, pending or charged explains the charge. A person who decided that the record ends has it from
    the provider, and nothing is sent any more; its final state is judged once it is there.
    """
    if row.state in FINAL_STATES or newest_decision(row) in {Action.CHARGED, Action.SKIP}:
        return False
    return all(map(carried_nothing_out, row.attempts))


def _check_one(row: AuditedRow, charges: Charges, where: str) -> Iterator[Problem]:
    if charges.amount != row.amount:
        asked, carried_out = told_amount(row.amount), told_amount(charges.amount)
        yield Kind.AMOUNT_DIFFERS, f"the record asks for {asked}, and {carried_out} was charged ({where})"
    ours, theirs = row.provider_reference, charges.provider_reference
    # An answer without a body names none, and neither does a person who only knows that it was carried out.
    if row.state is State.SUCCEEDED and ours and theirs and ours != theirs:
        yield (
            Kind.REFERENCE_DIFFERS,
            f"the ledger has the provider's reference {ours}, and the statement {theirs} ({where})",
        )


def _is_covered(row: AuditedRow, terms: Terms) -> bool:
    """Whether the statement reaches as far as this record. What became final after it was drawn cannot stand in it."""
    if not terms.has_statement or row.final_at is None:
        return False
    return terms.statement_until is None or row.final_at < terms.statement_until
