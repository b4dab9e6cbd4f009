"""What the Temporal Web UI tells about a record: one-line summaries, and the current details in Markdown. Pure text."""

import re
from collections import deque
from datetime import datetime

from temporalio import exceptions

from recharge import limits
from recharge.contract import Finding, RechargeResult, RecordInput
from recharge.outcome import State
from recharge.privacy import mask_phone
from recharge.text import printable

_STORIES = {
    State.RETRYING: "Nothing was carried out so far; Temporal retries it below.",
    State.SENDING: "The last attempt is known to have carried nothing out, so it is sent again.",
    State.PENDING: "The provider accepted it and has not said how it ended. It is looked up below.",
    State.IN_DOUBT: "**In doubt**: it may or may not have been carried out. Nothing is sent on a guess; certainty is awaited below.",
    State.HELD: "**On hold** until a person decides; nothing is sent.",
}

_UNDER_WAY = "The call has left, or is about to. Its answer is awaited below."

_WAITS_FOR_A_PERSON = frozenset({State.IN_DOUBT, State.PENDING, State.HELD})
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|#!&~]")


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


class Story:
    """What became of an open record so far, as its page in the Web UI tells it: the newest steps, and the command that ends its wait."""

    def __init__(self) -> None:
        self._steps: deque[str] = deque(maxlen=limits.STORY_STEPS_MAX)
        self._left_out = 0

    def tell(self, record: RecordInput, finding: Finding, now: datetime) -> str:
        """Add a step, and give the current details with it."""
        if len(self._steps) == limits.STORY_STEPS_MAX:
            self._left_out += 1
        self._steps.append(_step(finding, now))
        story = _UNDER_WAY if finding.is_under_way else _STORIES.get(finding.state, "")
        parts = [f"### {finding.state}", literally(transfer(record)), story]
        if finding.state in _WAITS_FOR_A_PERSON:
            parts.append(f"A person may decide: `{_resolve(record.workflow_id)}`")
        return "\n\n".join([*parts, self._so_far(), f"Every attempt: `recharge show {record.workflow_id}`"])

    def end(self, record: RecordInput, outcome: RechargeResult) -> str:
        """The current details of a final record."""
        parts = [f"### {outcome.state}", literally(transfer(record)), f"Attempts: {outcome.attempts}."]
        if outcome.provider_reference is not None:
            parts.append(f"Provider's reference: {literally(outcome.provider_reference)}")
        if outcome.reason is not None:
            parts.append(f"Reason: {literally(outcome.reason)}")
        if self._steps:
            parts.append(self._so_far())
        return "\n\n".join(parts)

    def _so_far(self) -> str:
        first = [f"- … {self._left_out} before"] if self._left_out else []
        return "\n".join([*first, *self._steps])


def _step(finding: Finding, now: datetime) -> str:
    attempts = f", attempt {finding.attempts}" if finding.attempts else ""
    return f"- {now:%Y-%m-%d %H:%M:%S} UTC{attempts}: **{finding.state}**, {literally(finding.said)}"


def _resolve(workflow_id: str) -> str:
    return f"recharge resolve {workflow_id} --charged | --not-charged | --skip --by WHO --note WHY"


def literally(text: str) -> str:
    """Text that others wrote, such that Markdown shows it and makes nothing of it: no link, no picture, no heading, no other direction."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(" ".join(text.split())))
