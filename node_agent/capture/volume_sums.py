"""What connections carried, summed: the mutable twin of `podsonar.model.Volume`."""

from collections.abc import Sequence

from node_agent.privileged.bpf_structs import RESETS_SHIFT, RTT_BUCKETS
from podsonar.model import Volume

RTT_FIRST_SHIFT = 5  # the first bucket of round-trip times ends at 32 microseconds


def rtt_bucket(rtt_us: int) -> int:
    """Return the bucket of a round-trip time, as bpf/volume.c chooses it: below 32 µs, then doubling."""
    return min((rtt_us >> RTT_FIRST_SHIFT).bit_length(), RTT_BUCKETS - 1)


class VolumeSums:
    """The sums of one flow's connections in one window."""

    __slots__ = ("open_ns", "received", "resets", "retransmitted", "rtt", "rtt_max_us", "rtt_sum_us", "sent")

    def __init__(self) -> None:
        self.sent = self.received = self.retransmitted = self.open_ns = 0
        self.rtt_sum_us = self.rtt_max_us = self.resets = 0
        self.rtt: list[int] = [0] * RTT_BUCKETS

    def add_ended(self, values: Sequence[int]) -> None:
        """Add an entry of a drained table of volumes, `struct volume`."""
        sent, received, retransmitted, open_ns, rtt_sum_us_and_resets, rtt_max_us, *rtt = values
        self.sent += sent
        self.received += received
        self.retransmitted += retransmitted
        self.open_ns += open_ns
        self.rtt_sum_us += rtt_sum_us_and_resets & ((1 << RESETS_SHIFT) - 1)
        self.rtt_max_us = max(self.rtt_max_us, rtt_max_us)
        self.resets += rtt_sum_us_and_resets >> RESETS_SHIFT
        self.rtt = [own + more for own, more in zip(self.rtt, rtt, strict=True)]

    def add(self, other: "VolumeSums") -> None:
        """Add the sums of another flow."""
        self.sent += other.sent
        self.received += other.received
        self.retransmitted += other.retransmitted
        self.open_ns += other.open_ns
        self.rtt_sum_us += other.rtt_sum_us
        self.rtt_max_us = max(self.rtt_max_us, other.rtt_max_us)
        self.resets += other.resets
        self.rtt = [own + more for own, more in zip(self.rtt, other.rtt, strict=True)]

    def add_connection(
        self, sent: int, received: int, retransmitted: int, open_ns: int, rtt_us: int, resets: int = 0
    ) -> None:
        """Add what one connection carried in the window."""
        self.sent += max(0, sent)
        self.received += max(0, received)
        self.retransmitted += max(0, retransmitted)
        self.open_ns += max(0, open_ns)
        self.rtt_sum_us += rtt_us
        self.rtt_max_us = max(self.rtt_max_us, rtt_us)
        self.rtt[rtt_bucket(rtt_us)] += 1
        self.resets += resets

    def volume(self) -> Volume:
        """Return the sums as a value; the histogram without the empty buckets at its end."""
        last = max((place + 1 for place, count in enumerate(self.rtt) if count), default=0)
        return Volume(
            self.sent,
            self.received,
            self.retransmitted,
            self.resets,
            self.open_ns,
            self.rtt_sum_us,
            self.rtt_max_us,
            tuple(self.rtt[:last]),
        )


NOTHING = VolumeSums().volume()
