"""Imports tokens that an installation brings along: a file of hashes, read at every start.

    {"tokens": [{"id": "<12 hex digits>", "scope": "ingest", "name": "<agent>", "secretSha256": "<64 hex digits>",
                 "account": "", "organization": "", "project": "", "environment": ""}]}

It holds only hashes, so that a reader of the manager's files learns no token. A token that is known already stays as it
is: one that was revoked stays revoked.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import insert, select

from manager.store.agents import get_or_create_agent
from manager.store.database import Store
from manager.store.tables import TOKENS
from manager.store.tenancy import Tenant
from podsonar.errors import SettingsError


class HashedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One token of the file; `name` is the agent of an ingest token, or whose key a read token is."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    scope: Literal["ingest", "read", "admin"]
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    secret_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    account: Annotated[str, Meta(max_length=256)] = ""
    organization: Annotated[str, Meta(max_length=256)] = ""
    project: Annotated[str, Meta(max_length=256)] = ""
    environment: Annotated[str, Meta(max_length=256)] = ""


class TokensFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    tokens: list[HashedToken]


def read_tokens(path: Path) -> list[HashedToken]:
    """The tokens of a file; SettingsError names the file and what is wrong, never a hash."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TokensFile).tokens
    except OSError as error:
        raise SettingsError(
            f"setting tokensFile is {str(path)!r}: {error.strerror}; expected a readable file"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        place = str(error).partition(" - at ")[2] or "the file itself"
        raise SettingsError(
            f"setting tokensFile is {str(path)!r}: expected tokens with id, scope, name, secretSha256; see {place}"
        ) from error


def import_tokens(
    store: Store, tokens: list[HashedToken], now_ns: int, random_bytes: Callable[[int], bytes]
) -> list[HashedToken]:
    """Store the tokens that are new, all of them or none, and return them."""
    with store.writing(exclusive=True) as connection:
        known = set(connection.execute(select(TOKENS.c.id)).scalars())
        new = [token for token in tokens if token.id not in known]
        for token in new:
            tenant, owner = Tenant(token.account, token.organization, token.project, token.environment), None
            if token.scope == "ingest":
                owner = get_or_create_agent(connection, token.name, now_ns, random_bytes, tenant)
            row = {"id": token.id, "scope": token.scope, "name": token.name, "agent_id": owner, "created_ns": now_ns}
            row |= tenant._asdict()
            connection.execute(insert(TOKENS), row | {"secret_sha256": token.secret_sha256})
    return new
