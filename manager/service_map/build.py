"""The map of one window: services as vertices, the union of the connections between their pods as edges. Pure.

Records are read once and one block at a time. Of a window with more than 200,000 of a side the first ones are compared
with the other end; the others count at their edges, and `aggregated` in the answer says how many there were.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from manager.schema.records import LARGEST_COUNT, AcceptedRecord, ConnectionEnds, ConnectionRecord
from manager.service_map.ambiguous_destinations import resolve_ambiguous
from manager.service_map.edges import Edges
from manager.service_map.join import LeftOutKey, Observers, join_ends
from manager.service_map.join_state import Recall
from manager.service_map.kernel_witness import add_agreement
from manager.service_map.node_coverage import NOTHING_MISSING, node_coverage, nodes_in_state
from manager.service_map.topology import Summary, build_topology
from manager.service_map.vertex_labels import labels_by_service, vertex_labels
from manager.service_map.vertices import inventory_vertices, nodes_of, workloads_of
from podsonar.model import Window

MAX_JOINED = 200_000
MAX_NODES = 10_000


class NodeReport(NamedTuple):
    """One batch's report of a node: counts, connections, accepted connections; records are read once."""

    node_name: str
    counts: Mapping[str, Any]
    connections: Iterable[ConnectionRecord]
    accepted: Iterable[AcceptedRecord]


def recall_wire(recall: Recall) -> dict[str, Any]:
    """The JSON of a recall."""
    return {
        "value": recall.value,
        "accepted": min(recall.accepted, LARGEST_COUNT),
        "explained": min(recall.explained, LARGEST_COUNT),
        "notComparable": {reason: min(n, LARGEST_COUNT) for reason, n in sorted(recall.not_comparable.items())},
    }


def add_counts(total: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Counts added up member by member; lists are joined, of texts the last one stays."""
    for key, value in more.items():
        before = total.get(key)
        if isinstance(value, Mapping):
            total[key] = add_counts(dict(before) if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, list):
            total[key] = [*before, *value] if isinstance(before, list) else list(value)
        elif isinstance(value, int) and isinstance(before, int):
            total[key] = min(before + value, LARGEST_COUNT)
        else:
            total[key] = value
    return total


def observers_of(nodes: Mapping[str, Mapping[str, Any]], reports: Sequence[NodeReport]) -> Observers:
    """Which nodes were observed; what an agent connects to itself is in no client-side record."""
    own_pods = frozenset(str(report.counts["ownPod"]) for report in reports if report.counts.get("ownPod"))
    whole, part = frozenset(nodes_in_state(nodes, "whole")), frozenset(nodes_in_state(nodes, "part"))
    return Observers(whole, part, own_pods, scanning_pods(reports), left_out_connections(reports))


def left_out_connections(reports: Sequence[NodeReport]) -> dict[LeftOutKey, int]:
    """How many connections from an address are in no record; two nodes on one kernel report the same ones."""
    most: dict[LeftOutKey, int] = {}
    for report in reports:
        for one in report.counts.get("leftOutSources") or ():
            key = one["address"], one["reason"], one["openedBefore"]
            most[key] = max(most.get(key, 0), one["established"])
    return most


def scanning_pods(reports: Sequence[NodeReport]) -> frozenset[str]:
    """UIDs of pods of whose connects some are known in sums only."""
    sums = (one for report in reports for one in report.counts.get("scan") or ())
    return frozenset(str(one["pod"]["uid"]) for one in sums if one["end"] == "source")


def share_ends(records: Iterable[ConnectionRecord]) -> Iterable[ConnectionRecord]:
    """The records, of which equal references, destinations and addresses are one object: a scan has many of each."""
    shared: dict[Any, Any] = {}
    for record in records:
        ends: ConnectionEnds = shared.setdefault(record.kubernetes, record.kubernetes)
        msgspec.structs.force_setattr(record, "kubernetes", ends)
        msgspec.structs.force_setattr(record, "destination", shared.setdefault(record.destination, record.destination))
        msgspec.structs.force_setattr(record, "source_ip", shared.setdefault(record.source_ip, record.source_ip))
        yield record


def build_map(
    window: Window,
    summaries: Mapping[str, Sequence[Summary]],
    reports: Sequence[NodeReport],
    namespace: str = "",
    missing: Mapping[str, int] = NOTHING_MISSING,
) -> dict[str, Any]:
    """The map's JSON but for the list of windows; with `namespace`, only edges that touch it and what they join.

    `missing`: how many batches of each node have not come; what such a node did not report proves nothing.
    """
    topology = build_topology(summaries)
    nodes = node_coverage(
        [(one.node_name, one.counts) for one in reports], [str(n["name"]) for n in summaries.get("Node", ())], missing
    )
    records = iter(share_ends(record for report in reports for record in report.connections))
    ends = iter((report.node_name, record) for report in reports for record in report.accepted)
    connections, accepted = list(islice(records, MAX_JOINED)), list(islice(ends, MAX_JOINED))
    edges = Edges(topology, nodes_in_state(nodes, "whole", "part"))
    rest = next(records, None)
    observers = observers_of(nodes, reports)
    join, opened_recall = join_ends(connections, accepted, topology, observers, whole=rest is None)
    # What others took of an address decides only if all of them are known.
    new = [(node, record) for node, record in accepted if not record.opened_before]
    all_known = rest is None and not any(report.counts.get("scan") for report in reports)
    resolved = resolve_ambiguous(connections, new, topology) if all_known else {}
    # Named destinations first: of what has no room on the map, addresses are the least loss.
    for of_address in (False, True):
        for index, record in enumerate(connections):
            kubernetes = record.kubernetes
            if of_address == (kubernetes.destination_service is None and kubernetes.destination_pod is None):
                edges.add(record, index, join, resolved)
    not_joined = 0
    while rest is not None:
        edges.add(rest, None, join, {})
        not_joined += 1
        rest = next(records, None)
    not_joined_accepted = sum(1 for _ in ends)
    pods_at = inventory_vertices(topology)
    vertices = {vertex.id: vertex for vertex in [*pods_at, *edges.touched]}
    shown = edges.wire(join.pods)
    if namespace:
        inside = {vertex.id for vertex in vertices.values() if vertex.namespace == namespace}
        shown = [edge for edge in shown if edge["source"] in inside or edge["destination"] in inside]
        inside |= {edge[end] for edge in shown for end in ("source", "destination")}
        vertices = {key: vertex for key, vertex in vertices.items() if key in inside}
    observation: dict[str, dict[str, Any]] = defaultdict(dict)
    for report in reports:
        name = report.node_name if report.node_name in observation or len(observation) < MAX_NODES else "*"
        observation[name] = add_counts(observation[name], report.counts)
    add_agreement(nodes, observation, join.nodes)
    own_labels = labels_by_service(topology)
    return {
        "window": window.wire() | {"id": window.id},
        "services": [
            {
                "id": vertex.id,
                "name": vertex.name,
                "namespace": vertex.namespace,
                "kind": vertex.kind,
                "pods": len(pods_at.get(vertex, ())),
                "workloads": workloads_of(pods_at.get(vertex, ()), topology),
                "nodes": nodes_of(pods_at.get(vertex, ()), topology),
                "labels": vertex_labels(
                    own_labels.get((vertex.namespace, vertex.name), {}) if vertex.kind == "Service" else {},
                    pods_at.get(vertex, ()),
                    topology,
                ),
            }
            for vertex in sorted(vertices.values())
        ],
        "edges": shown,
        "recall": recall_wire(join.recall)
        | {
            "nodes": {node: recall_wire(recall) for node, recall in sorted(join.nodes.items())},
            "openedBefore": recall_wire(opened_recall),
        },
        "observation": dict(observation),
        "coverage": nodes,
        "aggregated": {
            "connections": edges.aggregated,
            "notJoined": not_joined,
            "acceptedNotJoined": not_joined_accepted,
        },
    }
