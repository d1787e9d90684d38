"""Names sort by their bytes on PostgreSQL too, whatever the database's locale: lists are the same on both databases."""

from alembic import op

revision = "0003"
down_revision = "0002"

SORTED = {
    "agents": ("identity",),
    "objects": ("kind", "namespace", "name", "uid"),
    "observations": ("node_name", "batch_id"),
}


def upgrade() -> None:
    """SQLite sorts so by itself."""
    if op.get_context().dialect.name != "postgresql":
        return
    for table, columns in SORTED.items():
        changes = ", ".join(f'ALTER COLUMN {column} TYPE text COLLATE "C"' for column in columns)
        op.execute(f"ALTER TABLE {table} {changes}")
