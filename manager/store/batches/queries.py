"""Reads of windows, inventories and observations; each ends before its result is used, and holds no window at once."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import func, or_, select

from manager.schema.pod_cgroups import PodCgroups, unpack_pod_cgroups
from manager.schema.records import Block, positions_of
from manager.store.batches.writes import CONNECTIONS_SIDE
from manager.store.database import Store
from manager.store.tables import (
    INVENTORIES,
    INVENTORY_PARTS,
    OBJECTS,
    OBSERVATIONS,
    RECORD_BLOCKS,
    WINDOW_MAPS,
    WINDOWS,
)
from podsonar.model import Purpose, Window


class Observation(NamedTuple):
    """One pushed connections batch without its records."""

    batch_id: str
    node_name: str
    received_ns: int
    connection_count: int


class BlockPlace(NamedTuple):
    """A block of connections, and the numbers of the records in it that are wanted."""

    batch: Observation
    block: int
    first: int
    wanted: Sequence[int]


def list_windows(store: Store, agent_id: str) -> list[Window]:
    """The agent's windows with connections or a kept map, newest first; if there are none, those with an inventory.

    Each is looked up by one entry of an index: neither the batches of a window nor the maps are read.
    """
    every = select(WINDOWS.c.start_ns, WINDOWS.c.end_ns).where(WINDOWS.c.agent_id == agent_id)
    ordered = select(WINDOWS.c.start_ns, WINDOWS.c.purpose).where(
        WINDOWS.c.agent_id == agent_id, WINDOWS.c.purpose.is_not(None)
    )
    of_window = (OBSERVATIONS.c.agent_id == agent_id) & (OBSERVATIONS.c.window_id == WINDOWS.c.window_id)
    batches = select(OBSERVATIONS.c.window_id).where(of_window)
    kept = select(WINDOW_MAPS.c.start_ns, WINDOW_MAPS.c.end_ns).where(WINDOW_MAPS.c.agent_id == agent_id)
    with store.reading() as connection:
        rows = connection.execute(every.where(batches.exists()).union(kept)).all()
        rows = rows or connection.execute(every).all()
        purposes = {start_ns: purpose_of(purpose) for start_ns, purpose in connection.execute(ordered)}
    return sorted((Window(*row, purposes.get(row[0])) for row in rows), key=lambda one: -one.start_ns)


def purpose_of(stored: bytes | None) -> Purpose | None:
    """What a window was ordered for, from its row."""
    return Purpose(**orjson.loads(stored)) if stored else None


def newest_inventory(store: Store, agent_id: str) -> dict[str, Any] | None:
    """The newest inventory that was begun: its window, whether it is whole, and how many parts wait for others.

    `incompleteKinds` has the reason of each kind that the collector did not list whole; null if that is not known.
    """
    wanted = (
        select(INVENTORIES)
        .where(INVENTORIES.c.agent_id == agent_id)
        .order_by(INVENTORIES.c.start_ns.desc(), INVENTORIES.c.sequence.desc())
    )
    with store.reading() as connection:
        row = connection.execute(wanted).mappings().first()
        if row is None:
            return None
        waiting = select(func.count()).where(
            INVENTORY_PARTS.c.agent_id == agent_id, INVENTORY_PARTS.c.inventory_id == row["inventory_id"]
        )
        parts = connection.execute(waiting).scalar_one()
    state = "complete" if row["complete"] else "incomplete"
    return {
        "window": Window(row["start_ns"], row["start_ns"]).id,
        "state": state,
        "waitingParts": parts,
        "incompleteKinds": None if row["reasons"] is None else orjson.loads(row["reasons"]),
    }


def read_observations(store: Store, agent_id: str, window_id: str) -> list[Observation]:
    """The batches of a window in the order of lists."""
    wanted = (
        select(*(OBSERVATIONS.c[name] for name in Observation._fields))
        .where(OBSERVATIONS.c.agent_id == agent_id, OBSERVATIONS.c.window_id == window_id)
        .order_by(OBSERVATIONS.c.node_name, OBSERVATIONS.c.batch_id)
    )
    with store.reading() as connection:
        return [Observation(*row) for row in connection.execute(wanted)]


def read_counts(store: Store, agent_id: str, batch_id: str) -> dict[str, Any]:
    """The counts of one batch; empty if it has been deleted meanwhile."""
    this = (OBSERVATIONS.c.agent_id == agent_id) & (OBSERVATIONS.c.batch_id == batch_id)
    with store.reading() as connection:
        found = connection.execute(select(OBSERVATIONS.c.observation).where(this)).scalar()
    counts: dict[str, Any] = orjson.loads(found) if found is not None else {}
    return counts


def read_pod_cgroups(store: Store, agent_id: str, batch_id: str) -> dict[str, PodCgroups] | None:
    """The cgroups by pod UID that came with one batch; None if none came, or it has been deleted meanwhile."""
    this = (OBSERVATIONS.c.agent_id == agent_id) & (OBSERVATIONS.c.batch_id == batch_id)
    with store.reading() as connection:
        found = connection.execute(select(OBSERVATIONS.c.pod_cgroups).where(this)).scalar()
    return unpack_pod_cgroups(found) if found is not None else None


def read_block(store: Store, agent_id: str, batch_id: str, side: int, block: int) -> Block | None:
    """One block; None if there is none of that number, or its batch has been deleted meanwhile."""
    this = (RECORD_BLOCKS.c.agent_id == agent_id) & (RECORD_BLOCKS.c.batch_id == batch_id)
    this &= (RECORD_BLOCKS.c.side == side) & (RECORD_BLOCKS.c.block == block)
    with store.reading() as connection:
        row = connection.execute(select(RECORD_BLOCKS.c.records, RECORD_BLOCKS.c.body).where(this)).first()
    return Block(*row) if row else None


def iterate_blocks(store: Store, agent_id: str, batch_id: str, side: int) -> Iterator[Block]:
    """The blocks of one batch, each read when it is asked for."""
    place = 0
    while (block := read_block(store, agent_id, batch_id, side, place)) is not None:
        yield block
        place += 1


def list_block_sizes(store: Store, agent_id: str, batch_id: str) -> list[int]:
    """How many connections each block of a batch holds."""
    this = (RECORD_BLOCKS.c.agent_id == agent_id) & (RECORD_BLOCKS.c.batch_id == batch_id)
    wanted = select(RECORD_BLOCKS.c.records).where(this, RECORD_BLOCKS.c.side == CONNECTIONS_SIDE)
    with store.reading() as connection:
        return list(connection.execute(wanted.order_by(RECORD_BLOCKS.c.block)).scalars())


def places_of_pod(store: Store, agent_id: str, batch: Observation, pod_uid: str) -> list[int]:
    """The numbers of a batch's connections that may be of a pod."""
    this = (OBSERVATIONS.c.agent_id == agent_id) & (OBSERVATIONS.c.batch_id == batch.batch_id)
    with store.reading() as connection:
        index = connection.execute(select(OBSERVATIONS.c.pod_index).where(this)).scalar()
    return positions_of(pod_uid, index) if index else []


def locate(store: Store, agent_id: str, batch: Observation, wanted: Sequence[int]) -> Iterator[BlockPlace]:
    """The blocks that hold some of a batch's connections; `wanted` are their numbers in order."""
    first = at = 0
    for block, size in enumerate(list_block_sizes(store, agent_id, batch.batch_id)):
        begin = at
        while at < len(wanted) and wanted[at] < first + size:
            at += 1
        if at > begin:
            yield BlockPlace(batch, block, first, wanted[begin:at])
        first += size


def read_summaries(store: Store, agent_id: str, window: Window | None) -> dict[str, list[dict[str, Any]]]:
    """The summaries of all objects that were there in the window (now, without one), by kind."""
    wanted = select(OBJECTS.c.kind, OBJECTS.c.facts).where(OBJECTS.c.agent_id == agent_id)
    if window is None:
        wanted = wanted.where(OBJECTS.c.removed_ns.is_(None))
    else:
        gone = OBJECTS.c.removed_ns
        wanted = wanted.where(OBJECTS.c.created_ns < window.end_ns, or_(gone.is_(None), gone > window.start_ns))
    found: dict[str, list[dict[str, Any]]] = {}
    with store.reading() as connection:
        for kind, facts in connection.execute(wanted.order_by(OBJECTS.c.kind, OBJECTS.c.namespace, OBJECTS.c.name)):
            found.setdefault(kind, []).append(orjson.loads(facts))
    return found
