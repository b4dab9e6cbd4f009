"""What the Temporal Web UI tells about a record: one-line summaries, and the current details in Markdown. Pure text."""

from datetime import datetime

from temporalio import exceptions

from recharge.contract import Finding, RechargeResult, RecordInput
from recharge.outcome import State
from recharge.privacy import mask_phone

_STORIES = {
    State.RETRYING: "Nothing was carried out so far; Temporal retries it below.",
    State.SENDING: "The last attempt is known to have carried nothing out, so it is sent again.",
    State.PENDING: "The provider accepted it and has not said how it ended. It is looked up below.",
    State.IN_DOUBT: "**In doubt**: it may or may not have been carried out. Nothing is sent on a guess; certainty is awaited below.",
    State.HELD: "**On hold** until a person decides; nothing is sent.",
}


def transfer(record: RecordInput) -> str:
    """One line about what the record asks for, phone numbers masked."""
    wanted = record.transfer
    if wanted is None:
        return f"invalid record: {record.invalid_reason}"
    amount = f"{wanted.amount} {wanted.currency or ''}".rstrip()
    return f"{wanted.operation_type} {amount}, {mask_phone(wanted.donor)} → {mask_phone(wanted.receiver)}"


def call(record: RecordInput) -> str:
    """The summary of the activity that sends."""
    return transfer(record)


def pause(finding: Finding) -> str:
    """The summary of the timer before the second attempt."""
    return f"backoff after: {finding.said}"


def waiting(finding: Finding) -> str:
    """The summary of the activity that waits for certainty."""
    return finding.said


def result(finding: Finding) -> str:
    """The summary of the activity that makes the record final."""
    return f"{finding.state}: {finding.said}"


def cause_of(error: exceptions.FailureError) -> BaseException:
    """Why an activity failed. A local one raises its own error, a regular one wraps it."""
    return error.cause if isinstance(error, exceptions.ActivityError) and error.cause is not None else error


def without_outcome(error: exceptions.FailureError) -> str:
    """Why an attempt ended without an outcome, for people."""
    cause = cause_of(error)
    if isinstance(cause, exceptions.TimeoutError):
        return "the worker was lost before it could tell an outcome"
    return f"no outcome: {cause}"


def story(record: RecordInput, finding: Finding, now: datetime) -> str:
    """The current details of an open record."""
    return "\n\n".join(
        (
            f"### {finding.state}",
            transfer(record),
            _STORIES.get(finding.state, ""),
            f"Since {now:%Y-%m-%d %H:%M:%S} UTC, attempts so far: {finding.attempts}. Last: {finding.said}",
        )
    )


def ended(record: RecordInput, outcome: RechargeResult) -> str:
    """The current details of a final record."""
    lines = [f"### {outcome.state}", transfer(record), f"Attempts: {outcome.attempts}."]
    if outcome.provider_reference is not None:
        lines.append(f"Provider's reference: `{outcome.provider_reference}`")
    if outcome.reason is not None:
        lines.append(f"Reason: {outcome.reason}")
    return "\n\n".join(lines)
