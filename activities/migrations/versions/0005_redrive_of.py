"""The record that a copy of `recharge redrive` repeats, so that a copy of the copy repeats the same one. It only adds.

An older release leaves it null.
"""

from alembic import op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HAS_COLUMN = """
    SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'recharges' AND column_name = 'redrive_of'
"""
# Instant: the table may have a billion rows, and the service goes on meanwhile.
_ADD_COLUMN = "ALTER TABLE recharges ADD COLUMN redrive_of VARCHAR(400) NULL, ALGORITHM=INSTANT"


def upgrade() -> None:
    """Add the column."""
    if not op.get_bind().scalar(text(_HAS_COLUMN)):
        op.execute(_ADD_COLUMN)
