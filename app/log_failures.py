"""Failures of activities that are meant: a ledger that is away, a provider that is to be asked again. They are told in fields.

The SDK logs every failed activity with its traceback. Where the activity failed by an error of its own choosing, all that there is to know
is what it says; where it failed by anything else, the traceback is what one needs.
"""

from structlog.typing import EventDict, WrappedLogger

_MARK = "__temporal_error_identifier"
_ACTIVITY_FAILED = "ActivityFailure"
"""The SDK marks the line so."""


def tell_expected_failures(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor that takes the traceback away from an activity's own failure, and says in fields what failed and why.

    For lines of the standard library's logging, while their records are at hand.
    """
    record = event.get("_record")
    if getattr(record, _MARK, None) != _ACTIVITY_FAILED or record is None or record.exc_info is None:
        return event
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415  # the SDK is loaded where such a line comes

    error = record.exc_info[1]
    if not isinstance(error, ApplicationError):
        return event
    activity = getattr(record, "temporal_activity", {})
    told = {name: event[name] for name in event if name != "exc_info"}
    told |= {
        "event": "an activity failed for good" if error.non_retryable else "an activity failed and may be tried again",
        "workflow_id": activity.get("workflow_id"),
        "activity": activity.get("activity_type"),
        "attempt": activity.get("attempt"),
        "error": error.message,
        "error_type": error.type,
    }
    if error.next_retry_delay is not None:
        told["next_try_in_s"] = error.next_retry_delay.total_seconds()
    return told
