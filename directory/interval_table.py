"""Which service, node or slice had an address or a port, and when: thousands of entries, kept as plain values."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from directory.interval import REPORT_NS, Interval


@dataclass(slots=True)
class IntervalTable:
    """Intervals by address or port; `set_claims` takes everything that an owner has now."""

    table: dict[Hashable, list[Interval]] = field(default_factory=dict)
    claimed_by: dict[str, set[Hashable]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def at(self, claimed: Hashable) -> list[Interval]:
        """Return every owner's intervals of an address or port."""
        return self.table.get(claimed, [])

    def set_claims(
        self, owner: str, sure_from: Mapping[Hashable, int], maybe_from_ns: int, at_ns: int, known_ns: int
    ) -> None:
        """Note what an owner has at `at_ns` (with the time since which that is sure), and that it has nothing else.

        `known_ns` is the last moment at which what was noted before was known to be so.
        """
        for claimed, since_ns in sure_from.items():
            intervals = self.table.setdefault(claimed, [])
            if not any(interval.owner == owner and interval.open for interval in intervals):
                again = any(interval.owner == owner for interval in intervals)  # it had lost it: no earlier proof holds
                sure_from_ns = at_ns if again else since_ns
                intervals.append(Interval(owner, min(maybe_from_ns, sure_from_ns), sure_from_ns))
                self.claimed_by.setdefault(owner, set()).add(claimed)
        for claimed in self.claimed_by.get(owner, set()) - sure_from.keys():
            self.release(owner, claimed, at_ns, known_ns)

    def release(self, owner: str, claimed: Hashable, at_ns: int, known_ns: int) -> None:
        """Note that an owner has lost an address or port: the event comes up to `REPORT_NS` after the change."""
        self.table[claimed] = [
            interval.with_end(known_ns - REPORT_NS, at_ns) if interval.owner == owner and interval.open else interval
            for interval in self.table[claimed]
        ]

    def expire(self, before_ns: int) -> None:
        """Drop what ended before a time."""
        for claimed, intervals in list(self.table.items()):
            kept = [interval for interval in intervals if interval.maybe_to_ns >= before_ns]
            if len(kept) == len(intervals):
                continue
            for gone in {str(interval.owner) for interval in intervals} - {str(interval.owner) for interval in kept}:
                self.claimed_by[gone].discard(claimed)
                if not self.claimed_by[gone]:
                    del self.claimed_by[gone]
            if kept:
                self.table[claimed] = kept
            else:
                del self.table[claimed]
