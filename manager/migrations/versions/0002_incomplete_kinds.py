"""Why kinds of an inventory are incomplete."""

from alembic import op
from sqlalchemy import Column, LargeBinary

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """A JSON object by kind; null for earlier inventories, for which it is unknown."""
    op.add_column("inventories", Column("reasons", LargeBinary))
