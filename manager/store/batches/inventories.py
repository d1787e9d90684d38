"""Inventories: one becomes current when all of its parts are there.

A kind that was listed whole replaces what was known of it; one that was not only adds. An inventory older than the
newest applied one is kept out and called stale.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select, update

from manager.schema.push_schema import InventoryPart
from manager.store.batches.object_summary import created_ns, summarize_object
from manager.store.batches.window_rows import upsert_window
from manager.store.database import upsert
from manager.store.tables import INVENTORIES, INVENTORY_PARTS, OBJECTS
from podsonar.timestamp import NS_PER_SECOND

PARTS_EXPIRE_NS = 3600 * NS_PER_SECOND
PER_STATEMENT = 500


def store_part(connection: Connection, agent_id: str, part: InventoryPart, now_ns: int) -> bool:
    """Store a part and return whether it is stale; with the last missing part the inventory becomes current."""
    newest = (
        select(INVENTORIES.c.start_ns, INVENTORIES.c.sequence)
        .where(INVENTORIES.c.agent_id == agent_id, INVENTORIES.c.complete.is_(True))
        .order_by(INVENTORIES.c.start_ns.desc(), INVENTORIES.c.sequence.desc())
    )
    current = connection.execute(newest).first()
    if current is not None and (part.window.start_ns, part.sequence) < tuple(current):
        return True
    this_inventory = (INVENTORIES.c.agent_id == agent_id) & (INVENTORIES.c.inventory_id == part.id)
    if connection.execute(select(INVENTORIES.c.complete).where(this_inventory)).scalar():
        return True  # already complete: one of its parts under another batch id changes nothing
    expire_parts(connection, agent_id, now_ns)
    this = (INVENTORY_PARTS.c.agent_id == agent_id) & (INVENTORY_PARTS.c.inventory_id == part.id)
    body = orjson.dumps({"objects": part.objects, "complete": part.complete})
    row = {"agent_id": agent_id, "inventory_id": part.id, "part": part.part, "body": body, "received_ns": now_ns}
    upsert(connection, INVENTORY_PARTS, [row])
    there = set(connection.execute(select(INVENTORY_PARTS.c.part).where(this)).scalars())
    complete = there >= set(range(1, part.parts + 1))
    if complete:
        # One part at a time: an inventory of 50,000 pods is never in memory as a whole.
        bodies = (
            orjson.loads(connection.execute(select(INVENTORY_PARTS.c.body).where(this & of_number)).scalar_one())
            for of_number in (INVENTORY_PARTS.c.part == number for number in sorted(there))
        )
        apply_inventory(connection, agent_id, part, bodies, now_ns)
        connection.execute(delete(INVENTORY_PARTS).where(this))
    inventory = {"agent_id": agent_id, "inventory_id": part.id, "start_ns": part.window.start_ns}
    outcome = {"sequence": part.sequence, "complete": complete, "reasons": orjson.dumps(part.reasons)}
    upsert(connection, INVENTORIES, [inventory | outcome])
    return False


def expire_parts(connection: Connection, agent_id: str, now_ns: int) -> None:
    """Delete parts whose inventory did not become complete in an hour; the inventory stays known as incomplete."""
    old = (INVENTORY_PARTS.c.agent_id == agent_id) & (INVENTORY_PARTS.c.received_ns < now_ns - PARTS_EXPIRE_NS)
    connection.execute(delete(INVENTORY_PARTS).where(old))


def apply_inventory(
    connection: Connection, agent_id: str, last: InventoryPart, parts: Iterable[dict[str, Any]], now_ns: int
) -> None:
    """Make the objects of all parts current, and mark those of complete kinds that are no longer listed as removed."""
    upsert_window(connection, agent_id, last.window)
    listed: dict[str, set[str]] = {}
    complete: dict[str, bool] = {}
    for part in parts:
        for kind, objects in part["objects"].items():
            by_uid = {item["metadata"]["uid"]: item for item in objects}
            listed.setdefault(kind, set()).update(by_uid)
            rows = [object_row(agent_id, kind, item, last.window.start_ns, now_ns) for item in by_uid.values()]
            upsert(connection, OBJECTS, rows, keep=("first_ns",))
        for kind, whole in part["complete"].items():
            complete[kind] = complete.get(kind, True) and whole
    for kind in (kind for kind, whole in complete.items() if whole):
        this = (OBJECTS.c.agent_id == agent_id) & (OBJECTS.c.kind == kind) & OBJECTS.c.removed_ns.is_(None)
        if last.namespace:
            this &= OBJECTS.c.namespace == last.namespace
        known = set(connection.execute(select(OBJECTS.c.uid).where(this)).scalars())
        gone = sorted(known - listed.get(kind, set()))
        for some in (gone[place : place + PER_STATEMENT] for place in range(0, len(gone), PER_STATEMENT)):
            # `removed_ns` is the start of the window that no longer held it: maps of earlier windows still do.
            values = {"removed_ns": last.window.start_ns}
            connection.execute(update(OBJECTS).where(this, OBJECTS.c.uid.in_(some)).values(values))


def object_row(agent_id: str, kind: str, item: dict[str, Any], start_ns: int, now_ns: int) -> dict[str, Any]:
    """An object as a row of `objects`."""
    metadata = item["metadata"]
    return {
        "agent_id": agent_id,
        "kind": kind,
        "uid": metadata["uid"],
        "namespace": metadata.get("namespace") or "",
        "name": metadata["name"],
        "created_ns": max(0, min(created_ns(item), now_ns)),
        "first_ns": start_ns,
        "updated_ns": now_ns,
        "removed_ns": None,
        "facts": orjson.dumps(summarize_object(kind, item)),
        "body": orjson.dumps(item),
    }
