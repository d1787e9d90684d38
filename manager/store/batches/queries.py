"""Reads of windows, inventories and summaries of objects; each ends before its result is used."""

from typing import Any

import orjson
from sqlalchemy import func, or_, select

from manager.store.database import Store
from manager.store.tables import (
    INVENTORIES,
    INVENTORY_PARTS,
    OBJECTS,
    OBSERVATIONS,
    WINDOW_MAPS,
    WINDOWS,
)
from podsonar.model import Purpose, Window


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
