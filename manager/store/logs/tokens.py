"""Tokens of scope `log`: each writes below one key prefix of one account."""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, insert, or_, select

from manager.store.database import Store
from manager.store.logs.tables import LOG_TOKENS
from manager.store.tokens import token_format

BOUNDARIES = ("-", "/", ":")


class LogWriter(NamedTuple):
    """Who may write: `id` names the writer, `key_prefix` is where; an empty prefix is every key of the account."""

    id: str
    account: str
    key_prefix: str
    upload_only: bool = False
    organization: str = ""
    project: str = ""

    def may_write(self, account: str, key: str) -> bool:
        """Whether a stream is this writer's."""
        if self.upload_only:
            return (account, key) == (self.account, self.key_prefix)
        prefix = self.key_prefix
        below = not prefix or key == prefix or key.startswith(tuple(prefix + end for end in BOUNDARIES))
        return account == self.account and below


def create_log_token(
    connection: Connection,
    account: str,
    key_prefix: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    *,
    expires_ns: int | None = None,
    organization: str = "",
    project: str = "",
    upload_only: bool = False,
) -> str:
    """The text of a new token, of which only the hash is stored."""
    token = token_format.generate_token(random_bytes)
    store_log_token(
        connection,
        token,
        account,
        key_prefix,
        now_ns,
        expires_ns=expires_ns,
        organization=organization,
        project=project,
        upload_only=upload_only,
    )
    return token.text()


def store_log_token(
    connection: Connection,
    token: token_format.Token,
    account: str,
    key_prefix: str,
    now_ns: int,
    *,
    expires_ns: int | None = None,
    organization: str = "",
    project: str = "",
    upload_only: bool = False,
) -> None:
    """Store the hash of a token; again: no change."""
    if connection.execute(select(LOG_TOKENS.c.id).where(LOG_TOKENS.c.id == token.id)).first() is not None:
        return
    row = {"id": token.id, "account": account, "organization": organization, "project": project}
    row |= {"key_prefix": key_prefix, "secret_sha256": token_format.digest(token)}
    times = {"created_ns": now_ns, "expires_ns": expires_ns, "upload_only": upload_only}
    connection.execute(insert(LOG_TOKENS), row | times)


def find_log_writer(store: Store, text: str, now_ns: int) -> LogWriter | None:
    """The writer of a token; None if it is wrong, revoked, expired, or no token of scope `log`."""
    token = token_format.parse(text)
    if token is None:
        return None
    valid = LOG_TOKENS.c.revoked_ns.is_(None) & or_(LOG_TOKENS.c.expires_ns.is_(None), LOG_TOKENS.c.expires_ns > now_ns)
    with store.reading() as connection:
        row = connection.execute(select(LOG_TOKENS).where(LOG_TOKENS.c.id == token.id, valid)).mappings().first()
    if not token_format.matches(token, row["secret_sha256"] if row else None) or row is None:
        return None
    names = ("id", "account", "key_prefix", "upload_only", "organization", "project")
    return LogWriter(*(row[name] for name in names))
