"""Agents as the API lists and changes them: a page is answered by the database."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, or_, select, update

from manager.store.agents import Agent, active_agents, agent_of_row
from manager.store.batches.object_lists import like_pattern
from manager.store.database import Store
from manager.store.tables import AGENTS, NETWORK_MAPS, OBJECTS
from manager.store.tenancy import Tenant


class AgentFilter(NamedTuple):
    """A tenant's agents with a text in their name; `only_id` if a key is for one agent alone."""

    tenant: Tenant
    search: str = ""
    only_id: str | None = None


class Listed(NamedTuple):
    """An agent with how many Services its cluster has, and how many network maps were made of it."""

    agent: Agent
    services: int
    network_maps: int


def filtered(by: AgentFilter) -> Select[Any]:
    """The query for those agents, by name."""
    wanted = active_agents(by.tenant)
    if by.only_id is not None:
        wanted = wanted.where(AGENTS.c.id == by.only_id)
    if by.search:
        named = (
            func.lower(column).like(like_pattern(by.search), escape="\\")
            for column in (AGENTS.c.identity, AGENTS.c.name)
        )
        wanted = wanted.where(or_(*named))
    return wanted


def list_page(store: Store, by: AgentFilter, limit: int | None, offset: int) -> tuple[list[Listed], int]:
    """One page of agents, and how many there are in all."""
    wanted = filtered(by)
    with store.reading() as connection:
        total = int(connection.execute(select(func.count()).select_from(wanted.order_by(None).subquery())).scalar_one())
        rows = connection.execute(wanted.limit(limit).offset(offset)).mappings().all()
        return with_counts(connection, [agent_of_row(row) for row in rows]), total


def count_of(store: Store, agent: Agent) -> Listed:
    """One agent with its counts."""
    with store.reading() as connection:
        return with_counts(connection, [agent])[0]


def with_counts(connection: Connection, agents: list[Agent]) -> list[Listed]:
    """Agents with their counts."""
    ids = [agent.id for agent in agents]
    current = (OBJECTS.c.kind == "Service") & OBJECTS.c.removed_ns.is_(None)
    services: dict[str, int] = {
        row[0]: row[1] for row in connection.execute(counted(OBJECTS.c.agent_id, ids).where(current))
    }
    maps: dict[str, int] = {row[0]: row[1] for row in connection.execute(counted(NETWORK_MAPS.c.agent_id, ids))}
    return [Listed(agent, services.get(agent.id, 0), maps.get(agent.id, 0)) for agent in agents]


def counted(column: Any, ids: list[str]) -> Select[Any]:  # noqa: ANN401 - a column of any table
    """The query for how many rows of a table each agent has."""
    return select(column, func.count()).where(column.in_(ids)).group_by(column)


def change_agent(connection: Connection, agent_id: str, **values: Any) -> Agent:  # noqa: ANN401 - columns of `agents`
    """Set columns of an agent and return it; its revision grows."""
    this = AGENTS.c.id == agent_id
    connection.execute(update(AGENTS).where(this).values(revision=AGENTS.c.revision + 1, **values))
    return agent_of_row(connection.execute(select(AGENTS).where(this)).mappings().one())
