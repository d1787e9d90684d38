"""Tenants in the store: what was there before belongs to the one without a name, and names are a tenant's own."""

import secrets
from contextlib import closing

import pytest
from sqlalchemy import text

from manager.store.agents import find_agent, list_agents, purge_agent, remove_agent
from manager.store.database import Store
from manager.store.tenancy import NO_TENANT, Tenant
from manager.store.tokens.issued import authenticate, create_token
from podsonar.errors import StoreError

ACME, OTHER = Tenant("acme", "eu", "shop", "prod"), Tenant("other", "eu", "shop", "prod")
OLD_AGENT = "INSERT INTO agents (id, identity, created_ns, revision) VALUES ('a-1', 'lab', 1746111833114000000, 7)"
OLD_WINDOW = "INSERT INTO windows (agent_id, window_id, start_ns, end_ns) VALUES ('a-1', 'w', 1, 2)"


def test_agents_of_before_keep_their_rows_and_get_an_id(database: str) -> None:
    """The table is replaced below rows that refer to it; the id begins with the seconds of the agent's creation."""
    with closing(Store(database)) as store:
        store.migrate("0006")
        with store.writing() as connection:
            connection.execute(text(OLD_AGENT))
            connection.execute(text(OLD_WINDOW))
        store.migrate()
        (agent,) = list_agents(store)
        with pytest.raises(StoreError), store.writing() as connection:
            connection.execute(text("DELETE FROM agents"))  # what refers to it is checked again
    assert (agent.id, agent.tenant, agent.identity, agent.name, agent.revision) == ("a-1", NO_TENANT, "lab", "lab", 7)
    assert agent.object_id.startswith("68138d59")
    assert len(agent.object_id) == 24


def test_equal_names_of_two_tenants_are_two_agents(store: Store) -> None:
    """Each token opens its own tenant's agent, and removing one leaves the other."""
    tokens = {
        tenant: create_token(store, "ingest", "lab", 5, secrets.token_bytes, tenant=tenant) for tenant in (ACME, OTHER)
    }
    agents = {tenant: find_agent(store, "lab", tenant) for tenant in tokens}
    for tenant, token in tokens.items():
        principal, agent = authenticate(store, token.text(), "ingest", 6), agents[tenant]
        assert agent is not None
        assert principal is not None
        assert (principal.agent_id, principal.tenant, agent.tenant) == (agent.id, tenant, tenant)
    remove_agent(store, "lab", 7, ACME)
    assert [find_agent(store, "lab", tenant) is not None for tenant in (ACME, OTHER, NO_TENANT)] == [False, True, True]
    purge_agent(store, "lab", OTHER)
    assert [agent.tenant for agent in list_agents(store)] == [NO_TENANT]


@pytest.mark.parametrize(
    ("own", "asked", "may"),
    [
        (NO_TENANT, ACME, True),
        (Tenant("acme"), ACME, True),
        (Tenant("acme", "eu"), ACME, True),
        (ACME, ACME, True),
        (Tenant("acme", "us"), ACME, False),
        (Tenant("acme", "", "bank"), ACME, False),
        (ACME, Tenant("acme"), False),
        (OTHER, ACME, False),
    ],
)
def test_token_acts_for_its_part_of_the_tree(own: Tenant, asked: Tenant, may: bool) -> None:
    """An empty part stands for every value; a filled one for itself alone."""
    assert own.includes(asked) is may
