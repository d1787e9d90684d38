"""What is too old is found without reading what is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Indexes by age; of objects and tokens only those that have one: what is there now costs nothing."""
    op.create_index("batches_by_age", "batches", ["agent_id", "received_ns"])
    op.create_index("inventory_parts_by_age", "inventory_parts", ["agent_id", "received_ns"])
    op.create_index("inventories_by_start", "inventories", ["agent_id", "start_ns"])
    op.create_index("windows_by_start", "windows", ["agent_id", "start_ns"])
    op.create_index("sequence_gaps_by_age", "sequence_gaps", ["agent_id", "updated_ns"])
    op.create_index("log_blobs_by_age", "log_blobs", ["uploaded_ns"])
    op.create_index("linux_tasks_by_status", "linux_tasks", ["status"])
    for name, table, columns in (
        ("objects_removed", "objects", ["agent_id", "removed_ns"]),
        ("log_tokens_by_end", "log_tokens", ["expires_ns"]),
    ):
        has_one = sa.text(f"{columns[-1]} IS NOT NULL")
        op.create_index(name, table, columns, sqlite_where=has_one, postgresql_where=has_one)
