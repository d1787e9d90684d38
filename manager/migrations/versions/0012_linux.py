"""Linux hosts and their tasks."""

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, Text

revision = "0012"
down_revision = "0011"

TENANT = ("account", "organization", "project", "environment")


def upgrade() -> None:
    """Create both tables."""
    text = Text(collation="C") if op.get_bind().dialect.name == "postgresql" else Text()
    times = ("confirmed_ns", "seen_ns", "removed_ns")
    op.create_table(
        "infras",
        Column("id", Text, primary_key=True),
        *(Column(name, text, nullable=False) for name in (*TENANT, "kind", "name", "hostname", "version")),
        Column("key_sha256", Text, nullable=False, unique=True),
        Column("next_key_sha256", Text, unique=True),
        Column("created_ns", BigInteger, nullable=False),
        *(Column(name, BigInteger) for name in times),
    )
    op.create_table(
        "linux_tasks",
        Column("name", text, primary_key=True),
        *(Column(name, text, nullable=False) for name in (*TENANT, "infra_id", "run_id")),
        Column("lce_uid", Text, nullable=False, unique=True),
        *(Column(name, Text, nullable=False) for name in ("stream_id", "status", "message")),
        Column("action", LargeBinary, nullable=False),
        *(Column(name, BigInteger, nullable=False) for name in ("created_ns", "expires_ns", "longest_ns")),
        *(Column(name, BigInteger) for name in ("lease_until_ns", "started_ns", "heard_ns", "deadline_ns", "stop_ns")),
        Column("stop_reason", Text, nullable=False),
        Column("ended_ns", BigInteger),
        Column("result", LargeBinary),
        Column("result_sha256", Text),
    )
    op.create_index("linux_tasks_by_infra", "linux_tasks", ["infra_id", "status"])
    op.create_index("linux_tasks_by_stream", "linux_tasks", ["stream_id"])
