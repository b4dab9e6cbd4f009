"""When a final record's numbers and bytes were blanked, and each run that did it, with who and why. It only adds."""

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HAS_COLUMN = """
    SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'recharges' AND column_name = 'redacted_at'
"""
# Instant: the table may have a billion rows, and the service goes on meanwhile.
_ADD_COLUMN = "ALTER TABLE recharges ADD COLUMN redacted_at DATETIME(6) NULL, ALGORITHM=INSTANT"
_TABLE = """
    CREATE TABLE IF NOT EXISTS redactions (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        final_before DATETIME(6) NOT NULL,
        redacted_by VARCHAR(255) NOT NULL,
        note VARCHAR(1000) NOT NULL,
        began_at DATETIME(6) NOT NULL,
        ended_at DATETIME(6) NULL,
        records BIGINT NOT NULL,
        token CHAR(32) NOT NULL,
        UNIQUE KEY redaction (token)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin
"""


def upgrade() -> None:
    """Add the column and the table."""
    if not op.get_bind().scalar(text(_HAS_COLUMN)):
        op.execute(_ADD_COLUMN)
    op.execute(_TABLE)
