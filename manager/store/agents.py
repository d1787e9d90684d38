"""Agents: the clusters that push here. One belongs to a tenant and has its name there while it is not removed."""

import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, update

from manager.store.database import Store
from manager.store.object_ids import new_object_id
from manager.store.retention import ROWS, delete_some
from manager.store.tables import AGENTS, BATCHES, METADATA
from manager.store.tenancy import NO_TENANT, Tenant, of_tenant
from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape

NAME = re.compile("[A-Za-z0-9](?:[A-Za-z0-9 ._@:+-]{0,251}[A-Za-z0-9])?")


class Agent(NamedTuple):
    """A cluster that pushes here; `object_id` is its id in the API, `config` the JSON that the API answers."""

    id: str
    object_id: str
    tenant: Tenant
    identity: str
    name: str
    created_ns: int
    created_by: str
    updated_ns: int
    updated_by: str
    removed_ns: int | None
    revision: int
    config: bytes | None
    permanent: bool
    webhook_url: str
    installation_type: str


def agent_of_row(row: RowMapping) -> Agent:
    """The agent in a row of `agents`."""
    tenant = Tenant(*(row[name] for name in Tenant._fields))
    return Agent._make(tenant if name == "tenant" else row[name] for name in Agent._fields)


def check_name(name: str) -> None:
    """Raise UsageError unless the name is safe in a path, a log line and a terminal."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"name {escape(name[:80])!r}: expected 1 to 253 letters, digits and . _ - @ : + or spaces inside, "
            "such as production-eu"
        )


def insert_agent(
    connection: Connection,
    tenant: Tenant,
    identity: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    **values: Any,  # noqa: ANN401 - columns of `agents`
) -> Agent:
    """Store a new agent and return it; `values` are further columns."""
    row = {
        "id": str(uuid.UUID(bytes=random_bytes(16), version=4)),
        "object_id": new_object_id(now_ns, random_bytes),
        **tenant._asdict(),
        "identity": identity,
        "name": identity,
        "created_ns": now_ns,
        "updated_ns": now_ns,
        "revision": 0,
        "permanent": True,
    }
    connection.execute(insert(AGENTS), row | values)
    wanted = select(AGENTS).where(AGENTS.c.id == row["id"])
    return agent_of_row(connection.execute(wanted).mappings().one())


def get_or_create_agent(
    connection: Connection,
    name: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    tenant: Tenant = NO_TENANT,
) -> str:
    """The id of the agent of that name, which is created if there is none; one that was removed is back."""
    check_name(name)
    known = find_agent_row(connection, name, tenant)
    if known is None:
        return insert_agent(connection, tenant, name, now_ns, random_bytes).id
    connection.execute(update(AGENTS).where(AGENTS.c.id == known).values(removed_ns=None))
    return known


def find_agent_row(connection: Connection, name: str, tenant: Tenant, *, only_active: bool = False) -> str | None:
    """The id of the tenant's agent of that name; if all of them are removed, of the one removed last."""
    named = select(AGENTS.c.id).where(of_tenant(AGENTS, tenant), AGENTS.c.identity == name)
    if only_active:
        named = named.where(AGENTS.c.removed_ns.is_(None))
    order = (AGENTS.c.removed_ns.is_(None).desc(), AGENTS.c.removed_ns.desc())
    known: str | None = connection.execute(named.order_by(*order).limit(1)).scalar()
    return known


def find_agent_id(connection: Connection, name: str, tenant: Tenant = NO_TENANT) -> str:
    """The id of the agent of that name; UsageError if there is none."""
    known = find_agent_row(connection, name, tenant)
    if known is None:
        raise UsageError(f"no agent has the name {name!r}; `podsonar manager agent list` shows them")
    return known


def active_agents(tenant: Tenant | None = None) -> Select[Any]:
    """The query for agents that are not removed, of one tenant or of all, by name."""
    wanted = select(AGENTS).where(AGENTS.c.removed_ns.is_(None)).order_by(AGENTS.c.identity, AGENTS.c.id)
    return wanted if tenant is None else wanted.where(of_tenant(AGENTS, tenant))


def list_agents(store: Store, tenant: Tenant | None = None) -> list[Agent]:
    """Every agent that is not removed, by name."""
    with store.reading() as connection:
        return [agent_of_row(row) for row in connection.execute(active_agents(tenant)).mappings()]


def find_agent(store: Store, identity: str, tenant: Tenant = NO_TENANT) -> Agent | None:
    """The tenant's agent of that name, unless it is removed."""
    wanted = active_agents(tenant).where(AGENTS.c.identity == identity)
    with store.reading() as connection:
        row = connection.execute(wanted).mappings().first()
    return agent_of_row(row) if row else None


def list_all_agent_ids(store: Store) -> list[str]:
    """The ids of agents, of those that were removed as well: what they sent stays until it is too old."""
    with store.reading() as connection:
        return list(connection.execute(select(AGENTS.c.id)).scalars())


def last_pushes(store: Store) -> list[int]:
    """When each agent that is not removed last pushed; 0 for one that never did."""
    last = func.coalesce(func.max(BATCHES.c.received_ns), 0)
    wanted = select(last).select_from(AGENTS.outerjoin(BATCHES, BATCHES.c.agent_id == AGENTS.c.id))
    with store.reading() as connection:
        return list(connection.execute(wanted.where(AGENTS.c.removed_ns.is_(None)).group_by(AGENTS.c.id)).scalars())


def remove_agent(store: Store, identity: str, now_ns: int, tenant: Tenant = NO_TENANT) -> None:
    """Remove an agent: its tokens are answered 404 from now on, and what it sent stays; UsageError if there is none."""
    with store.writing() as connection:
        agent_id = find_agent_id(connection, identity, tenant)
        connection.execute(update(AGENTS).where(AGENTS.c.id == agent_id).values(removed_ns=now_ns))


def purge_agent(store: Store, identity: str, tenant: Tenant = NO_TENANT) -> dict[str, int]:
    """Delete an agent with its tokens and everything that it sent, and return how many rows of each table.

    It is removed first, so that nothing more comes; rows go a few at a time, so that no push of another waits.
    """
    with store.writing() as connection:
        agent_id = find_agent_id(connection, identity, tenant)
        connection.execute(update(AGENTS).where(AGENTS.c.id == agent_id).values(removed_ns=1))
    counts: dict[str, int] = {}
    for table in (table for table in reversed(METADATA.sorted_tables) if "agent_id" in table.c):
        deleted = ROWS
        while deleted == ROWS:
            deleted = delete_some(store, table, table.c.agent_id == agent_id)
            counts[table.name] = counts.get(table.name, 0) + deleted
    with store.writing() as connection:
        connection.execute(delete(AGENTS).where(AGENTS.c.id == agent_id))
    return counts
