"""The vertices of the map: which of them a pod, a destination or a workload is. Pure.

A vertex is a Service with the workloads behind it, a workload that no Service selects, an address outside the cluster,
a cluster node, or an address that could not be attributed. A pod behind two Services counts for both.
"""

from collections.abc import Iterable
from typing import NamedTuple

from manager.schema.records import ConnectionRecord, ObjectReference
from manager.service_map.topology import Summary, Topology, WorkloadKey, resolve_port


class Vertex(NamedTuple):
    """A vertex of the map."""

    id: str
    kind: str
    namespace: str
    name: str


# In place of vertices beyond the map's limit, by kind.
OTHERS = {kind: Vertex(f"{kind.lower()}/*", kind, "", "*") for kind in ("External", "Unresolved", "Node")}
OTHER_WORKLOADS = Vertex("workload/*", "Workload", "", "*")


def service_vertex(namespace: str, name: str) -> Vertex:
    """The vertex of a Service."""
    return Vertex(f"service/{namespace}/{name}", "Service", namespace, name)


def workload_vertex(workload: WorkloadKey) -> Vertex:
    """The vertex of a workload without a Service."""
    kind, namespace, name, _, _ = workload
    return Vertex(f"{kind.lower()}/{namespace}/{name}", "Workload", namespace, name)


def pod_vertices(reference: ObjectReference, topology: Topology, port: int | None = None) -> list[Vertex]:
    """The vertices of a pod: its Services (those with the port, if any has), else its workload, else itself."""
    pod = topology.pods.get(reference.uid)
    if pod is None:
        name = reference.name or reference.uid
        return [workload_vertex(WorkloadKey("Pod", reference.namespace or "", name, reference.uid))]
    services = [topology.services[uid] for uid in topology.services_of.get(reference.uid, ())]
    with_port = [service for service in services if port is not None and has_target(service, pod, port)]
    chosen = with_port or services
    if not chosen:
        return [workload_vertex(topology.workload_of[reference.uid])]
    return [service_vertex(service["namespace"], service["name"]) for service in chosen]


def has_target(service: Summary, pod: Summary, port: int) -> bool:
    """Whether a service leads to that port of the pod."""
    return any(resolve_port(entry["target"], pod) == port for entry in service["ports"])


def destination_vertices(
    record: ConnectionRecord, topology: Topology, accepting: ObjectReference | None
) -> list[Vertex]:
    """The vertices of a connection's destination; an uncertain one is an address of kind Unresolved.

    `accepting` is the pod that settled an ambiguous destination by accepting all of its connections.
    """
    ends = record.kubernetes
    if ends.destination_service is not None:
        reference = ends.destination_service
        summary = topology.services.get(reference.uid)
        namespace = summary["namespace"] if summary else reference.namespace or ""
        return [service_vertex(namespace, summary["name"] if summary else reference.name or reference.uid)]
    port = int(record.destination_port)
    if ends.destination_pod is not None:
        return pod_vertices(ends.destination_pod, topology, port)
    if accepting is not None:
        return pod_vertices(accepting, topology, port)
    kind = record.destination.kind if record.destination else "External"
    address = record.destination_ip
    if kind == "Node":
        reported = record.destination.name if record.destination else None
        name = reported or topology.node_at.get(address, address)
        return [Vertex(f"node/{name}", "Node", "", name)]
    if kind == "External":
        return [Vertex(f"external/{address}", "External", "", address)]
    return [Vertex(f"unresolved/{address}", "Unresolved", "", address)]


def inventory_vertices(topology: Topology) -> dict[Vertex, list[str]]:
    """Every Service and every workload without one, with the UIDs of their pods."""
    vertices: dict[Vertex, list[str]] = {}
    for uid, service in topology.services.items():
        vertices[service_vertex(service["namespace"], service["name"])] = topology.pods_behind[uid]
    for uid in topology.pods:
        if not topology.services_of.get(uid):
            vertices.setdefault(workload_vertex(topology.workload_of[uid]), []).append(uid)
    return vertices


def workloads_of(pods: Iterable[str], topology: Topology) -> list[dict[str, str]]:
    """The workloads of some pods, each once, by name."""
    found = sorted({topology.workload_of[uid] for uid in pods if uid in topology.workload_of})
    return [{"kind": key.kind, "namespace": key.namespace, "name": key.name, "uid": key.uid} for key in found]


def nodes_of(pods: Iterable[str], topology: Topology) -> list[str]:
    """The names of the nodes on which some pods run, each once, sorted."""
    return sorted(
        {str(topology.pods[uid]["node"]) for uid in pods if uid in topology.pods and topology.pods[uid]["node"]}
    )


def pod_name(reference: ObjectReference, topology: Topology) -> str:
    """`namespace/name` of a pod, or its UID if nothing else is known."""
    summary = topology.pods.get(reference.uid)
    if summary:
        return f"{summary['namespace']}/{summary['name']}"
    return f"{reference.namespace}/{reference.name}" if reference.name else reference.uid
