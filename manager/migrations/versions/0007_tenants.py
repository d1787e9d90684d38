"""Tenants: agents and tokens belong to one, and an agent has what the API made it with.

What was there belongs to the tenant without a name. A name is taken only while its agent is not removed.
"""

import hashlib

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Text, text

revision = "0007"
down_revision = "0006"

TENANT = ("account", "organization", "project", "environment")
NAMES = (*TENANT, "name", "object_id", "webhook_url", "created_by", "updated_by", "installation_type")
OLD = "id, identity, created_ns, removed_ns, revision"


def rebuild_agents() -> None:
    """Drop the unique constraint on the name alone, which SQLite can do only with a new table."""
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("agents_identity_key", "agents")
        return
    op.create_table(
        "agents_rebuilt",
        Column("id", Text, primary_key=True),
        Column("identity", Text, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("removed_ns", BigInteger),
        Column("revision", BigInteger, nullable=False),
    )
    op.execute(f"INSERT INTO agents_rebuilt ({OLD}) SELECT {OLD} FROM agents")  # noqa: S608 - constants
    op.drop_table("agents")
    op.rename_table("agents_rebuilt", "agents")


def upgrade() -> None:
    """Add the columns, give every agent an id of 24 hex digits, and make names unique in their tenant."""
    rebuild_agents()
    for name in NAMES:
        op.add_column("agents", Column(name, Text(collation=collation()), nullable=False, server_default=""))
    op.add_column("agents", Column("config", LargeBinary))
    op.add_column("agents", Column("permanent", Boolean, nullable=False, server_default=text("true")))
    op.add_column("agents", Column("updated_ns", BigInteger, nullable=False, server_default="0"))
    for name in TENANT:
        op.add_column("tokens", Column(name, Text(collation=collation()), nullable=False, server_default=""))
    connection = op.get_bind()
    for agent, created_ns in connection.execute(text("SELECT id, created_ns FROM agents")).all():
        seconds = max(0, created_ns) // 1_000_000_000 & 0xFFFFFFFF
        object_id = f"{seconds:08x}{hashlib.sha256(agent.encode()).hexdigest()[:16]}"
        connection.execute(
            text("UPDATE agents SET object_id = :id, name = identity, updated_ns = created_ns WHERE id = :agent"),
            {"id": object_id, "agent": agent},
        )
    op.create_index("agents_object_id", "agents", ["object_id"], unique=True)
    active = text("removed_ns IS NULL")
    op.create_index(
        "agents_identity",
        "agents",
        [*TENANT, "identity"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    op.create_index("tokens_agent", "tokens", ["agent_id"])


def collation() -> str | None:
    """Names sort by their bytes on PostgreSQL too."""
    return "C" if op.get_context().dialect.name == "postgresql" else None
