"""The tables of the log service."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Streams, their chunks, uploaded blobs, and the tokens that write them."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    key = Text(collation=collation)
    scope = [Column(name, Text, nullable=False, server_default="") for name in ("organization", "project")]
    counts = ("lines", "bytes", "not_kept_lines", "not_kept_bytes", "duplicate_lines", "conflicting_lines")
    op.create_table(
        "log_streams",
        Column("account", key, primary_key=True),
        Column("key", key, primary_key=True),
        *scope,
        Column("environment", Text, nullable=False, server_default=""),
        Column("opened_ns", BigInteger, nullable=False),
        Column("closed_ns", BigInteger),
        Column("touched_ns", BigInteger, nullable=False),
        Column("next_sequence", BigInteger, nullable=False),
        *(Column(name, BigInteger, nullable=False) for name in counts),
        Column("implicit_opens", Integer, nullable=False),
    )
    op.create_index("log_streams_by_touched", "log_streams", ["touched_ns"])
    op.create_table(
        "log_chunks",
        Column("account", key, primary_key=True),
        Column("key", key, primary_key=True),
        Column("first_sequence", BigInteger, primary_key=True),
        Column("lines", Integer, nullable=False),
        Column("writer", key, nullable=False),
        Column("first_pos", BigInteger, nullable=False),
        Column("last_pos", BigInteger, nullable=False),
        Column("positions", LargeBinary, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("sha256", Text, nullable=False),
        Column("received_ns", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.create_index("log_chunks_by_position", "log_chunks", ["account", "key", "writer", "last_pos"])
    op.create_index("log_chunks_by_request", "log_chunks", ["account", "key", "request_id"])
    op.create_table(
        "log_blobs",
        Column("account", key, primary_key=True),
        Column("key", key, primary_key=True),
        Column("sha256", Text, primary_key=True),
        Column("bytes", BigInteger, nullable=False),
        Column("uploaded_ns", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.create_table(
        "log_tokens",
        Column("id", Text, primary_key=True),
        Column("account", Text, nullable=False),
        *(Column(name, Text, nullable=False, server_default="") for name in ("organization", "project")),
        Column("key_prefix", Text, nullable=False),
        Column("upload_only", Boolean, nullable=False),
        Column("secret_sha256", Text, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("expires_ns", BigInteger),
        Column("revoked_ns", BigInteger),
    )
