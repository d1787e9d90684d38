"""Experiments: manifests in revisions, runs, and the events that their states came from."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, Text

revision = "0009"
down_revision = "0008"


def text(name: str, *, primary_key: bool = False, unique: bool = False) -> Column[str]:
    """A column of text that sorts by its bytes."""
    collation = "C" if op.get_context().dialect.name == "postgresql" else None
    return Column(name, Text(collation=collation), nullable=False, primary_key=primary_key, unique=unique)


def upgrade() -> None:
    """Create the four tables."""
    op.create_table(
        "experiments",
        text("id", primary_key=True),
        *(text(name) for name in ("account", "organization", "project", "environment", "name", "infra_id")),
        Column("created_ns", BigInteger, nullable=False),
        text("created_by"),
        Column("removed_ns", BigInteger),
    )
    tenant = ["account", "organization", "project", "environment"]
    op.create_index("experiments_by_name", "experiments", [*tenant, "name"])
    op.create_table(
        "experiment_revisions",
        text("id", primary_key=True),
        Column("experiment_id", Text, ForeignKey("experiments.id"), nullable=False),
        *(Column(name, LargeBinary, nullable=False) for name in ("manifest", "weights", "probes", "plan")),
        Column("created_ns", BigInteger, nullable=False),
    )
    op.create_index("experiment_revisions_of", "experiment_revisions", ["experiment_id", "created_ns"])
    op.create_table(
        "experiment_runs",
        text("id", primary_key=True),
        text("notify_id", unique=True),
        Column("experiment_id", Text, ForeignKey("experiments.id"), nullable=False),
        Column("revision_id", Text, ForeignKey("experiment_revisions.id"), nullable=False),
        Column("sequence", Integer, nullable=False),
        Column("completed", Boolean, nullable=False),
        Column("execution", LargeBinary, nullable=False),
        Column("governance", LargeBinary, nullable=False),
        Column("score", LargeBinary),
        text("error_response"),
        text("key_sha256", unique=True),
        Column("created_ns", BigInteger, nullable=False),
        text("created_by"),
        Column("updated_ns", BigInteger, nullable=False),
        Column("heard_ns", BigInteger),
        Column("deadline_ns", BigInteger, nullable=False),
        Column("stop_ns", BigInteger),
        text("stop_reason"),
    )
    op.create_index("experiment_runs_of", "experiment_runs", ["experiment_id", "sequence"])
    op.create_index("experiment_runs_open", "experiment_runs", ["completed", "deadline_ns"])
    op.create_table(
        "run_events",
        Column("run_id", Text, ForeignKey("experiment_runs.id"), primary_key=True),
        Column("sequence", Integer, primary_key=True),
        text("sha256"),
        Column("received_ns", BigInteger, nullable=False),
        Column("late", Boolean, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.create_index("run_events_once", "run_events", ["run_id", "sha256"], unique=True)
