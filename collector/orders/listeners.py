"""Agents that wait for orders, by address: those whose request is held, and those that are about to ask again.

Each answer lets an agent go for a second (node_agent/runtime/order_client.py): right after an order none may be held.
"""

import time
from collections import Counter, deque
from collections.abc import Callable

from collector.request_guard import RefusalError

MOST_PARKED = 8192  # requests that are held; an agent has one
MOST_PARKED_OF_ADDRESS = 64  # the agents of a node that hides their addresses, and those that were started anew
AGAIN_SECONDS = 5.0  # after an answer: an agent's pause, and as much for a busy node


class Listeners:
    """The requests for news. An agent has one at a time, and comes back after its answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.parked: Counter[str] = Counter()
        self.away: dict[str, deque[float]] = {}  # when requests were answered whose agents have not come back yet
        self.looked_through = clock()

    def count(self) -> int:
        """Return how many agents would hear of an order that is made now."""
        self.forget_the_gone()
        return self.parked.total() + sum(map(len, self.away.values()))

    def came(self, address: str) -> None:
        """Take note of a request: one agent of the address is back."""
        if times := self.away.get(address):
            times.popleft()

    def answered(self, address: str) -> None:
        """Take note of an answer: its agent will ask again."""
        if len(self.away) >= MOST_PARKED and self.clock() >= self.looked_through + AGAIN_SECONDS:
            self.forget_the_gone()
        if address in self.away or len(self.away) < MOST_PARKED:
            self.away.setdefault(address, deque(maxlen=MOST_PARKED_OF_ADDRESS)).append(self.clock())

    def park(self, address: str) -> None:
        """Hold a request; RefusalError 503 without room."""
        if self.parked.total() >= MOST_PARKED or self.parked[address] >= MOST_PARKED_OF_ADDRESS:
            raise RefusalError(
                503, f"more than {MOST_PARKED} requests wait, or {MOST_PARKED_OF_ADDRESS} of one address"
            )
        self.parked[address] += 1

    def release(self, address: str) -> None:
        """Hold a request no longer."""
        self.parked[address] -= 1
        if not self.parked[address]:
            del self.parked[address]

    def forget_the_gone(self) -> None:
        """Forget agents that have not come back in time."""
        self.looked_through = self.clock()
        latest = self.looked_through - AGAIN_SECONDS
        for address, times in list(self.away.items()):
            while times and times[0] < latest:
                times.popleft()
            if not times:
                del self.away[address]
