"""Network maps: named sets of an agent's discovered services, with the connections between them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from manager.store.batches.object_lists import like_pattern
from manager.store.database import Store
from manager.store.object_ids import new_object_id
from manager.store.tables import NETWORK_MAPS


class IdentityTakenError(Exception):
    """The agent has a network map of that identity."""


class Change(NamedTuple):
    """Name, description and content of a network map; who gave them, when, and whether they replace earlier ones."""

    values: dict[str, Any]
    by: str
    now_ns: int
    replaces: bool


class NetworkMap(NamedTuple):
    """A stored network map; `content` has tags, resources, connections and rules as the API answers them."""

    id: str
    agent_id: str
    identity: str
    name: str
    description: str
    content: dict[str, Any]
    created_ns: int
    created_by: str
    updated_ns: int
    updated_by: str


def map_of_row(row: RowMapping) -> NetworkMap:
    """The network map in a row."""
    return NetworkMap(**{**row, "content": orjson.loads(row["content"])})


def list_network_maps(
    store: Store, agent_id: str, search: str, limit: int | None, offset: int
) -> tuple[list[NetworkMap], int]:
    """One page of an agent's network maps with a text in their name, and how many there are in all."""
    this = NETWORK_MAPS.c.agent_id == agent_id
    if search:
        this &= func.lower(NETWORK_MAPS.c.name).like(like_pattern(search), escape="\\")
    order = (NETWORK_MAPS.c.name, NETWORK_MAPS.c.id)
    with store.reading() as connection:
        total = int(connection.execute(select(func.count()).select_from(NETWORK_MAPS).where(this)).scalar_one())
        rows = connection.execute(select(NETWORK_MAPS).where(this).order_by(*order).limit(limit).offset(offset))
        return [map_of_row(row) for row in rows.mappings()], total


def find_network_map(connection: Connection, agent_id: str, identity: str) -> NetworkMap | None:
    """The agent's network map of that identity."""
    this = (NETWORK_MAPS.c.agent_id == agent_id) & (NETWORK_MAPS.c.identity == identity)
    row = connection.execute(select(NETWORK_MAPS).where(this)).mappings().first()
    return map_of_row(row) if row else None


def store_network_map(
    connection: Connection, agent_id: str, identity: str, change: Change, random_bytes: Callable[[int], bytes]
) -> NetworkMap:
    """Store a network map and return it; IdentityTakenError if there is one that the change does not replace."""
    values, by, now_ns, replaces = change
    known = find_network_map(connection, agent_id, identity)
    if known is not None and not replaces:
        raise IdentityTakenError
    row = {**values, "content": orjson.dumps(values["content"]), "updated_ns": now_ns, "updated_by": by}
    if known is not None:
        connection.execute(update(NETWORK_MAPS).where(NETWORK_MAPS.c.id == known.id).values(**row))
        return known._replace(**values, updated_ns=now_ns, updated_by=by)
    made: dict[str, Any] = {"id": new_object_id(now_ns, random_bytes), "agent_id": agent_id, "identity": identity}
    made |= {"created_ns": now_ns, "created_by": by}
    connection.execute(insert(NETWORK_MAPS), made | row)
    return NetworkMap(**{**made, **row, "content": values["content"]})


def delete_network_map(store: Store, agent_id: str, identity: str) -> bool:
    """Whether there was such a network map; it is gone."""
    this = (NETWORK_MAPS.c.agent_id == agent_id) & (NETWORK_MAPS.c.identity == identity)
    with store.writing() as connection:
        return connection.execute(delete(NETWORK_MAPS).where(this)).rowcount > 0
