"""The index by which the same content is found under another source, without a look at what stands under its own. It takes nothing away:
an older release finds a content by the first half of the new one.
"""

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HAS_INDEX = """
    SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'recharges' AND index_name = 'ix_recharges_content'
"""
# In place and without a lock: the table may have a billion rows, and the service goes on meanwhile.
_EXCHANGE = """
    ALTER TABLE recharges
        ADD INDEX ix_recharges_content (content_digest, source), DROP INDEX ix_recharges_content_digest, ALGORITHM=INPLACE, LOCK=NONE
"""


def upgrade() -> None:
    """Exchange the index."""
    if not op.get_bind().scalar(text(_HAS_INDEX)):
        op.execute(_EXCHANGE)
