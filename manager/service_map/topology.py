"""Who is behind what: pods to workloads by owner, services to pods by selector, addresses to pods and nodes. Pure."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from podsonar.owner_chain import Controller, api_group, is_node, reference_of, root_controller

Summary = Mapping[str, Any]


class WorkloadKey(NamedTuple):
    """The root of a pod's owner chain, as far as listed objects show; the pod itself if it has no owner.

    `group` is the API group of its kind, empty for the core group.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """Lookups over the objects of one window; `pods` and `services` hold summaries by UID."""

    pods: dict[str, Summary]
    services: dict[str, Summary]
    workload_of: dict[str, WorkloadKey]
    services_of: dict[str, list[str]]
    pods_behind: dict[str, list[str]]
    pods_at: dict[str, list[str]]
    node_at: dict[str, str]
    host_ports: Mapping[tuple[str, int], list[tuple[str, int]]] = field(default_factory=dict)
    pod_networks: Mapping[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = field(default_factory=dict)

    def is_pod_network(self, address: str) -> bool:
        """Whether the address lies in a range that a node gives to pods."""
        return self.node_of_range(address) is not None

    def node_of_range(self, address: str) -> str | None:
        """The node that gives an address's range to its pods."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return None
        ranges = self.pod_networks.items()
        return next((node for network, node in ranges if parsed.version == network.version and parsed in network), None)

    def behind_host_port(self, address: str, port: int) -> Sequence[tuple[str, int]]:
        """(pod UID, port) of the listeners to which a port of a node's address is forwarded."""
        return self.host_ports.get((self.node_at[address], port), ()) if address in self.node_at else ()

    def targets(self, service_uid: str, port: int) -> Iterable[tuple[str, int]]:
        """(pod UID, port) of each backend of a service's port or node port; a named port is looked up in each pod."""
        service = self.services.get(service_uid)
        for one in service["ports"] if service else ():
            if port not in {one["port"], one.get("nodePort")}:
                continue
            for pod_uid in self.pods_behind.get(service_uid, ()):
                target = resolve_port(one["target"], self.pods[pod_uid])
                if target is not None:
                    yield pod_uid, target


def resolve_port(target: object, pod: Summary) -> int | None:
    """The number of a target port in a pod; None for a name that the pod does not have."""
    if isinstance(target, int):
        return target
    if isinstance(target, str) and target.isdigit():
        return int(target)
    found = pod["ports"].get(target)
    return found if isinstance(found, int) else None


def workload_of(pod: Summary, controllers: Mapping[str, Controller]) -> WorkloadKey:
    """The pod's workload: the root of its owner chain; the pod itself without one, and for a node's static pod."""
    namespace = str(pod["namespace"])
    root = root_controller(reference_of(pod["owner"] or {}), namespace, controllers)
    if root is None or is_node(root):
        return WorkloadKey("Pod", namespace, str(pod["name"]), str(pod["uid"]))
    return WorkloadKey(root.kind, root.namespace, root.name, root.uid, root.group)


def listed_controllers(summaries: Mapping[str, Sequence[Summary]]) -> dict[str, Controller]:
    """Every listed object by UID, with the controller above it."""
    return {
        str(one["uid"]): Controller(
            api_group(None, kind),
            kind,
            str(one["namespace"]),
            str(one["name"]),
            str(one["uid"]),
            reference_of(one["owner"] or {}),
        )
        for kind, objects in summaries.items()
        for one in objects
    }


def build_topology(summaries: Mapping[str, Sequence[Summary]]) -> Topology:
    """The lookups over summaries by kind. A service without a selector has no pods behind it."""
    controllers = listed_controllers(summaries)
    pods = {str(pod["uid"]): pod for pod in summaries.get("Pod", ())}
    services = {str(service["uid"]): service for service in summaries.get("Service", ())}
    labelled: dict[tuple[str, str, str], set[str]] = {}
    pods_at: dict[str, list[str]] = {}
    for uid, pod in pods.items():
        for key, value in pod["labels"].items():
            labelled.setdefault((pod["namespace"], key, value), set()).add(uid)
        for ip in pod["ips"]:
            pods_at.setdefault(ip, []).append(uid)
    host_ports: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for uid, pod in pods.items():
        for host_port, target in pod.get("hostPorts", ()):
            host_ports.setdefault((str(pod["node"]), host_port), []).append((uid, target))
    pods_behind: dict[str, list[str]] = {}
    services_of: dict[str, list[str]] = {}
    for uid, service in services.items():
        wanted = [labelled.get((service["namespace"], k, v), set()) for k, v in service["selector"].items()]
        behind = sorted(set.intersection(*wanted)) if wanted else []
        pods_behind[uid] = behind
        for pod_uid in behind:
            services_of.setdefault(pod_uid, []).append(uid)
    nodes = summaries.get("Node", ())
    return Topology(
        pods=pods,
        services=services,
        workload_of={uid: workload_of(pod, controllers) for uid, pod in pods.items()},
        services_of=services_of,
        pods_behind=pods_behind,
        pods_at=pods_at,
        node_at={ip: str(node["name"]) for node in nodes for ip in node["ips"]},
        host_ports=host_ports,
        pod_networks={
            ipaddress.ip_network(text, strict=False): str(node["name"])
            for node in nodes
            for text in node["podCIDRs"]
            if is_network(text)
        },
    )


def is_network(text: object) -> bool:
    """Whether `text` is an address range."""
    try:
        ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return False
    return True
