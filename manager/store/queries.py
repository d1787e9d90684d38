"""What the API and the map read."""

from typing import Any, NamedTuple

import orjson
from sqlalchemy import Select, func, or_, select

from manager.store.database import Store, decompress_json
from manager.store.tables import INVENTORIES, INVENTORY_PARTS, OBJECTS, OBSERVATIONS, WINDOWS
from podsonar.model import Window


class Observation(NamedTuple):
    """One pushed connections batch: records as they came."""

    batch_id: str
    node_name: str
    received_ns: int
    counts: dict[str, Any]
    connections: list[dict[str, Any]]
    accepted: list[dict[str, Any]]


def list_windows(store: Store, agent_id: str) -> list[Window]:
    """The agent's windows with connections, newest first; where there are none, those with an inventory."""
    observed = select(OBSERVATIONS.c.window_id).where(OBSERVATIONS.c.agent_id == agent_id)
    every = (
        select(WINDOWS.c.start_ns, WINDOWS.c.end_ns)
        .where(WINDOWS.c.agent_id == agent_id)
        .order_by(WINDOWS.c.start_ns.desc())
    )
    with store.reading() as connection:
        rows = connection.execute(every.where(WINDOWS.c.window_id.in_(observed))).all()
        return [Window(*row) for row in rows or connection.execute(every).all()]


def newest_inventory(store: Store, agent_id: str) -> dict[str, Any] | None:
    """The newest inventory that was begun: its window, whether it is whole, and how many parts wait for others.

    `incompleteKinds` has the reason of each kind that the collector did not list whole; null where that is not known.
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
    """What every node saw in a window."""
    columns = ("batch_id", "node_name", "received_ns", "observation", "connections", "accepted")
    wanted = (
        select(*(OBSERVATIONS.c[name] for name in columns))
        .where(OBSERVATIONS.c.agent_id == agent_id, OBSERVATIONS.c.window_id == window_id)
        .order_by(OBSERVATIONS.c.node_name, OBSERVATIONS.c.batch_id)
    )
    with store.reading() as connection:
        rows = connection.execute(wanted).all()
    return [Observation(*row[:3], *(decompress_json(part) for part in row[3:])) for row in rows]


def read_summaries(store: Store, agent_id: str, window: Window | None) -> dict[str, list[dict[str, Any]]]:
    """The facts of all objects that were there in the window (now, without one), by kind."""
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


def like_pattern(text: str) -> str:
    """A LIKE pattern for "contains `text`", its own wildcards taken literally."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def filter_objects(wanted: Select[Any], agent_id: str, kind: str, namespace: str, name: str) -> Select[Any]:
    """The query for current objects of a kind."""
    wanted = wanted.where(OBJECTS.c.agent_id == agent_id, OBJECTS.c.kind == kind, OBJECTS.c.removed_ns.is_(None))
    if namespace:
        wanted = wanted.where(OBJECTS.c.namespace == namespace)
    if name:
        wanted = wanted.where(func.lower(OBJECTS.c.name).like(like_pattern(name), escape="\\"))
    return wanted


def list_objects(
    store: Store,
    agent_id: str,
    kind: str,
    *,
    namespace: str = "",
    name: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> tuple[int, list[dict[str, Any]]]:
    """How many current objects of a kind there are, and one page of them: body and when first and last stored."""
    with store.reading() as connection:
        total = connection.execute(filter_objects(select(func.count()), agent_id, kind, namespace, name)).scalar_one()
        columns = (OBJECTS.c.body, OBJECTS.c.first_ns, OBJECTS.c.updated_ns)
        wanted = filter_objects(select(*columns), agent_id, kind, namespace, name)
        wanted = wanted.order_by(OBJECTS.c.namespace, OBJECTS.c.name, OBJECTS.c.uid).limit(limit).offset(offset)
        rows = connection.execute(wanted).all()
    return total, [{"body": orjson.loads(body), "first_ns": first, "updated_ns": last} for body, first, last in rows]
