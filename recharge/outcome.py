"""What can happen to a customer's money: the outcomes of an attempt, the states of a record, and what may follow each.

An *attempt* is one sending of the provider's call. Its outcome is what we know about it; `unknown` is an outcome of its own,
never a failure and never a guess. A *record* has a state, which is open until nothing more will ever be sent for it.
"""

from enum import StrEnum
from typing import assert_never


class Outcome(StrEnum):
    """What one attempt is known to have done."""

    CHARGED = "charged"
    """The provider said that it carried the recharge out."""
    REFUSED = "refused"
    """The provider said, for good, that it does not carry this recharge out."""
    NOT_SENT = "not_sent"
    """No byte of the request was handed to the kernel, so the provider cannot have seen it."""
    NOT_CHARGED = "not_charged"
    """The provider answered in a way that its profile promises to mean: nothing was carried out, try again."""
    PENDING = "pending"
    """The provider accepted the recharge and will say later how it ended."""
    UNKNOWN = "unknown"
    """The request may have reached the provider, and nobody on this side can know what became of it."""


class Verdict(StrEnum):
    """A person's or a look-up's word on one attempt whose outcome is unknown or pending."""

    CHARGED = "charged"
    NOT_CHARGED = "not_charged"


class LookupAnswer(StrEnum):
    """What the provider says when it is asked about a reference."""

    CHARGED = "charged"
    REFUSED = "refused"
    PENDING = "pending"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    """It could not be asked, or what it said cannot be read. It decides nothing."""


class State(StrEnum):
    """Where a record stands in the ledger."""

    SENDING = "sending"
    RETRYING = "retrying"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    HELD = "held"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    INVALID = "invalid"
    SKIPPED = "skipped"


FINAL_STATES = frozenset({State.SUCCEEDED, State.REJECTED, State.INVALID, State.SKIPPED})
"""Nothing is ever sent for a record in one of these, and it never leaves it."""

DEAD_LETTER_STATES = frozenset({State.REJECTED, State.INVALID})
"""A record that ends in one of these is published whole on the dead-letter topic before its offset counts as final."""

MAY_HAVE_BEEN_SENT = frozenset({Outcome.CHARGED, Outcome.REFUSED, Outcome.PENDING, Outcome.UNKNOWN})
"""Outcomes of attempts of which a byte may have reached the provider's application."""

PREDECESSORS: dict[State, frozenset[State]] = {
    # A new attempt is opened from here. `in_doubt` and `pending` only after a verdict, which the ledger checks.
    State.SENDING: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
    # The newest attempt carried nothing out.
    State.RETRYING: frozenset({State.SENDING, State.RETRYING, State.IN_DOUBT, State.PENDING, State.HELD}),
    State.PENDING: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
    State.IN_DOUBT: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
    State.HELD: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
    State.SUCCEEDED: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
    State.REJECTED: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
    # An invalid record never was anything else: its row is inserted in that state.
    State.INVALID: frozenset(),
    State.SKIPPED: frozenset({State.SENDING, State.RETRYING, State.PENDING, State.IN_DOUBT, State.HELD}),
}
"""For each state, the states that a record may have come from. The ledger writes these into `UPDATE … WHERE state IN (…)`
and takes a row count of zero for an error. A final state stands on no right-hand side: final is final."""


class ResolvedBy(StrEnum):
    """What made a record final."""

    ANSWER = "answer"
    LATE_ANSWER = "late_answer"
    LOOKUP = "lookup"
    PERSON = "person"
    INTAKE = "intake"


class Action(StrEnum):
    """What a person may decide about a record (table `operator_actions`)."""

    HOLD = "hold"
    SKIP = "skip"
    CHARGED = "charged"
    NOT_CHARGED = "not_charged"


def is_retried(outcome: Outcome) -> bool:
    """Tell whether sending again is safe by this outcome alone: nothing was carried out, and the provider or the kernel says so."""
    match outcome:
        case Outcome.NOT_SENT | Outcome.NOT_CHARGED:
            return True
        case Outcome.CHARGED | Outcome.REFUSED | Outcome.PENDING | Outcome.UNKNOWN:
            return False
        case _:
            assert_never(outcome)


def final_state_after(outcome: Outcome) -> State | None:
    """The final state that an attempt's outcome leads its record to, or None where the record stays open."""
    match outcome:
        case Outcome.CHARGED:
            return State.SUCCEEDED
        case Outcome.REFUSED:
            return State.REJECTED
        case Outcome.NOT_SENT | Outcome.NOT_CHARGED | Outcome.PENDING | Outcome.UNKNOWN:
            return None
        case _:
            assert_never(outcome)
