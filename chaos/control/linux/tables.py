"""Hosts and their tasks. Only digests of access keys are stored."""

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from manager.store.tables import METADATA, tenant_columns

# `next_key_sha256` was handed out by `confirm`; the first request with it makes it the key.
INFRAS = Table(
    "infras",
    METADATA,
    Column("id", Text, primary_key=True),
    *tenant_columns(),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("key_sha256", Text, nullable=False, unique=True),
    Column("next_key_sha256", Text, unique=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("confirmed_ns", BigInteger),
    Column("seen_ns", BigInteger),
    Column("removed_ns", BigInteger),
)

# `action` and `result` are JSON as they came. A task is handed out again, with the same `lce_uid`, while its lease runs
# out before the first status.
LINUX_TASKS = Table(
    "linux_tasks",
    METADATA,
    Column("name", Text, primary_key=True),
    *tenant_columns(),
    Column("infra_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("lce_uid", Text, nullable=False, unique=True),
    Column("stream_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("action", LargeBinary, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("longest_ns", BigInteger, nullable=False),
    Column("lease_until_ns", BigInteger),
    Column("started_ns", BigInteger),
    Column("heard_ns", BigInteger),
    Column("deadline_ns", BigInteger),
    Column("stop_ns", BigInteger),
    Column("stop_reason", Text, nullable=False),
    Column("ended_ns", BigInteger),
    Column("result", LargeBinary),
    Column("result_sha256", Text),
)
