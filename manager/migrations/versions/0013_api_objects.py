"""Network maps, discovered services and settings of the API."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, LargeBinary, Text

revision = "0013"
down_revision = "0012"

TENANT = ("account", "organization", "project", "environment")


def name_type() -> Text:
    """Names sort by their bytes on PostgreSQL too."""
    return Text(collation="C" if op.get_context().dialect.name == "postgresql" else None)


def changes() -> list[Column[object]]:
    """Who made and changed a row, and when."""
    return [
        Column("created_ns", BigInteger, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("updated_ns", BigInteger, nullable=False),
        Column("updated_by", Text, nullable=False),
    ]


def upgrade() -> None:
    """Create the tables, and an index per list."""
    op.create_table(
        "network_maps",
        Column("id", Text, primary_key=True),
        Column("agent_id", Text, ForeignKey("agents.id"), nullable=False),
        Column("identity", name_type(), nullable=False),
        Column("name", name_type(), nullable=False),
        Column("description", Text, nullable=False),
        Column("content", LargeBinary, nullable=False),
        *changes(),
    )
    op.create_index("network_maps_identity", "network_maps", ["agent_id", "identity"], unique=True)
    op.create_index("network_maps_name", "network_maps", ["agent_id", "name", "id"])
    op.create_table(
        "discovered_services",
        Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
        Column("id", Text, primary_key=True),
        Column("key", Text, nullable=False),
        Column("is_service", Boolean, nullable=False),
        Column("namespace", name_type(), nullable=False),
        Column("name", name_type(), nullable=False),
        Column("uid", Text, nullable=False),
        Column("first_ns", BigInteger, nullable=False),
        Column("updated_ns", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.create_index("discovered_services_name", "discovered_services", ["agent_id", "namespace", "name", "id"])
    op.create_table(
        "discovered_from",
        Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
        Column("inventory_id", Text, nullable=False),
    )
    op.create_table(
        "api_settings",
        Column("id", Text, primary_key=True),
        *(Column(name, Text, nullable=False) for name in TENANT),
        Column("image_registry", LargeBinary, nullable=False),
        *changes(),
    )
