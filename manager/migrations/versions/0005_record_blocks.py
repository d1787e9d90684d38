"""Records of connections in blocks: a page is read from the blocks that hold it, not from the whole window."""

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
from alembic import op
from isal import igzip_lib
from sqlalchemy import Column, Connection, ForeignKey, Integer, LargeBinary, Text, text

from manager.schema.gunzip import BadBodyError
from manager.schema.object_fields import clean_object
from manager.schema.observation import clean_observation
from manager.schema.records import ACCEPTED, LISTED, Records, pack_records
from manager.store.batches.object_summary import summarize_object

revision = "0005"
down_revision = "0004"

OLD = "SELECT observation, connections, accepted FROM observations WHERE agent_id = :agent AND batch_id = :batch"
BLOCK = "INSERT INTO record_blocks (agent_id, batch_id, side, block, records, body) VALUES (:agent, :batch, :side, :block, :records, :body)"  # noqa: E501
NEW = "UPDATE observations SET observation = :observation, connection_count = :count, pod_index = :index WHERE agent_id = :agent AND batch_id = :batch"  # noqa: E501


OBJECT = "SELECT body FROM objects WHERE agent_id = :agent AND kind = :kind AND uid = :uid"
CLEANED = "UPDATE objects SET body = :body, facts = :facts WHERE agent_id = :agent AND kind = :kind AND uid = :uid"


def inflated(packed: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The content that the old schema stored."""
    return orjson.loads(igzip_lib.decompress(packed, igzip_lib.DECOMP_GZIP))


def raws_of(records: list[Any], decoder: msgspec.json.Decoder[Any]) -> Iterator[msgspec.Raw]:
    """The records that readers can use: before this schema not every member had a checked type."""
    for record in records:
        raw = msgspec.Raw(orjson.dumps(record))
        try:
            pack_records([raw], "", decoder)
        except BadBodyError:
            continue
        yield raw


def packed(records: list[Any], decoder: msgspec.json.Decoder[Any]) -> Records:
    """An old list in blocks."""
    try:
        return pack_records([msgspec.Raw(orjson.dumps(record)) for record in records], "", decoder)
    except BadBodyError:
        return pack_records(list(raws_of(records, decoder)), "", decoder)


def clean_objects(connection: Connection) -> None:
    """Take out of stored objects what no reader expects, and summarize those again."""
    keys = connection.execute(text("SELECT agent_id, kind, uid FROM objects")).all()
    for agent, kind, uid in keys:
        key = {"agent": agent, "kind": kind, "uid": uid}
        item = orjson.loads(connection.execute(text(OBJECT), key).scalar_one())
        if clean_object(kind, item):
            values = {"body": orjson.dumps(item), "facts": orjson.dumps(summarize_object(kind, item))}
            connection.execute(text(CLEANED), key | values)


def upgrade() -> None:
    """Create the blocks, fill them batch by batch, and drop what they replace."""
    op.create_table(
        "record_blocks",
        Column("agent_id", Text, ForeignKey("agents.id"), primary_key=True),
        Column("batch_id", Text, primary_key=True),
        Column("side", Integer, primary_key=True),
        Column("block", Integer, primary_key=True),
        Column("records", Integer, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.add_column("observations", Column("connection_count", Integer, nullable=False, server_default="0"))
    op.add_column("observations", Column("pod_index", LargeBinary, nullable=False, server_default=""))
    connection = op.get_bind()
    for agent, batch in connection.execute(text("SELECT agent_id, batch_id FROM observations")).all():
        key = {"agent": agent, "batch": batch}
        observation, connections, accepted = connection.execute(text(OLD), key).one()
        sides = packed(inflated(connections), LISTED), packed(inflated(accepted), ACCEPTED)
        rows = [
            {**key, "side": side, "block": place, "records": block.records, "body": block.body}
            for side, records in enumerate(sides)
            for place, block in enumerate(records.blocks)
        ]
        if rows:
            connection.execute(text(BLOCK), rows)
        counts, _ = clean_observation(inflated(observation))
        values = {"observation": orjson.dumps(counts), "count": sides[0].total, "index": sides[0].pod_index}
        connection.execute(text(NEW), key | values)
    clean_objects(connection)
    op.drop_column("observations", "connections")
    op.drop_column("observations", "accepted")
    op.drop_index("observations_window", "observations")
    order = ["agent_id", "window_id", "node_name", "batch_id"]
    op.create_index("observations_window", "observations", [*order, "connection_count"])
