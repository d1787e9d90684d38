"""Hosts: registered by a person, confirmed by their agents, recognised by access keys that `confirm` rotates.

Rotation survives a crash at any point: the old key stays good until the first request with the new one.
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, or_, select, update

from chaos.control.linux.tables import INFRAS
from manager.store.tenancy import Tenant, of_tenant

KEY_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
KEY_LENGTH = 32
MISSED_BEATS = 3
BEAT_SECONDS = 60

RandomBytes = Callable[[int], bytes]


class Infra(NamedTuple):
    """A host."""

    id: str
    name: str
    hostname: str
    version: str
    tenant: Tenant
    confirmed_ns: int | None
    seen_ns: int | None


class HostnameTakenError(Exception):
    """Another host has confirmed with this registration."""


def new_access_key(random_bytes: RandomBytes) -> str:
    """32 of `[a-z0-9]`, each equally likely."""
    key = ""
    while len(key) < KEY_LENGTH:
        key += "".join(KEY_ALPHABET[byte % 36] for byte in random_bytes(48) if byte < 252)
    return key[:KEY_LENGTH]


def digest(key: str) -> str:
    """The stored digest of a key; a fast hash is right for 165 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def infra_of(row: Any) -> Infra:  # noqa: ANN401 - a row mapping
    """A row as a host."""
    tenant = Tenant(*(row[name] for name in Tenant._fields))
    return Infra(row["id"], row["name"], row["hostname"], row["version"], tenant, row["confirmed_ns"], row["seen_ns"])


def register(
    connection: Connection, tenant: Tenant, name: str, now_ns: int, random_bytes: RandomBytes
) -> tuple[Infra, str] | None:
    """A new host and its first access key; None if the tenant has one of that name."""
    if find_by_name(connection, tenant, name) is not None:
        return None
    key = new_access_key(random_bytes)
    made = str(uuid.UUID(bytes=random_bytes(16), version=4))
    row = {"id": made, **tenant._asdict(), "kind": "linux", "name": name, "hostname": "", "version": ""}
    connection.execute(insert(INFRAS), row | {"key_sha256": digest(key), "created_ns": now_ns})
    return Infra(made, name, "", "", tenant, None, None), key


def register_again(connection: Connection, infra: Infra, random_bytes: RandomBytes) -> str:
    """A new first access key for a host, whose earlier keys are void from now on; any host name may confirm."""
    key = new_access_key(random_bytes)
    values = {"key_sha256": digest(key), "next_key_sha256": None, "hostname": "", "confirmed_ns": None}
    connection.execute(update(INFRAS).where(INFRAS.c.id == infra.id).values(values))
    return key


def remove(connection: Connection, infra: Infra, now_ns: int) -> None:
    """The host's keys open nothing from now on; its tasks stay."""
    connection.execute(update(INFRAS).where(INFRAS.c.id == infra.id).values(removed_ns=now_ns))


def find_by_name(connection: Connection, tenant: Tenant, name: str) -> Infra | None:
    """The tenant's host of that name or id."""
    own = of_tenant(INFRAS, tenant) & INFRAS.c.removed_ns.is_(None)
    named = or_(INFRAS.c.name == name, INFRAS.c.id == name)
    row = connection.execute(select(INFRAS).where(own, named)).mappings().first()
    return infra_of(row) if row else None


def list_infras(connection: Connection, tenant: Tenant) -> list[Infra]:
    """The tenant's hosts, by name."""
    own = of_tenant(INFRAS, tenant) & INFRAS.c.removed_ns.is_(None)
    rows = connection.execute(select(INFRAS).where(own).order_by(INFRAS.c.name)).mappings()
    return [infra_of(row) for row in rows]


def find_by_key(connection: Connection, key: str) -> tuple[Infra, bool] | None:
    """The host of an access key, and whether it is the next one, not used before."""
    hashed = digest(key)
    same = or_(INFRAS.c.key_sha256 == hashed, INFRAS.c.next_key_sha256 == hashed)
    row = connection.execute(select(INFRAS).where(same, INFRAS.c.removed_ns.is_(None))).mappings().first()
    return (infra_of(row), row["next_key_sha256"] == hashed) if row else None


def adopt_next_key(connection: Connection, key: str) -> None:
    """Make the next key the only one: it has been used."""
    hashed = digest(key)
    values = {"key_sha256": hashed, "next_key_sha256": None}
    connection.execute(update(INFRAS).where(INFRAS.c.next_key_sha256 == hashed).values(values))


def confirm(
    connection: Connection, infra: Infra, hostname: str, version: str, now_ns: int, random_bytes: RandomBytes
) -> str:
    """The host's next access key, which replaces one that was handed out and never used."""
    if infra.hostname not in {"", hostname}:
        raise HostnameTakenError
    key = new_access_key(random_bytes)
    values = {"hostname": hostname, "version": version, "next_key_sha256": digest(key)}
    connection.execute(
        update(INFRAS).where(INFRAS.c.id == infra.id).values(values | {"confirmed_ns": now_ns, "seen_ns": now_ns})
    )
    return key


def beat(connection: Connection, infra_id: str, now_ns: int) -> None:
    """The host was heard of."""
    connection.execute(update(INFRAS).where(INFRAS.c.id == infra_id).values(seen_ns=now_ns))


def is_active(infra: Infra, now_ns: int) -> bool:
    """Whether the host has missed fewer than three beats."""
    return infra.seen_ns is not None and now_ns - infra.seen_ns < MISSED_BEATS * BEAT_SECONDS * 1_000_000_000
