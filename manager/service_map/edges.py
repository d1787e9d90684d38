"""The edges of the map: the union of the connections between the pods of two vertices, by port. Pure.

Their number is bounded whatever a window holds. Beyond the limit a connection is counted at an edge to `*`, one per
source and kind of destination, and the map says how many were.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manager.schema.records import LARGEST_COUNT, ConnectionRecord, ObjectReference, bounded_seconds
from manager.service_map.edge_volume import EdgeVolume
from manager.service_map.join_state import Join
from manager.service_map.topology import Topology
from manager.service_map.vertices import OTHER_WORKLOADS, OTHERS, Vertex, destination_vertices, pod_name, pod_vertices

MAX_EDGES = 20_000
MAX_SOURCE_PODS = 1000  # named per edge

EdgeId = tuple[str, str, str, str]


@dataclass(slots=True)
class EdgeCounts:
    """The sums of the connections of one edge."""

    attempts: int = 0
    established: int = 0
    failed: int = 0
    last_errno: int | None = None
    opened_before: bool = False
    handshake_sum: float = 0.0
    handshake_max: float = 0.0
    volume: EdgeVolume | None = None
    accepted: int | None = None
    in_sums: bool = False
    source_pods: set[str] = field(default_factory=set)
    more_source_pods: int = 0
    backends: Counter[str] = field(default_factory=Counter)
    reasons: set[str] = field(default_factory=set)

    def add(self, record: ConnectionRecord, source_pod: str) -> None:
        """Count one record."""
        self.attempts += record.attempts
        self.established += record.established
        self.failed += record.failed
        self.last_errno = record.last_errno or self.last_errno
        self.opened_before |= record.opened_before
        if record.handshake_seconds is not None:
            self.handshake_sum += record.handshake_seconds.sum
            self.handshake_max = max(self.handshake_max, record.handshake_seconds.max)
        if record.volume is not None:
            self.volume = self.volume or EdgeVolume()
            self.volume.add(record.volume)
        if len(self.source_pods) < MAX_SOURCE_PODS:
            self.source_pods.add(source_pod)
        elif source_pod not in self.source_pods:
            self.more_source_pods += 1


class Edges:
    """The edges of one map; `touched` are their vertices, `aggregated` counts records at edges to `*`."""

    def __init__(self, topology: Topology, observing: set[str]) -> None:
        self.topology, self.observing = topology, observing
        self.edges: dict[EdgeId, EdgeCounts] = {}
        self.touched: set[Vertex] = set()
        self.aggregated = 0

    def add(self, record: ConnectionRecord, index: int | None, join: Join, accepting: Mapping[int, str]) -> None:
        """Count a record; `index` is its place in the join, None if it is not part of it."""
        pod = record.kubernetes.source_pod
        accepting_pod = join.pods.get(accepting.get(index, "")) if index is not None else None
        for source in pod_vertices(pod, self.topology):
            for destination in destination_vertices(record, self.topology, accepting_pod):
                edge = self.edge(source, destination, record)
                edge.add(record, pod_name(pod, self.topology))
                if index is not None:
                    if index in join.backends:
                        edge.backends.update(join.backends[index])
                    edge.in_sums |= index in join.in_sums
                if destination.kind == "Unresolved" and record.destination and record.destination.reason:
                    add_bounded(edge.reasons, record.destination.reason)
                if can_be_accepted(record, self.topology, self.observing):
                    edge.accepted = edge.accepted or 0

    def edge(self, source: Vertex, destination: Vertex, record: ConnectionRecord) -> EdgeCounts:
        """The edge of a record; if there is none and no more may come, the one to the others of its kind."""
        key = (source.id, destination.id, record.destination_port, record.type)
        if key not in self.edges and len(self.edges) >= MAX_EDGES:
            self.aggregated += 1
            if source not in self.touched:
                source = OTHER_WORKLOADS
            destination = OTHERS.get(destination.kind, OTHER_WORKLOADS)
            key = (source.id, destination.id, "*", record.type if record.type == "TCP" else "*")
        if key not in self.edges:
            self.touched |= {source, destination}
            self.edges[key] = EdgeCounts()
        return self.edges[key]

    def wire(self, accepting: Mapping[str, ObjectReference]) -> list[dict[str, Any]]:
        """The edges in a fixed order, as the API shows them."""
        return [edge_wire(key, self.edges[key], self.topology, accepting) for key in sorted(self.edges)]


def add_bounded(reasons: set[str], reason: str) -> None:
    """Add a reason unless there are many; each comes from a fixed list of the directory's."""
    if len(reasons) < 16:
        reasons.add(reason[:256])


def can_be_accepted(record: ConnectionRecord, topology: Topology, observing: set[str]) -> bool:
    """Whether some backend of the connection is on a node that observed the window."""
    ends = record.kubernetes
    if ends.destination_pod is not None:
        uids = [ends.destination_pod.uid]
    elif ends.destination_service is not None:
        uids = topology.pods_behind.get(ends.destination_service.uid, [])
    else:
        return False
    return any(topology.pods[uid]["node"] in observing for uid in uids if uid in topology.pods)


def edge_wire(
    key: EdgeId, edge: EdgeCounts, topology: Topology, accepting: Mapping[str, ObjectReference]
) -> dict[str, Any]:
    """An edge's JSON; `bothEnds`: whether the accepting end was seen too, null if it could not be."""
    accepted = edge.accepted
    if edge.backends:
        accepted = edge.backends.total()
    elif edge.in_sums:
        accepted = None
    named = {uid: pod_name(accepting[uid], topology) for uid in edge.backends}
    backends = sorted(edge.backends.items(), key=lambda pair: named[pair[0]])
    source, destination, port, protocol = key
    shown = {
        "source": source,
        "destination": destination,
        "port": port,
        "type": protocol,
        "attempts": min(edge.attempts, LARGEST_COUNT),
        "established": min(edge.established, LARGEST_COUNT),
        "failed": min(edge.failed, LARGEST_COUNT),
        "lastErrno": edge.last_errno,
        "openedBefore": edge.opened_before,
        "handshakeSeconds": {
            "sum": round(bounded_seconds(edge.handshake_sum), 6),
            "max": bounded_seconds(edge.handshake_max),
        },
        "accepted": None if accepted is None else min(accepted, LARGEST_COUNT),
        "bothEnds": None if accepted is None else accepted > 0,
        "inSums": edge.in_sums,
        "sourcePods": sorted(edge.source_pods),
        "backends": [{"pod": named[uid], "accepted": min(n, LARGEST_COUNT)} for uid, n in backends],
        "reasons": sorted(edge.reasons),
    }
    if edge.volume is not None:
        shown["volume"] = edge.volume.wire()
    return shown | ({"moreSourcePods": edge.more_source_pods} if edge.more_source_pods else {})
