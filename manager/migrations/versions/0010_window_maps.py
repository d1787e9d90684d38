"""Maps of windows that outlive their batches, names of windows, and the files of maps where no folder is set."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, Text

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the tables; the maps of windows that are there are computed by the manager, the newest first."""
    op.create_table(
        "window_maps",
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
    op.create_table(
        "window_tags",
        Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("window_id", Text, nullable=False),
        Column("tagged_ns", BigInteger, nullable=False),
    )
    op.create_table(
        "history_files",
        Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("body", LargeBinary, nullable=False),
    )
