"""How an activity tells Temporal that it failed: what is tried again, what ends the workflow, and when the next try comes."""

from datetime import timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.ledger import FingerprintMismatch, LedgerContradiction, LedgerError
from recharge import limits
from recharge.contract import ERROR_FINGERPRINT_MISMATCH, ERROR_NOT_ANSWERED


def from_ledger(error: LedgerError) -> ApplicationError:
    """The failure that a ledger error becomes. Only what a person has to mend ends the workflow; its lane is held then."""
    if isinstance(error, FingerprintMismatch):
        return ApplicationError(str(error), type=ERROR_FINGERPRINT_MISMATCH, non_retryable=True)
    return ApplicationError(str(error), type=type(error).__name__, non_retryable=isinstance(error, LedgerContradiction))


def not_answered(said: str, delay_s: float) -> ApplicationError:
    """The failure that makes Temporal try again after `delay_s`; benign, since waiting for a provider is no fault of ours."""
    return ApplicationError(
        said,
        type=ERROR_NOT_ANSWERED,
        next_retry_delay=timedelta(seconds=delay_s),
        category=ApplicationErrorCategory.BENIGN,
    )


def backoff_s(attempt: int, *, first_s: float, coefficient: float, max_s: float) -> float:
    """The delay after the given attempt (1, 2, …). Bounded before it is raised to a power, since attempts are not."""
    doublings = min(attempt - 1, 32)
    return min(first_s * coefficient**doublings, max_s)


def retry_delay_s(attempt: int, retry_after_s: float | None) -> float:
    """When a recharge is tried again: by the backoff, and no sooner than the provider asked for."""
    delay_s = backoff_s(
        attempt, first_s=limits.RETRY_FIRST_S, coefficient=limits.RETRY_COEFFICIENT, max_s=limits.RETRY_MAX_S
    )
    return max(delay_s, min(retry_after_s or 0.0, limits.RETRY_AFTER_S_MAX))
