"""A database as a manager finds it at its first start, and what opens it."""

import secrets
import uuid
from contextlib import closing
from typing import NamedTuple

from manager.store.agents import find_agent
from manager.store.database import Store
from manager.store.tokens.issued import create_token


class Tokens(NamedTuple):
    """An agent's token and a person's key."""

    token: str
    key: str


def migrated(database: str, agent: str = "lab") -> Tokens:
    """What opens a database that has its tables, an agent and a person from now on."""
    with closing(Store(database)) as store:
        store.migrate()
        token = create_token(store, "ingest", agent, 1, secrets.token_bytes)
        key = create_token(store, "read", "tester", 1, secrets.token_bytes)
    return Tokens(token.text(), key.text())


def agent_of(store: Store) -> str:
    """The id of the agent `lab`."""
    agent = find_agent(store, "lab")
    assert agent is not None
    return agent.id


def fresh_id() -> str:
    """A batch id that nobody has used."""
    return f"b-{uuid.uuid4().hex}"
