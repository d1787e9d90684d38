"""Who follows a stream gets what this process commits to it; what others on one database commit is found by asking."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starlette.exceptions import HTTPException

TAILS, TAILS_PER_CALLER = 256, 32
HANDED_BYTES = 512 << 10  # kept for a tail that is slow; beyond, it reads from the database
Name = tuple[str, str]


class Follower:
    """One tail: lines that were committed and not sent yet, and whether there may be others in the database."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.handed: deque[tuple[int, Sequence[bytes]]] = deque()
        self.size = 0
        self.must_read = True

    def hand_over(self, first: int, lines: Sequence[bytes]) -> None:
        """Keep lines with numbers from `first` on; too many are left to the database."""
        self.handed.append((first, lines))
        self.size += sum(map(len, lines))
        if self.size > HANDED_BYTES:
            self.forget()
        self.event.set()

    def forget(self) -> None:
        """Read from the database instead."""
        self.handed.clear()
        self.size = 0
        self.must_read = True

    def take(self, after: int) -> Sequence[bytes]:
        """The lines that come right after the one of that number, if they were handed over.

        Requests of several writers may be handed over in another order than they were committed in: what does not come
        next is read from the database, and what was sent already is left out.
        """
        while self.handed:
            first, lines = self.handed.popleft()
            self.size -= sum(map(len, lines))
            if first > after + 1:
                self.forget()
            elif first + len(lines) > after + 1:
                return lines[after + 1 - first :]
        return ()


class Tails:
    """The open tails of this process; used from the event loop alone."""

    def __init__(self) -> None:
        self.followers: dict[Name, set[Follower]] = {}
        self.by_caller: Counter[str] = Counter()
        self.number = 0

    @contextmanager
    def following(self, name: Name, caller: str) -> Iterator[Follower]:
        """A follower that is told of every commit to the stream; 429 or 503 if too many are open."""
        if self.by_caller[caller] >= TAILS_PER_CALLER:
            raise HTTPException(429, "too many tails of this caller", headers={"Retry-After": "10"})
        if self.number >= TAILS:
            raise HTTPException(503, "too many tails", headers={"Retry-After": "10"})
        follower = Follower()
        self.followers.setdefault(name, set()).add(follower)
        self.by_caller[caller] += 1
        self.number += 1
        try:
            yield follower
        finally:
            self.number -= 1
            self.by_caller[caller] -= 1
            if not self.by_caller[caller]:
                del self.by_caller[caller]
            self.followers[name].discard(follower)
            if not self.followers[name]:
                del self.followers[name]

    def hand_over(self, name: Name, first: int, lines: Sequence[bytes]) -> None:
        """Give those who follow the stream the lines of a commit."""
        for follower in self.followers.get(name, ()):
            follower.hand_over(first, lines)

    def notify(self, name: Name) -> None:
        """Let those who follow the stream look at it: it was closed."""
        for follower in self.followers.get(name, ()):
            follower.must_read = True
            follower.event.set()
