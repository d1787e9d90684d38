"""Batches stored, each once."""

from typing import NamedTuple

import orjson
from sqlalchemy import Connection, insert, select, update
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from manager.schema.push_schema import ConnectionsBatch, InventoryPart
from manager.store.batches.inventories import store_part
from manager.store.batches.sequences import named_ns, record_sequence
from manager.store.batches.window_rows import upsert_window
from manager.store.database import Store
from manager.store.tables import AGENTS, BATCHES, OBSERVATIONS, RECORD_BLOCKS
from podsonar.batch_sequence import BatchSequence
from podsonar.errors import StoreConflictError

CONNECTIONS_SIDE, ACCEPTED_SIDE = 0, 1


class BodyMismatchError(Exception):
    """A batch with this id is stored, with another body."""


class Receipt(NamedTuple):
    """The result of storing a batch."""

    stored: bool
    duplicate: bool
    stale: bool
    sequence: str = "absent"


@retry(retry=retry_if_exception_type(StoreConflictError), stop=stop_after_attempt(3), reraise=True)
def store_batch(
    store: Store,
    agent_id: str,
    batch_id: str,
    batch: ConnectionsBatch | InventoryPart,
    now_ns: int,
    digest: str | None = None,
    place: BatchSequence | None = None,
) -> Receipt:
    """Store a batch, durably; one that is there already is a duplicate and changes nothing.

    BodyMismatchError if the stored one has another digest.
    """
    with store.writing() as connection:
        # Batches of one agent are stored one after the other, by however many managers: else two parts of an inventory
        # that arrive together would each miss the other, and none would complete it. SQLite has one writer anyway.
        grown = update(AGENTS).where(AGENTS.c.id == agent_id).values(revision=AGENTS.c.revision + 1)
        own = select(AGENTS.c.revision).where(AGENTS.c.id == agent_id).with_for_update(key_share=True)
        connection.execute(own).all()
        known = select(BATCHES.c.body_sha256).where(BATCHES.c.agent_id == agent_id, BATCHES.c.batch_id == batch_id)
        if (before := connection.execute(known).first()) is not None:
            if None not in (before[0], digest) and before[0] != digest:
                raise BodyMismatchError
            # Not always sent again: an agent that is killed may make the same batch anew, under another number.
            arrival = take_number(connection, agent_id, batch, place, now_ns)
            if arrival in ("new", "late"):
                connection.execute(grown)
            return Receipt(stored=False, duplicate=True, stale=False, sequence=arrival)
        kind = "inventory" if isinstance(batch, InventoryPart) else "connections"
        row = {"agent_id": agent_id, "batch_id": batch_id, "kind": kind, "received_ns": now_ns}
        connection.execute(insert(BATCHES), row | {"body_sha256": digest})
        stale = False
        if isinstance(batch, InventoryPart):
            stale = store_part(connection, agent_id, batch, now_ns)
        else:
            store_connections(connection, agent_id, batch_id, batch, now_ns)
        arrival = take_number(connection, agent_id, batch, place, now_ns)
        connection.execute(grown)
    sequence = "conflict" if arrival == "known" else arrival
    return Receipt(stored=not stale, duplicate=False, stale=stale, sequence=sequence)


def take_number(
    connection: Connection,
    agent_id: str,
    batch: ConnectionsBatch | InventoryPart,
    place: BatchSequence | None,
    now_ns: int,
) -> str:
    """Take note of the batch's number, where it has one."""
    if place is None:
        return "absent"
    node_name = "" if isinstance(batch, InventoryPart) else batch.node_name
    return record_sequence(connection, agent_id, place, named_ns(batch.window.start_ns), node_name, now_ns)


def store_connections(
    connection: Connection, agent_id: str, batch_id: str, batch: ConnectionsBatch, now_ns: int
) -> None:
    """Store a node's counts and its records, block by block."""
    upsert_window(connection, agent_id, batch.window)
    row = {
        "agent_id": agent_id,
        "batch_id": batch_id,
        "window_id": batch.window.id,
        "node_name": batch.node_name,
        "received_ns": now_ns,
        "observation": orjson.dumps(batch.observation),
        "connection_count": batch.connections.total,
        "pod_index": batch.connections.pod_index,
        "pod_cgroups": batch.pod_cgroups,
    }
    connection.execute(insert(OBSERVATIONS), row)
    rows = [
        {
            "agent_id": agent_id,
            "batch_id": batch_id,
            "side": side,
            "block": place,
            "records": block.records,
            "body": block.body,
        }
        for side, records in ((CONNECTIONS_SIDE, batch.connections), (ACCEPTED_SIDE, batch.accepted))
        for place, block in enumerate(records.blocks)
    ]
    if rows:
        connection.execute(insert(RECORD_BLOCKS), rows)
