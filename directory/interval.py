"""When an owner had an address: the time in which it may have had it, and inside that the time in which it surely had.

No clock in a cluster gives both ends of an interval. A start time is written when a kubelet takes a pod, before the pod
has an address; an end is received as a watch event, after the address was given back; both in whole seconds of
different clocks. So each end is two moments, and an answer names an owner only if the whole asked time, widened by
the clocks' skew, lies inside the sure part, and outside everybody else's possible part.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from podsonar.timestamp import NS_PER_SECOND

FOREVER = 2**63 - 1
SECOND = NS_PER_SECOND
SKEW_NS = 2 * SECOND  # between any two clocks of a cluster; NTP keeps them in tens of milliseconds
REPORT_NS = 8 * SECOND  # from a change to its event: a kubelet reports within 3 s, a watch is cut when silent for 5
FINAL_AFTER_NS = SKEW_NS + REPORT_NS  # all that is known as of a moment is the whole truth up to this long before it
OwnerKey = int | str


class Interval(NamedTuple):
    """`owner` may have had the address in `[maybe_from_ns, maybe_to_ns]`, surely in `[sure_from_ns, sure_to_ns]`.

    The sure part is empty if it would end before it begins.
    """

    owner: OwnerKey
    maybe_from_ns: int
    sure_from_ns: int
    sure_to_ns: int = FOREVER
    maybe_to_ns: int = FOREVER

    @property
    def open(self) -> bool:
        """Whether no end has been received."""
        return self.maybe_to_ns == FOREVER

    def possible(self, from_ns: int, to_ns: int) -> bool:
        """Whether it may have been the owner at any moment of the asked time."""
        return self.maybe_from_ns <= to_ns + SKEW_NS and from_ns - SKEW_NS <= self.maybe_to_ns

    def certain(self, from_ns: int, to_ns: int) -> bool:
        """Whether it was the owner during the whole asked time, whatever the clocks' skew."""
        return self.sure_from_ns + SKEW_NS <= from_ns and (
            self.sure_to_ns == FOREVER or to_ns + SKEW_NS <= self.sure_to_ns
        )

    def with_end(self, sure_to_ns: int, maybe_to_ns: int) -> "Interval":
        """Return the interval with its end; it is never sure for longer than it is possible."""
        end_ns = max(self.maybe_from_ns, maybe_to_ns)
        return self._replace(sure_to_ns=min(sure_to_ns, end_ns), maybe_to_ns=end_ns)

    def with_proof(self, sure_from_ns: int) -> "Interval":
        """Return the interval with an earlier proof of its beginning, if it is earlier."""
        if sure_from_ns >= self.sure_from_ns:
            return self
        return self._replace(sure_from_ns=max(sure_from_ns, self.maybe_from_ns))


def possible(intervals: Sequence[Interval], from_ns: int, to_ns: int) -> list[Interval]:
    """Return the intervals that may touch the asked time."""
    return [interval for interval in intervals if interval.possible(from_ns, to_ns)] if intervals else []


def owners(intervals: Iterable[Interval]) -> list[OwnerKey]:
    """Return the owners of some intervals, each once, in a fixed order."""
    keys = {interval.owner for interval in intervals}
    return sorted(keys, key=str) if len(keys) > 1 else list(keys)


def certain(intervals: Sequence[Interval], from_ns: int, to_ns: int) -> bool:
    """Whether one of an owner's intervals covers the whole asked time."""
    return any(interval.certain(from_ns, to_ns) for interval in intervals)
