"""What the connections of an edge carried, at one of its ends. Pure."""

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from manager.schema.records import LARGEST_COUNT, VolumeRecord, bounded_seconds


@dataclass(slots=True)
class EdgeVolume:
    """The sums of the records that have a volume."""

    sent_bytes: int = 0
    received_bytes: int = 0
    retransmitted_segments: int = 0
    resets: int = 0
    open_seconds: float = 0.0
    rtt_count: int = 0
    rtt_sum: float = 0.0
    rtt_max: float = 0.0
    histogram: list[int] = field(default_factory=list)

    def add(self, volume: VolumeRecord) -> None:
        """Add one record's volume."""
        self.sent_bytes += volume.sent_bytes
        self.received_bytes += volume.received_bytes
        self.retransmitted_segments += volume.retransmitted_segments
        self.resets += volume.resets
        self.open_seconds += volume.open_seconds
        rtt = volume.rtt_seconds
        self.rtt_count += rtt.count
        self.rtt_sum += rtt.sum
        self.rtt_max = max(self.rtt_max, rtt.max)
        self.histogram = [own + more for own, more in zip_longest(self.histogram, rtt.histogram, fillvalue=0)]

    def wire(self) -> dict[str, Any]:
        """The JSON of the sums, in the shape of a record's."""
        return {
            "sentBytes": min(self.sent_bytes, LARGEST_COUNT),
            "receivedBytes": min(self.received_bytes, LARGEST_COUNT),
            "retransmittedSegments": min(self.retransmitted_segments, LARGEST_COUNT),
            "resets": min(self.resets, LARGEST_COUNT),
            "openSeconds": round(bounded_seconds(self.open_seconds), 6),
            "rttSeconds": {
                "count": min(self.rtt_count, LARGEST_COUNT),
                "sum": round(bounded_seconds(self.rtt_sum), 6),
                "max": bounded_seconds(self.rtt_max),
                "histogram": [min(count, LARGEST_COUNT) for count in self.histogram],
            },
        }
