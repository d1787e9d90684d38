"""The tables of delegates, of their tasks, and of installations of agents."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, Table, Text

from manager.store.tables import METADATA, tenant_columns

# A delegate applies in a cluster what is handed out to it. `namespaces` is what it said of itself (JSON).
DELEGATES = Table(
    "delegates",
    METADATA,
    Column("id", Text, primary_key=True),
    *tenant_columns(),
    Column("name", Text, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("cluster_uid", Text, nullable=False),
    Column("cluster_version", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("namespaces", LargeBinary, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("seen_ns", BigInteger, nullable=False),
)

# A task is handed out with a lease; `attempt` counts how often. `body` is what is to be done, `objects` what is known
# of each object (JSON both). `cluster_uid`: the only cluster that may take it; empty: any of the tenant's.
DELEGATE_TASKS = Table(
    "delegate_tasks",
    METADATA,
    Column("id", Text, primary_key=True),
    *tenant_columns(),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False, server_default=""),
    Column("delegate_id", Text, nullable=False, server_default=""),
    Column("cluster_uid", Text, nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False),
    Column("lease_until_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("objects", LargeBinary, nullable=False),
    Column("log_key", Text, nullable=False),
    Column("agent_id", Text, ForeignKey("agents.id")),
    Column("installation_id", Text),
    Column("run_id", Text),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
)

# One installation of an agent. `started_ns`: when everything was available; windows count from then on.
INSTALLATIONS = Table(
    "installations",
    METADATA,
    Column("id", Text, primary_key=True),
    *tenant_columns(),
    Column("agent_id", Text, ForeignKey("agents.id"), nullable=False),
    Column("task_id", Text, nullable=False),
    Column("removal_task_id", Text),
    Column("agent_status", Text, nullable=False),
    Column("details", LargeBinary, nullable=False),
    Column("message", Text, nullable=False, server_default=""),
    Column("log_stream_id", Text, nullable=False),
    Column("transient", Boolean, nullable=False),
    Column("cron_triggered", Boolean, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger),
    Column("started_ns", BigInteger),
)
