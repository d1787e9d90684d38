"""Tokens `podsonar_<id>_<secret>`: made, taken apart and compared; only the SHA-256 of the secret is ever stored."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

Scope = Literal["ingest", "read", "admin", "delegate"]

SHAPE = re.compile(r"podsonar_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
# Compared against when the id is unknown, so that both refusals take the same time.
NOBODY = hashlib.sha256(b"nobody").hexdigest()


class Token(NamedTuple):
    """A token taken apart; `secret` is never logged or stored."""

    id: str
    secret: str

    def text(self) -> str:
        """The token's text, shown once to the person who made it."""
        return f"podsonar_{self.id}_{self.secret}"


def generate_token(random_bytes: Callable[[int], bytes]) -> Token:
    """A new token: an id of 48 bits and a secret of 256."""
    secret = base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")
    return Token(random_bytes(6).hex(), secret)


def parse(text: str) -> Token | None:
    """The token in `text`, or None if it does not have the shape of one."""
    match = SHAPE.fullmatch(text)
    return Token(*match.groups()) if match else None


def digest(token: Token) -> str:
    """The stored digest of the secret. A fast hash is right for 256 random bits."""
    return hashlib.sha256(token.secret.encode()).hexdigest()


def matches(token: Token, stored: str | None) -> bool:
    """Whether the secret is the stored one, in a time that does not depend on where they differ."""
    same = hmac.compare_digest(digest(token).encode(), (stored or NOBODY).encode())
    return same and stored is not None
