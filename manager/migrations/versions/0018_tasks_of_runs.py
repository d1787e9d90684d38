"""The tasks of a run are found without reading those of every other."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Beside the index by agent."""
    op.create_index("delegate_tasks_run", "delegate_tasks", ["run_id", "created_ns"])
