"""All that the ledger has about one record as JSON, for `recharge show` and for an archive."""

from collections.abc import Mapping
from typing import Any

from activities.ledger import Whole
from operations.telling import Discretion, Json, amount, time


def whole_json(whole: Whole, discretion: Discretion) -> dict[str, Json]:
    """One JSON object. Fields may be added to it, and none is taken away."""
    record = whole.record
    return {
        "workflow_id": record["workflow_id"],
        "state": record["state"],
        "provider_reference": record["provider_reference"],
        "reason": discretion.text(record["reason"]),
        "resolved_by": record["resolved_by"],
        "created_at": time(record["created_at"]),
        "final_at": time(record["final_at"]),
        "record": _record(record, discretion),
        "attempts": [_attempt(row, discretion) for row in whole.attempts],
        "lookups": [_lookup(row, discretion) for row in whole.lookups],
        "decisions": [_decision(row, discretion) for row in whole.decisions],
    }


def _record(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
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
        "redrive_of": row["redrive_of"],
        "key": discretion.raw(row["raw_key"]),
        "value": discretion.raw(row["raw_value"]),
    }


def _attempt(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
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


def _lookup(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
    return {
        "attempt": row["attempt_number"],
        "asked_at": time(row["asked_at"]),
        "answered_at": time(row["answered_at"]),
        "answer": row["answer"],
        "status": row["status"],
        "said": discretion.text(row["said"]),
        "provider_reference": row["provider_reference"],
    }


def _decision(row: Mapping[str, Any], discretion: Discretion) -> dict[str, Json]:
    return {
        "action": row["action"],
        "by": discretion.text(row["decided_by"]),
        "note": discretion.text(row["note"]),
        "provider_reference": row["provider_reference"],
        "decided_at": time(row["decided_at"]),
        "refused_because": discretion.text(row["refused_because"]),
    }
