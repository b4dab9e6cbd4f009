"""The ledger's first tables.

MySQL commits each statement of DDL by itself, so every statement may be repeated: a migration that stopped half-way is run again.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLE = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin"

_STATEMENTS = (
    f"""
    CREATE TABLE IF NOT EXISTS recharges (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        source VARCHAR(64) NOT NULL,
        topic VARCHAR(249) NOT NULL,
        partition_id INT NOT NULL,
        record_offset BIGINT NOT NULL,
        workflow_id VARCHAR(400) NOT NULL,
        state VARCHAR(16) NOT NULL,
        fingerprint CHAR(64) NOT NULL,
        content_digest CHAR(64) NOT NULL,
        ordering VARCHAR(16) NOT NULL,
        operation_type VARCHAR(32) NULL,
        account_donor VARCHAR(16) NULL,
        account_receiver VARCHAR(16) NULL,
        amount DECIMAL(19, 4) NULL,
        currency VARCHAR(16) NULL,
        request_id VARCHAR(255) NULL,
        provider_reference VARCHAR(255) NULL,
        reason VARCHAR(1000) NULL,
        status INT NULL,
        resolved_by VARCHAR(16) NULL,
        raw_key MEDIUMBLOB NULL,
        raw_value MEDIUMBLOB NULL,
        size_bytes BIGINT NOT NULL,
        record_timestamp_ms BIGINT NOT NULL,
        begun INT NOT NULL,
        created_at DATETIME(6) NOT NULL,
        updated_at DATETIME(6) NOT NULL,
        final_at DATETIME(6) NULL,
        UNIQUE KEY position (source, topic, partition_id, record_offset),
        UNIQUE KEY workflow_id (workflow_id),
        KEY ix_recharges_content_digest (content_digest),
        KEY ix_recharges_state (state, updated_at),
        CONSTRAINT state_is_known CHECK (state IN
            ('sending', 'retrying', 'pending', 'in_doubt', 'held', 'succeeded', 'rejected', 'invalid', 'skipped')),
        CONSTRAINT amount_is_positive CHECK (amount IS NULL OR amount > 0)
    ) {_TABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS recharge_attempts (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        workflow_id VARCHAR(400) NOT NULL,
        number INT NOT NULL,
        token CHAR(32) NOT NULL,
        opened_at DATETIME(6) NOT NULL,
        deadline_at DATETIME(6) NOT NULL,
        closed_at DATETIME(6) NULL,
        outcome VARCHAR(16) NULL,
        status INT NULL,
        error VARCHAR(1000) NULL,
        provider_reference VARCHAR(255) NULL,
        verdict VARCHAR(16) NULL,
        verdict_by VARCHAR(255) NULL,
        verdict_at DATETIME(6) NULL,
        late_outcome VARCHAR(16) NULL,
        late_at DATETIME(6) NULL,
        UNIQUE KEY attempt (workflow_id, number),
        CONSTRAINT outcome_is_known CHECK (outcome IS NULL OR outcome IN
            ('charged', 'refused', 'not_sent', 'not_charged', 'pending', 'unknown')),
        CONSTRAINT closed_with_an_outcome CHECK ((closed_at IS NULL) = (outcome IS NULL)),
        CONSTRAINT verdict_is_known CHECK (verdict IS NULL OR verdict IN ('charged', 'not_charged')),
        CONSTRAINT verdict_on_a_doubt CHECK (verdict IS NULL OR outcome IN ('unknown', 'pending'))
    ) {_TABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS lookups (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        workflow_id VARCHAR(400) NOT NULL,
        attempt_number INT NOT NULL,
        asked_at DATETIME(6) NOT NULL,
        answered_at DATETIME(6) NOT NULL,
        answer VARCHAR(16) NOT NULL,
        status INT NULL,
        said VARCHAR(1000) NOT NULL,
        provider_reference VARCHAR(255) NULL,
        KEY ix_lookups_workflow_id (workflow_id)
    ) {_TABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS operator_actions (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        workflow_id VARCHAR(400) NOT NULL,
        action VARCHAR(16) NOT NULL,
        decided_by VARCHAR(255) NOT NULL,
        note VARCHAR(1000) NOT NULL,
        provider_reference VARCHAR(255) NULL,
        decided_at DATETIME(6) NOT NULL,
        refused_because VARCHAR(1000) NULL,
        token CHAR(32) NULL,
        KEY ix_operator_actions_workflow_id (workflow_id)
    ) {_TABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS accepted_gaps (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        source VARCHAR(64) NOT NULL,
        topic VARCHAR(249) NOT NULL,
        partition_id INT NOT NULL,
        first_offset BIGINT NOT NULL,
        last_offset BIGINT NOT NULL,
        accepted_by VARCHAR(255) NOT NULL,
        note VARCHAR(1000) NOT NULL,
        accepted_at DATETIME(6) NOT NULL,
        token CHAR(32) NOT NULL,
        UNIQUE KEY gap (source, topic, partition_id, first_offset, last_offset),
        CONSTRAINT first_before_last CHECK (first_offset <= last_offset)
    ) {_TABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS request_claims (
        claim CHAR(64) NOT NULL PRIMARY KEY,
        workflow_id VARCHAR(400) NOT NULL,
        claimed_at DATETIME(6) NOT NULL,
        KEY ix_request_claims_workflow_id (workflow_id)
    ) {_TABLE}
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
