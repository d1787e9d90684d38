"""The tables of experiments: revisions of their manifests, runs, and every event that a run's state came from."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from manager.store.tables import METADATA, tenant_columns

EXPERIMENTS = Table(
    "experiments",
    METADATA,
    Column("id", Text, primary_key=True),
    *tenant_columns(),
    Column("name", Text, nullable=False),
    Column("infra_id", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("removed_ns", BigInteger),
    Index("experiments_by_name", "account", "organization", "project", "environment", "name"),
)

# `manifest`, `weights`, `probes` and `plan` are JSON.
EXPERIMENT_REVISIONS = Table(
    "experiment_revisions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("experiment_id", Text, ForeignKey("experiments.id"), nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("weights", LargeBinary, nullable=False),
    Column("probes", LargeBinary, nullable=False),
    Column("plan", LargeBinary, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Index("experiment_revisions_of", "experiment_id", "created_ns"),
)

# `execution`, `governance` and `score` are JSON. The key of a run, of which the hash is here, proves its runner.
EXPERIMENT_RUNS = Table(
    "experiment_runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("notify_id", Text, nullable=False, unique=True),
    Column("experiment_id", Text, ForeignKey("experiments.id"), nullable=False),
    Column("revision_id", Text, ForeignKey("experiment_revisions.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("completed", Boolean, nullable=False),
    Column("execution", LargeBinary, nullable=False),
    Column("governance", LargeBinary, nullable=False),
    Column("score", LargeBinary),
    Column("error_response", Text, nullable=False, default=""),
    Column("key_sha256", Text, nullable=False, unique=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("heard_ns", BigInteger),
    Column("deadline_ns", BigInteger, nullable=False),
    Column("stop_ns", BigInteger),
    Column("stop_reason", Text, nullable=False, default=""),
    Index("experiment_runs_of", "experiment_id", "sequence"),
    Index("experiment_runs_open", "completed", "deadline_ns"),
)

# Append only: how a state came about. An event after the completion is `late` and changes nothing.
RUN_EVENTS = Table(
    "run_events",
    METADATA,
    Column("run_id", Text, ForeignKey("experiment_runs.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("run_events_once", "run_id", "sha256", unique=True),
)
