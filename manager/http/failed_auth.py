"""Bounds what callers without a good token cost: per address, and never at the expense of a token that is known.

Many agents may share an address behind a proxy. A token that was good a moment ago is therefore looked up whatever
others at its address have tried.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from starlette.exceptions import HTTPException

from podsonar.timestamp import NS_PER_SECOND

FAILURES_PER_MINUTE = 10
MINUTE_NS = 60 * NS_PER_SECOND
ADDRESSES = 10_000
TOKENS = 10_000


class Failures(NamedTuple):
    """Failures of an address in the minute that began at a time."""

    began_ns: int
    number: int


class FailedAuth:
    """Counts failures per source address; tokens are remembered by their digests alone."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.failures: OrderedDict[str, Failures] = OrderedDict()
        self.good: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, token: str) -> None:
        """429 if the address has failed too often of late and the token is not one that was good."""
        known = self.failures.get(address)
        if known is None or known.number < FAILURES_PER_MINUTE or self.digest(token) in self.good:
            return
        left_ns = known.began_ns + MINUTE_NS - self.clock()
        if left_ns > 0:
            seconds = -(-left_ns // NS_PER_SECOND)
            raise HTTPException(429, "too many failed attempts", headers={"Retry-After": str(seconds)})

    def succeeded(self, token: str) -> None:
        """Remember a good token."""
        digest = self.digest(token)
        self.good[digest] = None
        self.good.move_to_end(digest)
        if len(self.good) > TOKENS:
            self.good.popitem(last=False)

    def failed(self, address: str, token: str) -> bool:
        """Count a failure and return whether it is among the first of its minute: those are worth a log line."""
        self.good.pop(self.digest(token), None)
        now_ns = self.clock()
        known = self.failures.pop(address, Failures(now_ns, 0))
        if now_ns - known.began_ns >= MINUTE_NS:
            known = Failures(now_ns, 0)
        self.failures[address] = known._replace(number=known.number + 1)
        if len(self.failures) > ADDRESSES:
            self.failures.popitem(last=False)
        return known.number < FAILURES_PER_MINUTE

    @staticmethod
    def digest(token: str) -> bytes:
        """The digest under which a token is remembered."""
        return hashlib.sha256(token.encode("utf-8", "replace")).digest()
