"""The tables of the log service. A stream is named by account and key; its lines are numbered from 1 as they come."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

from manager.store.tables import METADATA

# `bytes` counts the lines as stored, before compression. A stream that is not open any more has a `closed_ns`.
LOG_STREAMS = Table(
    "log_streams",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("organization", Text, nullable=False, default=""),
    Column("project", Text, nullable=False, default=""),
    Column("environment", Text, nullable=False, default=""),
    Column("opened_ns", BigInteger, nullable=False),
    Column("closed_ns", BigInteger),
    Column("touched_ns", BigInteger, nullable=False),
    Column("next_sequence", BigInteger, nullable=False, default=1),
    Column("lines", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("not_kept_lines", BigInteger, nullable=False, default=0),
    Column("not_kept_bytes", BigInteger, nullable=False, default=0),
    Column("duplicate_lines", BigInteger, nullable=False, default=0),
    Column("conflicting_lines", BigInteger, nullable=False, default=0),
    Column("implicit_opens", Integer, nullable=False, default=0),
)

# One row per request and writer. `positions` are the ranges of `pos` that the lines have; `body` is one JSON text per
# line, compressed.
LOG_CHUNKS = Table(
    "log_chunks",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("first_sequence", BigInteger, primary_key=True),
    Column("lines", Integer, nullable=False),
    Column("writer", Text, nullable=False),
    Column("first_pos", BigInteger, nullable=False),
    Column("last_pos", BigInteger, nullable=False),
    Column("positions", LargeBinary, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("log_chunks_by_position", "account", "key", "writer", "last_pos"),
    Index("log_chunks_by_request", "account", "key", "request_id"),
)

LOG_BLOBS = Table(
    "log_blobs",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("uploaded_ns", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# `key_prefix` and all keys that go on after it with `-`, `/` or `:`. `upload_only`: the token of an upload link, one
# key alone.
LOG_TOKENS = Table(
    "log_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("organization", Text, nullable=False, default=""),
    Column("project", Text, nullable=False, default=""),
    Column("key_prefix", Text, nullable=False),
    Column("upload_only", Boolean, nullable=False, default=False),
    Column("secret_sha256", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("revoked_ns", BigInteger),
)
