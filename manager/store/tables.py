"""The tables for SQLAlchemy; migrations/ creates them. A row names its tenant or its agent (one per cluster)."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()


def tenant_columns() -> list[Column[str]]:
    """The four columns of a row's tenant (manager/store/tenancy.py)."""
    names = ("account", "organization", "project", "environment")
    return [Column(name, Text, nullable=False, server_default="") for name in names]


# `identity` is unique in its tenant while the agent is not removed. `config` is JSON that the API answers, null for an
# agent that it did not make. `revision` grows with every stored batch: what was computed before is out of date.
AGENTS = Table(
    "agents",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("object_id", Text, nullable=False, unique=True),
    *tenant_columns(),
    Column("identity", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("updated_ns", BigInteger, nullable=False),
    Column("updated_by", Text, nullable=False, server_default=""),
    Column("removed_ns", BigInteger),
    Column("revision", BigInteger, nullable=False),
    Column("config", LargeBinary),
    Column("permanent", Boolean, nullable=False),
    Column("webhook_url", Text, nullable=False, server_default=""),
    Column("installation_type", Text, nullable=False, server_default=""),
)

# Only the SHA-256 of a token's secret is stored. A key of a person that has an `agent_id` reads that cluster alone.
TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    *tenant_columns(),
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
    Column("purpose", LargeBinary),  # JSON of what it was ordered for; none for a window of the schedule
)

# One row per batch. `pod_index` finds the connections of a pod without their blocks (manager/schema/records.py);
# `pod_cgroups` is gzipped JSON (manager/schema/pod_cgroups.py), none of an agent that sends none.
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
    Column("pod_cgroups", LargeBinary),
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

# A sender is a spool: a node's agent, or the collector. Its batches are numbered; a gap is a run of numbers that have
# not come (manager/store/batches/sequences.py).
SENDERS = Table(
    "senders",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("node_name", Text, nullable=False),
    Column("newest", BigInteger, nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
)

SEQUENCE_GAPS = Table(
    "sequence_gaps",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("low", BigInteger, primary_key=True),
    Column("high", BigInteger, nullable=False),
    Column("node_name", Text, nullable=False),
    Column("before_ns", BigInteger),
    Column("after_ns", BigInteger, nullable=False),
    Column("after_first", BigInteger, nullable=False),
    Column("previous_ns", BigInteger),
    Column("parts", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
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

# One row per window whose map is kept (manager/history/). `batches`, `received_ns`, `inventory_ns` and `missing` say
# what it was computed of; `revision` grows when later batches change it. `document` is what is not in its
# files; `seen` and `chunk` say whether its edges are in those of many windows, and in which.
WINDOW_MAPS = Table(
    "window_maps",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("window_id", Text, primary_key=True),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("batches", Integer, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("inventory_ns", BigInteger, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("computed_ns", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("services_file", Text, nullable=False),
    Column("has_details", Boolean, nullable=False),
    Column("seen", Boolean, nullable=False),
    Column("chunk", Text),
    Column("document", LargeBinary, nullable=False),
)

# Names that people give to windows, such as a release.
WINDOW_TAGS = Table(
    "window_tags",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("window_id", Text, nullable=False),
    Column("tagged_ns", BigInteger, nullable=False),
)

# The files of maps where no folder is set: several managers with one database share them.
HISTORY_FILES = Table(
    "history_files",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# `identity` is unique in its agent. `content` is JSON of tags, resources, connections and rules, as the API has them.
NETWORK_MAPS = Table(
    "network_maps",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.id"), nullable=False),
    Column("identity", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# Services, and workloads without one, of the agent's newest inventory: made from it when they are first asked for.
# `key` is the vertex of the map, `body` JSON of workloads and their pods.
DISCOVERED_SERVICES = Table(
    "discovered_services",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("is_service", Boolean, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# Which inventory an agent's discovered services are from.
DISCOVERED_FROM = Table(
    "discovered_from",
    METADATA,
    Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
    Column("inventory_id", Text, nullable=False),
)

# One row per account, organization and project; `environment` is empty.
API_SETTINGS = Table(
    "api_settings",
    METADATA,
    Column("id", Text, primary_key=True),
    *tenant_columns(),
    Column("image_registry", LargeBinary, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("updated_by", Text, nullable=False),
)
