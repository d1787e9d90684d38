"""Agents, their tokens, and people's keys."""

import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from manager.store import token_format
from manager.store.database import Store
from manager.store.retention import ROWS, delete_some
from manager.store.tables import (
    AGENTS,
    BATCHES,
    INVENTORIES,
    INVENTORY_PARTS,
    OBJECTS,
    OBSERVATIONS,
    RECORD_BLOCKS,
    TOKENS,
    WINDOWS,
)
from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape

NAME = re.compile("[A-Za-z0-9](?:[A-Za-z0-9 ._@:+-]{0,251}[A-Za-z0-9])?")


class Principal(NamedTuple):
    """The holder of a token; `agent_removed`: a valid token whose agent was removed."""

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


def check_name(name: str) -> None:
    """Raise UsageError unless the name is safe in a path, a log line and a terminal."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"name {escape(name[:80])!r}: expected 1 to 253 letters, digits and . _ - @ : + or spaces inside, "
            "such as production-eu"
        )


def create_token(
    store: Store,
    scope: token_format.Scope,
    name: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    *,
    agent: str = "",
    expires_ns: int | None = None,
) -> token_format.Token:
    """Store a new token as a hash.

    With scope ingest it is for the agent `name`, which is created if there is none; with scope read it is a person's
    key, which reads the cluster of `agent` alone if that is given.
    """
    check_name(name)
    token = token_format.generate_token(random_bytes)
    with store.writing(exclusive=True) as connection:
        agent_id = get_or_create_agent(connection, name, now_ns, random_bytes) if scope == "ingest" else None
        if scope == "read" and agent:
            agent_id = find_agent_id(connection, agent)
        row = {"id": token.id, "scope": scope, "name": name, "agent_id": agent_id, "created_ns": now_ns}
        row |= {"secret_sha256": token_format.digest(token), "expires_ns": expires_ns}
        connection.execute(insert(TOKENS), row)
    return token


def rotate_token(
    store: Store, token_id: str, now_ns: int, overlap_ns: int, random_bytes: Callable[[int], bytes]
) -> token_format.Token:
    """Store a new token beside the one of that id, which expires after the overlap: both are good until then."""
    token = token_format.generate_token(random_bytes)
    with store.writing(exclusive=True) as connection:
        old = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).mappings().first()
        if old is None or old["revoked_ns"] is not None:
            raise UsageError(f"no active token has the id {token_id!r}; `podsonar manager token list` shows them")
        ends_ns = min(now_ns + overlap_ns, old["expires_ns"] or now_ns + overlap_ns)
        connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(expires_ns=ends_ns))
        row = {name: old[name] for name in ("scope", "name", "agent_id")}
        lifetime_ns = old["expires_ns"] - old["created_ns"] if old["expires_ns"] else None
        row |= {"id": token.id, "secret_sha256": token_format.digest(token), "created_ns": now_ns}
        connection.execute(insert(TOKENS), row | {"expires_ns": now_ns + lifetime_ns if lifetime_ns else None})
    return token


def get_or_create_agent(connection: Connection, name: str, now_ns: int, random_bytes: Callable[[int], bytes]) -> str:
    """The id of the agent of that name, which is created if there is none; one that was removed is back."""
    check_name(name)
    known: str | None = connection.execute(select(AGENTS.c.id).where(AGENTS.c.identity == name)).scalar()
    if known is not None:
        connection.execute(update(AGENTS).where(AGENTS.c.id == known).values(removed_ns=None))
        return known
    made = str(uuid.UUID(bytes=random_bytes(16), version=4))
    connection.execute(insert(AGENTS), {"id": made, "identity": name, "created_ns": now_ns, "revision": 0})
    return made


def find_agent_id(connection: Connection, name: str) -> str:
    """The id of the agent of that name; UsageError if there is none."""
    known: str | None = connection.execute(select(AGENTS.c.id).where(AGENTS.c.identity == name)).scalar()
    if known is None:
        raise UsageError(f"no agent has the name {name!r}; `podsonar manager agent list` shows them")
    return known


def list_tokens(store: Store) -> list[dict[str, Any]]:
    """Every token without its hash, oldest first."""
    names = ("id", "scope", "name", "created_ns", "revoked_ns", "expires_ns", "last_used_ns")
    wanted = select(*(TOKENS.c[name] for name in names)).order_by(TOKENS.c.created_ns)
    with store.reading() as connection:
        return [dict(zip(names, row, strict=True)) for row in connection.execute(wanted)]


def revoke_token(store: Store, token_id: str, now_ns: int) -> None:
    """Make the token open nothing from now on; UsageError if there is none of that id."""
    with store.writing() as connection:
        changed = connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(revoked_ns=now_ns))
        if changed.rowcount == 0:
            raise UsageError(f"no token has the id {token_id!r}; `podsonar manager token list` shows them")


def authenticate(store: Store, text: str, scope: token_format.Scope, now_ns: int) -> Principal | None:
    """The holder of the token; None if it is wrong, revoked, expired, of another scope, or no token at all."""
    token = token_format.parse(text)
    if token is None:
        return None
    good = TOKENS.c.revoked_ns.is_(None) & or_(TOKENS.c.expires_ns.is_(None), TOKENS.c.expires_ns > now_ns)
    wanted = (
        select(TOKENS, AGENTS.c.removed_ns)
        .outerjoin(AGENTS, AGENTS.c.id == TOKENS.c.agent_id)
        .where(TOKENS.c.id == token.id, TOKENS.c.scope == scope, good)
    )
    with store.reading() as connection:
        row = connection.execute(wanted).mappings().first()
    if not token_format.matches(token, row["secret_sha256"] if row else None) or row is None:
        return None
    store.used_tokens[token.id] = now_ns
    return Principal(token.id, row["scope"], row["agent_id"], row["removed_ns"] is not None)


def store_token_uses(store: Store) -> None:
    """Store when tokens were last used since this was last called; a push does not wait for it."""
    used = [(token_id, store.used_tokens.pop(token_id)) for token_id in list(store.used_tokens)]
    if not used:
        return
    with store.writing() as connection:
        for token_id, used_ns in used:
            connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(last_used_ns=used_ns))


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
    """Remove an agent: its tokens are answered 404 from now on, and what it sent stays; UsageError if there is none."""
    with store.writing() as connection:
        agent_id = find_agent_id(connection, identity)
        connection.execute(update(AGENTS).where(AGENTS.c.id == agent_id).values(removed_ns=now_ns))


def purge_agent(store: Store, identity: str) -> dict[str, int]:
    """Delete an agent with its tokens and everything that it sent, and return how many rows of each table.

    It is removed first, so that nothing more comes; rows go a few at a time, so that no push of another waits.
    """
    remove_agent(store, identity, 1)
    with store.reading() as connection:
        agent_id = find_agent_id(connection, identity)
    counts: dict[str, int] = {}
    for table in (RECORD_BLOCKS, OBSERVATIONS, INVENTORY_PARTS, INVENTORIES, WINDOWS, OBJECTS, BATCHES, TOKENS):
        deleted = ROWS
        while deleted == ROWS:
            deleted = delete_some(store, table, table.c.agent_id == agent_id)
            counts[table.name] = counts.get(table.name, 0) + deleted
    with store.writing() as connection:
        connection.execute(delete(AGENTS).where(AGENTS.c.id == agent_id))
    return counts
