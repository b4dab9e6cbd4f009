"""What can be wrong between the intake and Temporal, each in one line that says what to do."""

from ingest.errors import IntakeProblem
from recharge.contract import RecordInput
from recharge.payload_codec import PayloadUnreadable


class StarterProblem(IntakeProblem):
    """No workflow can be started until somebody changes a setting, a permission or the namespace. Waiting cannot help."""


class FingerprintMismatch(IntakeProblem):
    """The position was used before, by another record: this topic is not the one that the source's name stands for."""


def fingerprint_mismatch(record: RecordInput, known: str | None) -> FingerprintMismatch:
    """A workflow of this id stands for another record."""
    return FingerprintMismatch(
        f"{record.workflow_id} stands for another record: its workflow has the fingerprint {known or '(none)'}, the record on the topic "
        f"{record.fingerprint}. The topic was created anew or truncated. Its partition stands still; a new topic needs a new "
        "RECHARGE_KAFKA__SOURCE."
    )


def unregistered(names: list[str], namespace: str) -> StarterProblem:
    """Search attributes are missing on the namespace."""
    return StarterProblem(
        f"Temporal's namespace {namespace!r} lacks the search attributes {', '.join(names)}: run `recharge migrate`."
    )


def start_refused(message: str, namespace: str) -> StarterProblem:
    """Temporal refused a start for its search attributes."""
    return StarterProblem(f"Temporal's namespace {namespace!r} refused a start ({message}): run `recharge migrate`.")


def namespace_missing(namespace: str) -> StarterProblem:
    """The namespace does not exist."""
    return StarterProblem(
        f"Temporal has no namespace {namespace!r} (TEMPORAL_NAMESPACE): create it, then run `recharge migrate`."
    )


def unreadable(error: PayloadUnreadable) -> StarterProblem:
    """What a workflow is or returned is encrypted, and we have no key for it."""
    return StarterProblem(
        f"{error}. The intake stops; nothing is committed that is not done, and it goes on where it was once it is started with that key."
    )


def not_allowed(message: str) -> StarterProblem:
    """Temporal refused us."""
    return StarterProblem(f"Temporal refused this service ({message}): check TEMPORAL_API_KEY and TEMPORAL_TLS_….")
