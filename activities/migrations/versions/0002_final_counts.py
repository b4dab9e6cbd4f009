"""How many records are final, counted once: a ledger of a billion rows must not be counted for each look at it.

One row: what was counted, and up to when. A final record stays as it is, so what was counted stays true.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE IF NOT EXISTS final_counts (
        the_only_row TINYINT NOT NULL PRIMARY KEY,
        counted_to DATETIME(6) NOT NULL,
        succeeded BIGINT NOT NULL,
        rejected BIGINT NOT NULL,
        invalid BIGINT NOT NULL,
        skipped BIGINT NOT NULL,
        CONSTRAINT there_is_one_row CHECK (the_only_row = 1)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin
    """,
    "INSERT IGNORE INTO final_counts VALUES (1, '2000-01-01', 0, 0, 0, 0)",
)


def upgrade() -> None:
    """Make the table and its row."""
    for statement in _STATEMENTS:
        op.execute(statement)
