"""The tables for SQLAlchemy; migrations/ creates them. Every table is keyed by the agent (one per cluster)."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()

# `revision` grows with every stored batch: what was computed from an older one is out of date.
AGENTS = Table(
    "agents",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("identity", Text, nullable=False, unique=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("removed_ns", BigInteger),
    Column("revision", BigInteger, nullable=False),
)

# Only the SHA-256 of a token's secret is stored. A key of a person that has an `agent_id` reads that cluster alone.
TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("agent_id", Text, ForeignKey("agents.id")),
    Column("secret_sha256", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger),
    Column("expires_ns", BigInteger),
    Column("last_used_ns", BigInteger),
)

BATCHES = Table(
    "batches",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("body_sha256", Text),
)

WINDOWS = Table(
    "windows",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("window_id", Text, primary_key=True),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger, nullable=False),
)

# One row per batch. `pod_index` finds the connections of a pod without their blocks (manager/schema/records.py).
OBSERVATIONS = Table(
    "observations",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("window_id", Text, nullable=False),
    Column("node_name", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("observation", LargeBinary, nullable=False),
    Column("connection_count", Integer, nullable=False),
    Column("pod_index", LargeBinary, nullable=False),
)

# The records of a batch in blocks of up to 1,000: a list answers a page from the blocks that hold it, a map reads them
# one by one, and a batch of 5,000 connections is five rows. `side` is 0 for connections, 1 for accepted.
RECORD_BLOCKS = Table(
    "record_blocks",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("side", Integer, primary_key=True),
    Column("block", Integer, primary_key=True),
    Column("records", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# Parts of an inventory wait here until the last one is there.
INVENTORY_PARTS = Table(
    "inventory_parts",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("inventory_id", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
)

INVENTORIES = Table(
    "inventories",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("inventory_id", Text, primary_key=True),
    Column("start_ns", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("reasons", LargeBinary),  # by kind that was not listed whole
)

# `facts` is the small part of an object that maps and joins need; `body` is the whole object.
OBJECTS = Table(
    "objects",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("uid", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("removed_ns", BigInteger),
    Column("facts", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
