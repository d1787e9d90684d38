"""Discovered services of an inventory: every Service, and every workload that no Service selects. Pure."""

import hashlib
from typing import Any

from manager.service_map.topology import Topology, WorkloadKey
from manager.service_map.vertices import Vertex, service_vertex, workload_vertex
from manager.store.agents import Agent
from manager.store.maps.discovered_services import DiscoveredService


def discovered_id(agent: Agent, key: str) -> str:
    """The id of a vertex of the agent's map in the API, the same in every window: 24 hex digits."""
    return hashlib.sha256(f"{agent.object_id}\0{key}".encode()).hexdigest()[:24]


def workload_body(workload: WorkloadKey, pods: list[str], topology: Topology) -> dict[str, Any]:
    """A workload with its pods."""
    summaries = [topology.pods[uid] for uid in pods]
    return {
        **workload._asdict(),
        "pods": [{name: one.get(name) or "" for name in ("uid", "namespace", "name", "phase")} for one in summaries],
    }


def discovered_service(
    agent: Agent, vertex: Vertex, uid: str, pods: list[str], topology: Topology, now_ns: int
) -> DiscoveredService:
    """The discovered service of a vertex with its pods, grouped by workload."""
    by_workload: dict[WorkloadKey, list[str]] = {}
    for pod in pods:
        by_workload.setdefault(topology.workload_of[pod], []).append(pod)
    workloads = [workload_body(key, by_workload[key], topology) for key in sorted(by_workload)]
    return DiscoveredService(
        agent_id=agent.id,
        id=discovered_id(agent, vertex.id),
        key=vertex.id,
        is_service=vertex.kind == "Service",
        namespace=vertex.namespace,
        name=vertex.name,
        uid=uid or (workloads[0]["uid"] if workloads else ""),
        first_ns=now_ns,
        updated_ns=now_ns,
        body={"workloads": workloads},
    )


def discovered_services(agent: Agent, topology: Topology, now_ns: int) -> list[DiscoveredService]:
    """Every discovered service of an inventory."""
    groups: dict[Vertex, tuple[str, list[str]]] = {}
    for uid, service in topology.services.items():
        groups[service_vertex(service["namespace"], service["name"])] = (uid, topology.pods_behind[uid])
    for uid in topology.pods:
        if not topology.services_of.get(uid):
            groups.setdefault(workload_vertex(topology.workload_of[uid]), ("", []))[1].append(uid)
    return [discovered_service(agent, vertex, uid, pods, topology, now_ns) for vertex, (uid, pods) in groups.items()]
