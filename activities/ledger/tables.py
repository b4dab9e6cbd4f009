"""The ledger's tables as SQLAlchemy sees them. `activities/migrations` makes them; a test holds the two together.

Identifiers compare as bytes, times are MySQL's in UTC, and rows of attempts, look-ups and actions are only added or completed.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.dialects.mysql import CHAR, DATETIME, DECIMAL, MEDIUMBLOB, TINYINT

from recharge import limits

metadata = MetaData()

_COLLATION = "utf8mb4_0900_bin"
_TIME = DATETIME(fsp=6)


def _text(length: int) -> String:
    return String(length, collation=_COLLATION)


recharges = Table(
    "recharges",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("source", _text(limits.SOURCE_CHARS_MAX), nullable=False),
    Column("topic", _text(limits.TOPIC_CHARS_MAX), nullable=False),
    Column("partition_id", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("workflow_id", _text(limits.WORKFLOW_ID_CHARS_MAX), nullable=False, unique=True),
    Column("state", _text(16), nullable=False),
    Column("fingerprint", CHAR(64, collation=_COLLATION), nullable=False),
    Column("content_digest", CHAR(64, collation=_COLLATION), nullable=False),
    Column("ordering", _text(16), nullable=False),
    Column("operation_type", _text(32)),
    Column("account_donor", _text(limits.PHONE_DIGITS_MAX + 1)),
    Column("account_receiver", _text(limits.PHONE_DIGITS_MAX + 1)),
    Column("amount", DECIMAL(19, 4)),
    Column("currency", _text(limits.CURRENCY_CHARS_MAX)),
    Column("request_id", _text(limits.TEXT_FIELD_CHARS_MAX)),
    Column("provider_reference", _text(limits.REFERENCE_CHARS_MAX)),
    Column("reason", _text(limits.REASON_CHARS_MAX)),
    Column("status", Integer),
    Column("resolved_by", _text(16)),
    Column("raw_key", MEDIUMBLOB),
    Column("raw_value", MEDIUMBLOB),
    Column("size_bytes", BigInteger, nullable=False),
    Column("record_timestamp_ms", BigInteger, nullable=False),
    Column("begun", Integer, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("final_at", _TIME),
    Column("redacted_at", _TIME),
    Column("redrive_of", _text(limits.WORKFLOW_ID_CHARS_MAX)),
    UniqueConstraint("source", "topic", "partition_id", "record_offset", name="position"),
    Index("ix_recharges_content", "content_digest", "source"),
)

attempts = Table(
    "recharge_attempts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("workflow_id", _text(limits.WORKFLOW_ID_CHARS_MAX), nullable=False),
    Column("number", Integer, nullable=False),
    Column("token", CHAR(32, collation=_COLLATION), nullable=False),
    Column("opened_at", _TIME, nullable=False),
    Column("deadline_at", _TIME, nullable=False),
    Column("closed_at", _TIME),
    Column("outcome", _text(16)),
    Column("status", Integer),
    Column("error", _text(limits.REASON_CHARS_MAX)),
    Column("provider_reference", _text(limits.REFERENCE_CHARS_MAX)),
    Column("verdict", _text(16)),
    Column("verdict_by", _text(255)),
    Column("verdict_at", _TIME),
    Column("late_outcome", _text(16)),
    Column("late_at", _TIME),
    UniqueConstraint("workflow_id", "number", name="attempt"),
)

lookups = Table(
    "lookups",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("workflow_id", _text(limits.WORKFLOW_ID_CHARS_MAX), nullable=False, index=True),
    Column("attempt_number", Integer, nullable=False),
    Column("asked_at", _TIME, nullable=False),
    Column("answered_at", _TIME, nullable=False),
    Column("answer", _text(16), nullable=False),
    Column("status", Integer),
    Column("said", _text(limits.REASON_CHARS_MAX), nullable=False),
    Column("provider_reference", _text(limits.REFERENCE_CHARS_MAX)),
)

operator_actions = Table(
    "operator_actions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("workflow_id", _text(limits.WORKFLOW_ID_CHARS_MAX), nullable=False, index=True),
    Column("action", _text(16), nullable=False),
    Column("decided_by", _text(255), nullable=False),
    Column("note", _text(limits.REASON_CHARS_MAX), nullable=False),
    Column("provider_reference", _text(limits.REFERENCE_CHARS_MAX)),
    Column("decided_at", _TIME, nullable=False),
    Column("refused_because", _text(limits.REASON_CHARS_MAX)),
    Column("token", CHAR(32, collation=_COLLATION)),
)

final_counts = Table(
    "final_counts",
    metadata,
    Column("the_only_row", TINYINT, primary_key=True, autoincrement=False),
    Column("counted_to", _TIME, nullable=False),
    *(Column(state, BigInteger, nullable=False) for state in ("succeeded", "rejected", "invalid", "skipped")),
)

accepted_gaps = Table(
    "accepted_gaps",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("source", _text(limits.SOURCE_CHARS_MAX), nullable=False),
    Column("topic", _text(limits.TOPIC_CHARS_MAX), nullable=False),
    Column("partition_id", Integer, nullable=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("last_offset", BigInteger, nullable=False),
    Column("accepted_by", _text(255), nullable=False),
    Column("note", _text(limits.REASON_CHARS_MAX), nullable=False),
    Column("accepted_at", _TIME, nullable=False),
    Column("token", CHAR(32, collation=_COLLATION), nullable=False),
    UniqueConstraint("source", "topic", "partition_id", "first_offset", "last_offset", name="gap"),
)

redactions = Table(
    "redactions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("final_before", _TIME, nullable=False),
    Column("redacted_by", _text(limits.NAME_CHARS_MAX), nullable=False),
    Column("note", _text(limits.REASON_CHARS_MAX), nullable=False),
    Column("began_at", _TIME, nullable=False),
    Column("ended_at", _TIME),
    Column("records", BigInteger, nullable=False),
    Column("token", CHAR(32, collation=_COLLATION), nullable=False, unique=True),
)

request_claims = Table(
    "request_claims",
    metadata,
    Column("claim", CHAR(64, collation=_COLLATION), primary_key=True),
    Column("workflow_id", _text(limits.WORKFLOW_ID_CHARS_MAX), nullable=False, index=True),
    Column("claimed_at", _TIME, nullable=False),
)
