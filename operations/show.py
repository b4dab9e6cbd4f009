"""`recharge show`: the whole story of one record, from the ledger and from Temporal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activities.ledger import Story
from operations.runs import Run
from operations.telling import Discretion, Json, amount, time
from recharge.outcome import FINAL_STATES


@dataclass(frozen=True, slots=True)
class Seen:
    """What both servers have of one record."""

    story: Story
    run: Run | None
    """The newest run of its workflow; None where there is none, or where Temporal was not reached."""
    temporal_problem: str | None = None
    web_ui_url: str | None = None
    """Where the workflow stands in Temporal's Web UI; None where nobody told us the address of that."""


def as_json(seen: Seen, discretion: Discretion) -> dict[str, Json]:
    """The story as one JSON object. Fields may be added to it, and none is taken away."""
    story, record = seen.story, seen.story.record
    return {
        "workflow_id": record["workflow_id"],
        "state": record["state"],
        "provider_reference": record["provider_reference"],
        "reason": discretion.text(record["reason"]),
        "resolved_by": record["resolved_by"],
        "created_at": time(record["created_at"]),
        "updated_at": time(record["updated_at"]),
        "final_at": time(record["final_at"]),
        "record": record_json(record, discretion),
        "attempts": [attempt_json(row, discretion) for row in story.attempts],
        "lookups": [lookup_json(row, discretion) for row in story.lookups],
        "decisions": [decision_json(row, discretion) for row in story.decisions],
        "same_content_as": story.twin,
        "workflow": None if seen.run is None else {"run_id": seen.run.run_id, "status": seen.run.status},
        "temporal_problem": seen.temporal_problem,
        "web_ui_url": seen.web_ui_url,
        "first_open_offset": story.first_open_offset,
        "holds_lane": holds_lane(seen),
    }


def holds_lane(seen: Seen) -> bool:
    """Whether the record is the first of its partition that is not done, so that no offset after it can be committed."""
    story = seen.story
    if story.state in FINAL_STATES:
        return seen.run is not None and seen.run.ended_early
    return bool(story.first_open_offset == story.record["record_offset"])


def record_json(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
    """What the record asks for, and what it came as."""
    return {
        "source": row["source"],
        "topic": row["topic"],
        "partition": row["partition_id"],
        "offset": row["record_offset"],
        "timestamp_ms": row["record_timestamp_ms"],
        "fingerprint": row["fingerprint"],
        "content_digest": row["content_digest"],
        "size_bytes": row["size_bytes"],
        "ordering": row["ordering"],
        "operation_type": row["operation_type"],
        "donor": discretion.phone(row["account_donor"]),
        "receiver": discretion.phone(row["account_receiver"]),
        "amount": amount(row["amount"]),
        "currency": row["currency"],
        "request_id": discretion.text(row["request_id"]),
        "redacted_at": time(row["redacted_at"]),
        "key": discretion.raw(row["raw_key"]),
        "value": discretion.raw(row["raw_value"]),
    }


def attempt_json(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
    """One attempt."""
    return {
        "number": row["number"],
        "opened_at": time(row["opened_at"]),
        "deadline_at": time(row["deadline_at"]),
        "closed_at": time(row["closed_at"]),
        "outcome": row["outcome"],
        "status": row["status"],
        "error": discretion.text(row["error"]),
        "provider_reference": row["provider_reference"],
        "verdict": row["verdict"],
        "verdict_by": row["verdict_by"],
        "verdict_at": time(row["verdict_at"]),
        "late_outcome": row["late_outcome"],
        "late_at": time(row["late_at"]),
    }


def lookup_json(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
    """One question to the provider, and its answer."""
    return {
        "attempt": row["attempt_number"],
        "asked_at": time(row["asked_at"]),
        "answered_at": time(row["answered_at"]),
        "answer": row["answer"],
        "status": row["status"],
        "said": discretion.text(row["said"]),
        "provider_reference": row["provider_reference"],
    }


def decision_json(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
    """One decision of a person."""
    return {
        "action": row["action"],
        "by": discretion.text(row["decided_by"]),
        "note": discretion.text(row["note"]),
        "provider_reference": row["provider_reference"],
        "decided_at": time(row["decided_at"]),
        "refused_because": discretion.text(row["refused_because"]),
    }
