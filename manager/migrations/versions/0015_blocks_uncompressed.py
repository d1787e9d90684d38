"""Blocks of records and indexes are compressed already: PostgreSQL need not try again at every insert."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """SQLite has no such attempt."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE record_blocks ALTER COLUMN body SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE observations ALTER COLUMN pod_index SET STORAGE EXTERNAL")
