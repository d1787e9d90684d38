"""What one agent may push: batches and bytes per minute, and bytes per day; the excess is 429 with the time to wait.

Each is a bucket that is full at first and refills evenly, so that a backlog of one period goes at once. Bytes are those
that were sent, whether they were stored or refused. Each manager process counts for itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

from manager.http.body_limits import CLOSE
from podsonar.settings import QuotaSettings
from podsonar.timestamp import NS_PER_SECOND

MINUTE, DAY = 60.0, 86_400.0
LONGEST_WAIT_SECONDS = 300  # what senders honour of a Retry-After
# Label of the metric and setting, of each bucket in order.
NAMES = (
    ("batches_per_minute", "quota.batchesPerMinute"),
    ("bytes_per_minute", "quota.bytesPerMinute"),
    ("bytes_per_day", "quota.bytesPerDay"),
)


@dataclass(slots=True)
class Bucket:
    """An allowance per period; 0 is no limit."""

    allowance: int
    period_seconds: float
    left: float = field(init=False)
    at_ns: int = 0

    def __post_init__(self) -> None:
        self.left = float(self.allowance)

    def refill(self, now_ns: int) -> None:
        """Add what the time since the last call gives; a clock that was set back gives nothing."""
        seconds = max(0, now_ns - self.at_ns) / NS_PER_SECOND
        self.at_ns = now_ns
        self.left = min(float(self.allowance), self.left + seconds * self.allowance / self.period_seconds)

    def take(self, amount: int, now_ns: int) -> int:
        """Take an amount and return 0, or return after how many seconds there would be enough.

        Once the bucket is full it gives any amount and is in debt: what is larger than an allowance waits for it, too.
        """
        if not self.allowance:
            return 0
        self.refill(now_ns)
        if self.left >= min(amount, self.allowance):
            self.left -= amount
            return 0
        lacking = min(amount, self.allowance) - self.left
        return max(1, min(LONGEST_WAIT_SECONDS, math.ceil(lacking * self.period_seconds / self.allowance)))


class AgentQuotas:
    """The buckets of every agent that has pushed."""

    def __init__(self, settings: QuotaSettings, clock: Callable[[], int], refused: Callable[[str], object]) -> None:
        self.settings, self.clock, self.refused = settings, clock, refused
        self.of_agent: dict[str, tuple[Bucket, Bucket, Bucket]] = {}

    def buckets(self, agent_id: str) -> tuple[Bucket, Bucket, Bucket]:
        """An agent's buckets: batches per minute, bytes per minute, bytes per day."""
        if (found := self.of_agent.get(agent_id)) is None:
            made = self.settings
            found = (
                Bucket(made.batches_per_minute, MINUTE),
                Bucket(made.bytes_per_minute, MINUTE),
                Bucket(made.bytes_per_day, DAY),
            )
            self.of_agent[agent_id] = found
        return found

    def take_batch(self, agent_id: str) -> None:
        """Count one push; 429 beyond the quota."""
        self.take(agent_id, 1, (0,))

    def take_bytes(self, agent_id: str, size: int) -> None:
        """Count bytes of a body; 429 beyond a quota."""
        self.take(agent_id, size, (1, 2))

    def take(self, agent_id: str, amount: int, which: tuple[int, ...]) -> None:
        """Take from some buckets; 429 if one of them lacks it."""
        now_ns, buckets = self.clock(), self.buckets(agent_id)
        for place in which:
            if wait_seconds := buckets[place].take(amount, now_ns):
                label, setting = NAMES[place]
                self.refused(label)
                text = f"this agent has used up {setting}"
                raise HTTPException(429, text, headers={"Retry-After": str(wait_seconds), **CLOSE})
