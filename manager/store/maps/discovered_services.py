"""Discovered services as lists show them: rows made from an agent's newest inventory, paged by the database."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, select

from manager.store.batches.object_lists import like_pattern
from manager.store.database import Store, upsert
from manager.store.tables import DISCOVERED_FROM, DISCOVERED_SERVICES, INVENTORIES

ROWS_AT_ONCE = 500


class DiscoveredService(NamedTuple):
    """A Service, or a workload without one; `body` has its workloads with their pods, `key` is its vertex."""

    agent_id: str
    id: str
    key: str
    is_service: bool
    namespace: str
    name: str
    uid: str
    first_ns: int
    updated_ns: int
    body: dict[str, Any]


def service_of_row(row: RowMapping) -> DiscoveredService:
    """The discovered service in a row."""
    return DiscoveredService(**{**row, "body": orjson.loads(row["body"])})


def newest_whole_inventory(connection: Connection, agent_id: str) -> str:
    """The id of the inventory that the agent's objects are from; empty if there is none."""
    whole = select(INVENTORIES.c.inventory_id).where(INVENTORIES.c.agent_id == agent_id, INVENTORIES.c.complete)
    newest = whole.order_by(INVENTORIES.c.start_ns.desc(), INVENTORIES.c.sequence.desc()).limit(1)
    return connection.execute(newest).scalar() or ""


def inventories_of(store: Store, agent_id: str) -> tuple[str, str]:
    """The agent's newest whole inventory, and the one that its discovered services were made from."""
    made_from = select(DISCOVERED_FROM.c.inventory_id).where(DISCOVERED_FROM.c.agent_id == agent_id)
    with store.reading() as connection:
        return newest_whole_inventory(connection, agent_id), connection.execute(made_from).scalar() or ""


def replace_services(store: Store, agent_id: str, inventory_id: str, services: Sequence[DiscoveredService]) -> None:
    """Store the services of an inventory in place of the earlier ones, unless a newer one has come meanwhile."""
    rows = [{**one._asdict(), "body": orjson.dumps(one.body)} for one in services]
    this = DISCOVERED_SERVICES.c.agent_id == agent_id
    with store.writing() as connection:
        if newest_whole_inventory(connection, agent_id) != inventory_id:
            return
        known = set(connection.execute(select(DISCOVERED_SERVICES.c.id).where(this)).scalars())
        upsert(connection, DISCOVERED_SERVICES, rows, keep=("first_ns",))
        gone = sorted(known - {one.id for one in services})
        for place in range(0, len(gone), ROWS_AT_ONCE):
            some = gone[place : place + ROWS_AT_ONCE]
            connection.execute(delete(DISCOVERED_SERVICES).where(this, DISCOVERED_SERVICES.c.id.in_(some)))
        upsert(connection, DISCOVERED_FROM, [{"agent_id": agent_id, "inventory_id": inventory_id}])


def of_agent(agent_id: str, namespace: str, search: str) -> ColumnElement[bool]:
    """The condition for an agent's services in a namespace, with a text in their name."""
    this = DISCOVERED_SERVICES.c.agent_id == agent_id
    if namespace:
        this &= DISCOVERED_SERVICES.c.namespace == namespace
    if search:
        this &= func.lower(DISCOVERED_SERVICES.c.name).like(like_pattern(search), escape="\\")
    return this


def list_services(
    store: Store, agent_id: str, namespace: str, search: str, limit: int | None, offset: int
) -> tuple[list[DiscoveredService], int]:
    """One page of an agent's services by namespace and name, and how many there are in all."""
    this = of_agent(agent_id, namespace, search)
    columns = DISCOVERED_SERVICES.c
    order = (columns.namespace, columns.name, columns.id)
    with store.reading() as connection:
        total = int(connection.execute(select(func.count()).select_from(DISCOVERED_SERVICES).where(this)).scalar_one())
        wanted = select(DISCOVERED_SERVICES).where(this).order_by(*order).limit(limit).offset(offset)
        return [service_of_row(row) for row in connection.execute(wanted).mappings()], total


def find_services(store: Store, agent_id: str, ids: Sequence[str], search: str = "") -> list[DiscoveredService]:
    """Those of the ids that are there, by namespace and name."""
    found: list[DiscoveredService] = []
    columns = DISCOVERED_SERVICES.c
    for some in pieces(ids):
        wanted = select(DISCOVERED_SERVICES).where(of_agent(agent_id, "", search), columns.id.in_(some))
        with store.reading() as connection:
            found += [service_of_row(row) for row in connection.execute(wanted).mappings()]
    return sorted(found, key=lambda one: (one.namespace, one.name, one.id))


def pieces(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids, a statement's worth at a time."""
    for place in range(0, len(ids), ROWS_AT_ONCE):
        yield ids[place : place + ROWS_AT_ONCE]
