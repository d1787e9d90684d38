"""The digest of a batch's body, which distinguishes another body under the same id from the same one."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Null for batches of before: any body passes for theirs."""
    op.add_column("batches", Column("body_sha256", Text))
