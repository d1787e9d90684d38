"""Volumes in a capture file: fixed-width records behind the flows, one for each flow that has one, in their order."""

import struct
from collections.abc import MutableSequence
from itertools import chain

from podsonar.model import AcceptedFlow, Capture, Flow, Volume

BUCKETS = 16
MOST = (1 << 63) - 1
# Place of the flow (accepted flows are counted after the flows), 7 counts, histogram of round-trip times.
VOLUME = struct.Struct(f"<IxxxxQQQQQQQ{BUCKETS}I")


def measured(capture: Capture) -> list[tuple[int, Volume]]:
    """Return the place of each flow and accepted flow that has a volume, and the volume."""
    volumes = chain((flow.volume for flow in capture.flows), (entry.volume for entry in capture.accepted))
    return [(place, volume) for place, volume in enumerate(volumes) if volume is not None]


def encode(capture: Capture) -> bytes:
    """Return the records of a capture."""
    return b"".join(
        VOLUME.pack(place, *volume[:7], *volume.rtt_histogram, *[0] * (BUCKETS - len(volume.rtt_histogram)))
        for place, volume in measured(capture)
    )


def add(records: memoryview, flows: MutableSequence[Flow], accepted: MutableSequence[AcceptedFlow]) -> str | None:
    """Give each flow its volume; return what is wrong with the records if they cannot be an encoder's."""
    last = -1
    for place, *counts in VOLUME.iter_unpack(records):
        if not last < place < len(flows) + len(accepted):
            return f"a volume is of flow {place}, after {last} of {len(flows) + len(accepted)}"
        if max(counts) > MOST:
            return f"a record holds the count {max(counts)}, at most {MOST} is one"
        last = place
        histogram = counts[7:]
        while histogram and not histogram[-1]:
            histogram.pop()
        volume = Volume._make((*counts[:7], tuple(histogram)))
        if place < len(flows):
            flows[place] = flows[place]._replace(volume=volume)
        else:
            accepted[place - len(flows)] = accepted[place - len(flows)]._replace(volume=volume)
    return None
