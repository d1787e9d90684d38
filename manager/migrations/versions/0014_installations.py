"""Delegates, their tasks, and installations of agents."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, Text

revision = "0014"
down_revision = "0013"


def text_column(name: str, *, nullable: bool = False, **options: object) -> Column[str]:
    """A column of text that sorts by its bytes on PostgreSQL too."""
    collation = "C" if op.get_context().dialect.name == "postgresql" else None
    return Column(name, Text(collation=collation), nullable=nullable, **options)  # type: ignore[arg-type]


def tenant() -> list[Column[str]]:
    """The columns of a row's tenant."""
    return [text_column(name, server_default="") for name in ("account", "organization", "project", "environment")]


def upgrade() -> None:
    """Make the tables; nothing is known of delegates of before."""
    op.create_table(
        "delegates",
        text_column("id", primary_key=True),
        *tenant(),
        text_column("name"),
        text_column("token_id"),
        text_column("cluster_uid"),
        text_column("cluster_version"),
        text_column("version"),
        Column("namespaces", LargeBinary, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("seen_ns", BigInteger, nullable=False),
    )
    op.create_index("delegates_name", "delegates", ["account", "organization", "project", "name", "cluster_uid"])
    op.create_table(
        "delegate_tasks",
        text_column("id", primary_key=True),
        *tenant(),
        text_column("kind"),
        text_column("status"),
        text_column("message", server_default=""),
        text_column("delegate_id", server_default=""),
        text_column("cluster_uid", server_default=""),
        Column("attempt", Integer, nullable=False),
        Column("lease_until_ns", BigInteger, nullable=False),
        Column("expires_ns", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("objects", LargeBinary, nullable=False),
        text_column("log_key"),
        Column("agent_id", Text, ForeignKey("agents.id")),
        text_column("installation_id", nullable=True),
        text_column("run_id", nullable=True),
        Column("created_ns", BigInteger, nullable=False),
        Column("updated_ns", BigInteger, nullable=False),
    )
    op.create_index("delegate_tasks_open", "delegate_tasks", ["status", "created_ns"])
    op.create_index("delegate_tasks_agent", "delegate_tasks", ["agent_id", "created_ns"])
    op.create_table(
        "installations",
        text_column("id", primary_key=True),
        *tenant(),
        Column("agent_id", Text, ForeignKey("agents.id"), nullable=False),
        text_column("task_id"),
        text_column("removal_task_id", nullable=True),
        text_column("agent_status"),
        Column("details", LargeBinary, nullable=False),
        text_column("message", server_default=""),
        text_column("log_stream_id"),
        Column("transient", Boolean, nullable=False),
        Column("cron_triggered", Boolean, nullable=False),
        Column("stopped", Boolean, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("updated_ns", BigInteger),
        Column("started_ns", BigInteger),
    )
    op.create_index("installations_agent", "installations", ["agent_id", "created_ns"])
    op.create_index("installations_status", "installations", ["agent_status"])
