"""The first schema."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, Text

revision = "0001"
down_revision = None


def agent_key() -> Column[str]:
    """The column that keeps every agent's rows apart."""
    return Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "agents",
        Column("id", Text, primary_key=True),
        Column("identity", Text, nullable=False, unique=True),
        Column("created_ns", BigInteger, nullable=False),
        Column("removed_ns", BigInteger),
        Column("revision", BigInteger, nullable=False),
    )
    op.create_table(
        "tokens",
        Column("id", Text, primary_key=True),
        Column("scope", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("agent_id", Text, ForeignKey("agents.id")),
        Column("secret_sha256", Text, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("revoked_ns", BigInteger),
    )
    op.create_table(
        "batches",
        agent_key(),
        Column("batch_id", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("received_ns", BigInteger, nullable=False),
    )
    op.create_table(
        "windows",
        agent_key(),
        Column("window_id", Text, primary_key=True),
        Column("start_ns", BigInteger, nullable=False),
        Column("end_ns", BigInteger, nullable=False),
    )
    op.create_table(
        "observations",
        agent_key(),
        Column("batch_id", Text, primary_key=True),
        Column("window_id", Text, nullable=False),
        Column("node_name", Text, nullable=False),
        Column("received_ns", BigInteger, nullable=False),
        Column("observation", LargeBinary, nullable=False),
        Column("connections", LargeBinary, nullable=False),
        Column("accepted", LargeBinary, nullable=False),
    )
    op.create_index("observations_window", "observations", ["agent_id", "window_id"])
    op.create_table(
        "inventory_parts",
        agent_key(),
        Column("inventory_id", Text, primary_key=True),
        Column("part", Integer, primary_key=True),
        Column("body", LargeBinary, nullable=False),
        Column("received_ns", BigInteger, nullable=False),
    )
    op.create_table(
        "inventories",
        agent_key(),
        Column("inventory_id", Text, primary_key=True),
        Column("start_ns", BigInteger, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("complete", Boolean, nullable=False),
    )
    op.create_table(
        "objects",
        agent_key(),
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
    op.create_index("objects_name", "objects", ["agent_id", "kind", "namespace", "name"])
