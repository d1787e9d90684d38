"""The edges of a map as connections between pods: a Service's port becomes that of its backends. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from manager.policies.observed import Observed, ObservedPod, PodFlow
from manager.service_map.topology import Topology, resolve_port
from manager.service_map.vertices import inventory_vertices


def observed_of(found: Mapping[str, Any], topology: Topology, namespaces: Mapping[str, dict[str, str]]) -> Observed:
    """The pods and flows of a window's map; with its details, since edges name their pods there."""
    pods = {pod.key: pod for pod in observed_pods(topology)}
    places = {one["id"]: one for one in found["services"]}
    by_vertex = {vertex.id: uids for vertex, uids in inventory_vertices(topology).items()}
    services = {f"service/{one['namespace']}/{one['name']}": uid for uid, one in topology.services.items()}
    addresses = {name: address for address, name in topology.node_at.items()}
    flows, left_out = [], {"source_pod_unknown": 0, "destination_unknown": 0}
    for edge in found["edges"]:
        sources = [name for name in edge["sourcePods"] if name in pods]
        left_out["source_pod_unknown"] += len(edge["sourcePods"]) - len(sources)
        place = places[edge["destination"]]
        to_pods = place["kind"] in {"Service", "Workload"}
        if to_pods:
            accepted = {one["pod"] for one in edge["backends"]}
            service = services.get(edge["destination"])
            reached = backends(topology, by_vertex.get(edge["destination"], ()), service, edge["port"])
            destinations = [one for one in reached if one[0] in accepted] or reached
        else:
            address = addresses.get(place["name"], "") if place["kind"] == "Node" else place["name"]
            destinations = [(address, int(edge["port"]))] if address not in {"", "*"} and edge["port"].isdigit() else []
        if not sources or not destinations:
            left_out["destination_unknown"] += not destinations
            continue
        name = f"{edge['source']} -> {edge['destination']}:{edge['port']}"
        flows.append(PodFlow(name, sources, destinations, to_pods, edge["attempts"], edge["type"]))
    used = {reason: number for reason, number in left_out.items() if number}
    return Observed([found["window"]["id"]], pods, dict(namespaces), flows, used)


def observed_pods(topology: Topology) -> Iterable[ObservedPod]:
    """Every pod of the inventory."""
    for uid, pod in topology.pods.items():
        workload = topology.workload_of[uid]
        yield ObservedPod(
            str(pod["namespace"]),
            str(pod["name"]),
            {str(name): str(value) for name, value in pod["labels"].items()},
            [str(ip) for ip in pod["ips"]],
            {f"{name}/TCP": int(port) for name, port in pod["ports"].items() if isinstance(port, int)},
            pod["node"],
            bool(pod.get("hostNetwork")),
            f"{workload.kind}/{workload.name}",
        )


def backends(topology: Topology, uids: Iterable[str], service: str | None, port: str) -> list[tuple[str, int]]:
    """(pod, its port) of everything that an edge's destination may be."""
    if not port.isdigit():
        return []
    if service is None:
        return [(pod_key(topology, uid), int(port)) for uid in uids]
    entries = [one for one in topology.services[service]["ports"] if int(port) in {one["port"], one.get("nodePort")}]
    found = []
    for uid in uids:
        targets = [resolve_port(one["target"], topology.pods[uid]) for one in entries] or [int(port)]
        found += [(pod_key(topology, uid), target) for target in targets if target is not None]
    return sorted(set(found))


def pod_key(topology: Topology, uid: str) -> str:
    """`namespace/name` of a pod."""
    pod = topology.pods[uid]
    return f"{pod['namespace']}/{pod['name']}"
