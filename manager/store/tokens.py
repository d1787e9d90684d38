"""Agents, their tokens, and people's keys."""

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from manager.store import token_format
from manager.store.database import Store
from manager.store.tables import AGENTS, BATCHES, TOKENS
from podsonar.errors import UsageError


class Principal(NamedTuple):
    """Who a token stands for; `agent_removed` tells a good token of an agent that is gone."""

    token_id: str
    scope: str
    agent_id: str | None
    agent_removed: bool


class Agent(NamedTuple):
    """A cluster that pushes here."""

    id: str
    identity: str
    created_ns: int
    removed_ns: int | None
    revision: int


def create_token(
    store: Store, scope: token_format.Scope, name: str, now_ns: int, random_bytes: Callable[[int], bytes]
) -> token_format.Token:
    """A new token, stored as a hash; with scope ingest it is for the agent `name`, made here if there is none."""
    token = token_format.mint(random_bytes)
    with store.writing(exclusive=True) as connection:
        agent_id = get_or_create_agent(connection, name, now_ns, random_bytes) if scope == "ingest" else None
        row = {"id": token.id, "scope": scope, "name": name, "agent_id": agent_id, "created_ns": now_ns}
        connection.execute(insert(TOKENS), row | {"secret_sha256": token_format.digest(token)})
    return token


def get_or_create_agent(connection: Connection, name: str, now_ns: int, random_bytes: Callable[[int], bytes]) -> str:
    """The id of the agent of that name, made here if there is none."""
    known: str | None = connection.execute(select(AGENTS.c.id).where(AGENTS.c.identity == name)).scalar()
    if known is not None:
        return known
    made = str(uuid.UUID(bytes=random_bytes(16), version=4))
    connection.execute(insert(AGENTS), {"id": made, "identity": name, "created_ns": now_ns, "revision": 0})
    return made


def list_tokens(store: Store) -> list[dict[str, Any]]:
    """Every token without its hash, oldest first."""
    names = ("id", "scope", "name", "created_ns", "revoked_ns")
    wanted = select(*(TOKENS.c[name] for name in names)).order_by(TOKENS.c.created_ns)
    with store.reading() as connection:
        return [dict(zip(names, row, strict=True)) for row in connection.execute(wanted)]


def revoke_token(store: Store, token_id: str, now_ns: int) -> None:
    """The token opens nothing from now on; UsageError if there is none of that id."""
    with store.writing() as connection:
        changed = connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(revoked_ns=now_ns))
        if changed.rowcount == 0:
            raise UsageError(f"no token has the id {token_id!r}; `podsonar manager token list` shows them")


def authenticate(store: Store, text: str, scope: token_format.Scope) -> Principal | None:
    """Who the token stands for, or None: wrong, revoked, of another scope, or no token at all."""
    token = token_format.parse(text)
    if token is None:
        return None
    wanted = (
        select(TOKENS, AGENTS.c.removed_ns)
        .outerjoin(AGENTS, AGENTS.c.id == TOKENS.c.agent_id)
        .where(TOKENS.c.id == token.id, TOKENS.c.scope == scope, TOKENS.c.revoked_ns.is_(None))
    )
    with store.reading() as connection:
        row = connection.execute(wanted).mappings().first()
    if not token_format.matches(token, row["secret_sha256"] if row else None) or row is None:
        return None
    return Principal(token.id, row["scope"], row["agent_id"], row["removed_ns"] is not None)


def list_agents(store: Store) -> list[Agent]:
    """Every agent that is not removed, by name."""
    wanted = select(AGENTS).where(AGENTS.c.removed_ns.is_(None)).order_by(AGENTS.c.identity)
    with store.reading() as connection:
        return [Agent(*row) for row in connection.execute(wanted)]


def last_pushes(store: Store) -> list[int]:
    """When each agent that is not removed last pushed; 0 for one that never did."""
    last = func.coalesce(func.max(BATCHES.c.received_ns), 0)
    wanted = select(last).select_from(AGENTS.outerjoin(BATCHES, BATCHES.c.agent_id == AGENTS.c.id))
    with store.reading() as connection:
        return list(connection.execute(wanted.where(AGENTS.c.removed_ns.is_(None)).group_by(AGENTS.c.id)).scalars())


def find_agent(store: Store, identity: str) -> Agent | None:
    """The agent of that name, unless it is removed."""
    wanted = select(AGENTS).where(AGENTS.c.identity == identity, AGENTS.c.removed_ns.is_(None))
    with store.reading() as connection:
        row = connection.execute(wanted).first()
    return Agent(*row) if row else None


def remove_agent(store: Store, identity: str, now_ns: int) -> None:
    """The agent is gone: its tokens are answered with 404 from now on; what it sent stays."""
    with store.writing() as connection:
        connection.execute(update(AGENTS).where(AGENTS.c.identity == identity).values(removed_ns=now_ns))
