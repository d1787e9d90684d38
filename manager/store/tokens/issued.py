"""Tokens of agents and keys of people, each of one tenant."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, or_, select, update

from manager.store.agents import check_name, find_agent_id, get_or_create_agent
from manager.store.database import Store
from manager.store.tables import AGENTS, TOKENS
from manager.store.tenancy import NO_TENANT, Tenant
from manager.store.tokens import token_format
from podsonar.errors import UsageError

# Scope that a request needs -> scopes of the tokens that have it.
SUFFICIENT: dict[str, tuple[str, ...]] = {"read": ("read", "admin")}


class Principal(NamedTuple):
    """The holder of a token, who acts for its tenant; `agent_removed`: a valid token whose agent was removed."""

    token_id: str
    scope: str
    agent_id: str | None
    agent_removed: bool
    tenant: Tenant


def create_token(
    store: Store,
    scope: token_format.Scope,
    name: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    *,
    agent: str = "",
    tenant: Tenant = NO_TENANT,
    expires_ns: int | None = None,
) -> token_format.Token:
    """Store a new token as a hash.

    With scope ingest it is for the tenant's agent `name`, which is created if there is none; with scope read or admin
    it is a person's key, for the cluster of `agent` alone if that is given.
    """
    check_name(name)
    with store.writing(exclusive=True) as connection:
        agent_id = get_or_create_agent(connection, name, now_ns, random_bytes, tenant) if scope == "ingest" else None
        if scope != "ingest" and agent:
            agent_id = find_agent_id(connection, agent, tenant)
        return insert_token(
            connection, scope, name, now_ns, random_bytes, agent_id=agent_id, tenant=tenant, expires_ns=expires_ns
        )


def insert_token(
    connection: Connection,
    scope: token_format.Scope,
    name: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    *,
    agent_id: str | None,
    tenant: Tenant,
    expires_ns: int | None = None,
) -> token_format.Token:
    """Store a new token as a hash, and return it."""
    token = token_format.generate_token(random_bytes)
    row = {"id": token.id, "scope": scope, "name": name, **tenant._asdict(), "agent_id": agent_id}
    row |= {"created_ns": now_ns, "secret_sha256": token_format.digest(token), "expires_ns": expires_ns}
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
        row = {name: old[name] for name in ("scope", "name", "agent_id", *Tenant._fields)}
        lifetime_ns = old["expires_ns"] - old["created_ns"] if old["expires_ns"] else None
        row |= {"id": token.id, "secret_sha256": token_format.digest(token), "created_ns": now_ns}
        connection.execute(insert(TOKENS), row | {"expires_ns": now_ns + lifetime_ns if lifetime_ns else None})
    return token


def list_tokens(store: Store) -> list[dict[str, Any]]:
    """Every token without its hash, oldest first."""
    names = ("id", "scope", "name", *Tenant._fields, "created_ns", "revoked_ns", "expires_ns", "last_used_ns")
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
    """The holder of the token; None if it is wrong, revoked, expired, of another scope, or no token at all.

    A key of scope admin may read, too.
    """
    token = token_format.parse(text)
    if token is None:
        return None
    good = TOKENS.c.revoked_ns.is_(None) & or_(TOKENS.c.expires_ns.is_(None), TOKENS.c.expires_ns > now_ns)
    wanted = (
        select(TOKENS, AGENTS.c.removed_ns)
        .outerjoin(AGENTS, AGENTS.c.id == TOKENS.c.agent_id)
        .where(TOKENS.c.id == token.id, TOKENS.c.scope.in_(SUFFICIENT.get(scope, (scope,))), good)
    )
    with store.reading() as connection:
        row = connection.execute(wanted).mappings().first()
    if not token_format.matches(token, row["secret_sha256"] if row else None) or row is None:
        return None
    store.used_tokens[token.id] = now_ns
    tenant = Tenant(*(row[name] for name in Tenant._fields))
    return Principal(token.id, row["scope"], row["agent_id"], row["removed_ns"] is not None, tenant)


def store_token_uses(store: Store) -> None:
    """Store when tokens were last used since this was last called; a push does not wait for it."""
    used = [(token_id, store.used_tokens.pop(token_id)) for token_id in list(store.used_tokens)]
    if not used:
        return
    with store.writing() as connection:
        for token_id, used_ns in used:
            connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(last_used_ns=used_ns))
