"""The numbers of senders' batches, and which are missing."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Text

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Nothing is known of batches of before: a sender's numbers count from the first one that comes."""
    op.create_table(
        "senders",
        Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
        Column("sender", Text, primary_key=True),
        Column("node_name", Text, nullable=False),
        Column("newest", BigInteger, nullable=False),
        Column("start_ns", BigInteger, nullable=False),
        Column("updated_ns", BigInteger, nullable=False),
    )
    op.create_table(
        "sequence_gaps",
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
