"""The map of one window: services as nodes, the union of the connections between their pods as edges. Pure.

A node is a Service with the workloads behind it, a workload that no Service selects, an address outside the cluster,
a cluster node, or an address that could not be attributed. A pod behind two Services counts for both.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from manager.schema.push_schema import AcceptedRecord, ConnectionRecord, ObjectReference
from manager.service_map.ambiguous_destinations import resolve_ambiguous
from manager.service_map.join import Observers, join_ends
from manager.service_map.join_state import Join, Recall
from manager.service_map.node_coverage import node_coverage, nodes_in_state
from manager.service_map.topology import Summary, Topology, WorkloadKey, build_topology, resolve_port
from podsonar.model import Window


class Vertex(NamedTuple):
    """A node of the map."""

    id: str
    kind: str
    namespace: str
    name: str


class NodeReport(NamedTuple):
    """What one node of the cluster saw: its counts, its connections, what it accepted."""

    node_name: str
    counts: Mapping[str, Any]
    connections: Sequence[Mapping[str, Any]]
    accepted: Sequence[Mapping[str, Any]]


def service_vertex(namespace: str, name: str) -> Vertex:
    """The place of a Service."""
    return Vertex(f"service/{namespace}/{name}", "Service", namespace, name)


def workload_vertex(workload: WorkloadKey) -> Vertex:
    """The place of a workload without a Service."""
    kind, namespace, name, _, _ = workload
    return Vertex(f"{kind.lower()}/{namespace}/{name}", "Workload", namespace, name)


def pod_vertices(reference: ObjectReference, topology: Topology, port: int | None = None) -> list[Vertex]:
    """Where a pod is on the map: its Services (those with the port, if any has), else its workload, else itself."""
    pod = topology.pods.get(reference.uid)
    if pod is None:
        name = reference.name or reference.uid
        return [workload_vertex(WorkloadKey("Pod", reference.namespace or "", name, reference.uid))]
    services = [topology.services[uid] for uid in topology.services_of.get(reference.uid, ())]
    with_port = [one for one in services if port is not None and has_target(one, pod, port)]
    chosen = with_port or services
    if not chosen:
        return [workload_vertex(topology.workload_of[reference.uid])]
    return [service_vertex(one["namespace"], one["name"]) for one in chosen]


def has_target(service: Summary, pod: Summary, port: int) -> bool:
    """Whether a service leads to that port of the pod."""
    return any(resolve_port(one["target"], pod) == port for one in service["ports"])


def destination_vertices(one: ConnectionRecord, topology: Topology, settled: ObjectReference | None) -> list[Vertex]:
    """Where a connection's destination is on the map; an uncertain one is an address of kind Unresolved."""
    ends = one.kubernetes
    if ends.destination_service is not None:
        reference = ends.destination_service
        facts = topology.services.get(reference.uid)
        namespace = facts["namespace"] if facts else reference.namespace or ""
        return [service_vertex(namespace, facts["name"] if facts else reference.name or reference.uid)]
    port = int(one.destination_port) if one.destination_port.isdigit() else None
    if ends.destination_pod is not None:
        return pod_vertices(ends.destination_pod, topology, port)
    if settled is not None:
        return pod_vertices(settled, topology, port)
    kind = one.destination.kind if one.destination else "External"
    address = one.destination_ip
    if kind == "Node":
        told = one.destination.name if one.destination else None
        name = told or topology.node_at.get(address, address)
        return [Vertex(f"node/{name}", "Node", "", name)]
    if kind == "External":
        return [Vertex(f"external/{address}", "External", "", address)]
    return [Vertex(f"unresolved/{address}", "Unresolved", "", address)]


def inventory_vertices(topology: Topology) -> dict[Vertex, list[str]]:
    """Every Service and every workload without one, with the UIDs of their pods."""
    places: dict[Vertex, list[str]] = {}
    for uid, service in topology.services.items():
        places[service_vertex(service["namespace"], service["name"])] = topology.pods_behind[uid]
    for uid in topology.pods:
        if not topology.services_of.get(uid):
            places.setdefault(workload_vertex(topology.workload_of[uid]), []).append(uid)
    return places


def workloads_of(pods: Iterable[str], topology: Topology) -> list[dict[str, str]]:
    """The workloads of some pods, each once, by name."""
    found = sorted({topology.workload_of[uid] for uid in pods if uid in topology.workload_of})
    return [{"kind": one.kind, "namespace": one.namespace, "name": one.name, "uid": one.uid} for one in found]


def new_edge(source: Vertex, destination: Vertex, port: str, protocol: str) -> dict[str, Any]:
    """An edge without connections yet."""
    return {
        "source": source.id,
        "destination": destination.id,
        "port": port,
        "type": protocol,
        "attempts": 0,
        "established": 0,
        "failed": 0,
        "lastErrno": None,
        "openedBefore": False,
        "accepted": None,
        "bothEnds": None,
        "inSums": False,
        "sourcePods": set(),
        "backends": Counter(),
        "reasons": set(),
    }


def build_edges(
    connections: Sequence[ConnectionRecord],
    topology: Topology,
    join: Join,
    settled: Mapping[int, str],
    observing: set[str],
) -> tuple[list[dict[str, Any]], set[Vertex]]:
    """Edges in a fixed order, and the places they touch."""
    edges: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    touched: set[Vertex] = set()
    for index, one in enumerate(connections):
        pod = one.kubernetes.source_pod
        for source in pod_vertices(pod, topology):
            for destination in destination_vertices(one, topology, join.pods.get(settled.get(index, ""))):
                touched |= {source, destination}
                key = (source.id, destination.id, one.destination_port, one.type)
                edge = edges.setdefault(key, new_edge(source, destination, one.destination_port, one.type))
                edge["attempts"] += one.attempts
                edge["established"] += one.established
                edge["failed"] += one.failed
                edge["lastErrno"] = one.last_errno or edge["lastErrno"]
                edge["openedBefore"] |= one.opened_before
                edge["sourcePods"].add(pod_name(pod, topology))
                edge["backends"].update(join.backends.get(index, {}))
                edge["inSums"] |= index in join.in_sums
                if destination.kind == "Unresolved" and one.destination and one.destination.reason:
                    edge["reasons"].add(one.destination.reason)
                if can_be_accepted(one, topology, observing):
                    edge["accepted"] = edge["accepted"] or 0
    for edge in edges.values():
        finish_edge(edge, topology, join.pods)
    return [edges[key] for key in sorted(edges)], touched


def finish_edge(edge: dict[str, Any], topology: Topology, accepting: Mapping[str, ObjectReference]) -> None:
    """Turn sets into sorted lists and say whether both ends were seen."""
    backends: Counter[str] = edge["backends"]
    if backends:
        edge["accepted"] = backends.total()
    elif edge["inSums"]:
        edge["accepted"] = None
    edge["bothEnds"] = None if edge["accepted"] is None else edge["accepted"] > 0
    edge["sourcePods"] = sorted(edge["sourcePods"])
    edge["reasons"] = sorted(edge["reasons"])
    named = {uid: pod_name(accepting[uid], topology) for uid in backends}
    edge["backends"] = [
        {"pod": named[uid], "accepted": n} for uid, n in sorted(backends.items(), key=lambda pair: named[pair[0]])
    ]


def pod_name(reference: ObjectReference, topology: Topology) -> str:
    """`namespace/name` of a pod, or its UID where nothing else is known."""
    facts = topology.pods.get(reference.uid)
    if facts:
        return f"{facts['namespace']}/{facts['name']}"
    return f"{reference.namespace}/{reference.name}" if reference.name else reference.uid


def can_be_accepted(one: ConnectionRecord, topology: Topology, observing: set[str]) -> bool:
    """Whether some backend of the connection is on a node that observed the window."""
    ends = one.kubernetes
    if ends.destination_pod is not None:
        uids = [ends.destination_pod.uid]
    elif ends.destination_service is not None:
        uids = topology.pods_behind.get(ends.destination_service.uid, [])
    else:
        return False
    return any(topology.pods[uid]["node"] in observing for uid in uids if uid in topology.pods)


def recall_wire(recall: Recall) -> dict[str, Any]:
    """The JSON of a recall."""
    return {
        "value": recall.value,
        "accepted": recall.accepted,
        "explained": recall.explained,
        "notComparable": dict(sorted(recall.not_comparable.items())),
    }


def add_counts(total: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Counts added up member by member; texts are kept as last told."""
    for key, value in more.items():
        before = total.get(key)
        if isinstance(value, Mapping):
            total[key] = add_counts(dict(before) if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, int) and isinstance(before, int):
            total[key] = before + value
        else:
            total[key] = value
    return total


def observers(nodes: Mapping[str, Mapping[str, Any]], views: Sequence[NodeReport]) -> Observers:
    """Who observed the window; what an agent connects to itself is in no client-side record."""
    own_pods = frozenset(str(view.counts["ownPod"]) for view in views if view.counts.get("ownPod"))
    return Observers(frozenset(nodes_in_state(nodes, "whole")), frozenset(nodes_in_state(nodes, "part")), own_pods)


def build_map(
    window: Window, facts: Mapping[str, Sequence[Summary]], views: Sequence[NodeReport], namespace: str = ""
) -> dict[str, Any]:
    """The map's JSON but for the list of windows; with `namespace`, only edges that touch it and what they join."""
    topology = build_topology(facts)
    connections = [msgspec.convert(one, ConnectionRecord) for view in views for one in view.connections]
    # Connections from before the window have no attempt in it, at either end: recall is of the window's own.
    accepted = [
        (view.node_name, record)
        for view in views
        for one in view.accepted
        if not (record := msgspec.convert(one, AcceptedRecord)).opened_before
    ]
    nodes = node_coverage(
        [(view.node_name, view.counts) for view in views], [str(n["name"]) for n in facts.get("Node", ())]
    )
    observing = nodes_in_state(nodes, "whole", "part")
    join = join_ends(connections, accepted, topology, observers(nodes, views))
    edges, touched = build_edges(
        connections, topology, join, resolve_ambiguous(connections, accepted, topology), observing
    )
    pods_at = inventory_vertices(topology)
    places = {one.id: one for one in [*pods_at, *touched]}
    if namespace:
        inside = {one.id for one in places.values() if one.namespace == namespace}
        edges = [edge for edge in edges if edge["source"] in inside or edge["destination"] in inside]
        inside |= {edge[end] for edge in edges for end in ("source", "destination")}
        places = {one: place for one, place in places.items() if one in inside}
    observation: dict[str, dict[str, Any]] = defaultdict(dict)
    for view in views:
        observation[view.node_name] = add_counts(observation[view.node_name], view.counts)
    return {
        "window": window.wire() | {"id": window.id},
        "services": [
            {
                "id": place.id,
                "name": place.name,
                "namespace": place.namespace,
                "kind": place.kind,
                "pods": len(pods_at.get(place, ())),
                "workloads": workloads_of(pods_at.get(place, ()), topology),
            }
            for place in sorted(places.values())
        ],
        "edges": edges,
        "recall": recall_wire(join.recall) | {"nodes": {n: recall_wire(r) for n, r in sorted(join.nodes.items())}},
        "observation": dict(observation),
        "coverage": nodes,
    }
