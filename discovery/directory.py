"""Who owned an address, and when: pure, fed by a watch or by an inventory, asked by node agents and by replay.

Never a guess: two owners in the asked time are `Ambiguous`, an owner that was not there then is `Unknown`.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from discovery.errors import InputError
from discovery.records import Answer, Query, parse_rfc3339
from discovery.selection import Selection, controller

FOREVER = 2**63
ENDED_PHASES = ("Succeeded", "Failed")
CONFIG_HASH = "kubernetes.io/config.hash"
LIST_KINDS = {
    "nodeList": "Node",
    "serviceList": "Service",
    "podList": "Pod",
    "replicaSetList": "ReplicaSet",
    "replicationControllerList": "ReplicationController",
    "deploymentList": "Deployment",
    "statefulSetList": "StatefulSet",
    "daemonSetList": "DaemonSet",
    "jobList": "Job",
    "cronJobList": "CronJob",
}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAY_BE_CLUSTER: tuple[Network, ...] = (  # where clusters take service and pod ranges from; no object names the ranges
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_network("172.16.0.0/12"),
    ipaddress.ip_network("192.168.0.0/16"),
    ipaddress.ip_network("100.64.0.0/10"),
    ipaddress.ip_network("fc00::/7"),
)


@dataclass(slots=True)
class Tenure:
    """One owner of an address during `[from_ns, to_ns)`."""

    uid: str
    from_ns: int
    to_ns: int = FOREVER

    def overlaps(self, from_ns: int, to_ns: int) -> bool:
        """Whether it was the owner at any moment of `[from_ns, to_ns]`."""
        return self.from_ns <= to_ns and from_ns < self.to_ns


@dataclass(frozen=True, slots=True)
class Pod:
    """What is kept of a pod."""

    uid: str
    namespace: str
    name: str
    node: str
    host_network: bool
    owner: str | None
    owner_kind: str | None
    owner_name: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """What is kept of a service."""

    uid: str
    namespace: str
    name: str
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class Owner:
    """A controller, and the controller above it."""

    kind: str
    namespace: str
    name: str
    uid: str
    parent: str | None


def canonical(address: str) -> str:
    """The canonical text of an address."""
    return str(ipaddress.ip_address(address))


def within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    value = ipaddress.ip_address(address)
    return any(value in network for network in networks)


def started_ns(obj: Mapping[str, Any], default_ns: int) -> int:
    """When an object began: a pod when its kubelet took it, else when it was created."""
    text = (obj.get("status") or {}).get("startTime") or obj.get("metadata", {}).get("creationTimestamp")
    try:
        return min(parse_rfc3339(text), default_ns) if text else default_ns
    except InputError:
        return default_ns


@dataclass(slots=True)
class Directory:
    """The owners of addresses over time; `observe` and `forget` tell it of objects, `answer` asks it."""

    selection: Selection = field(default_factory=Selection)
    pods: dict[str, Pod] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    static_pods: dict[str, str] = field(default_factory=dict)
    pod_tenures: dict[str, list[Tenure]] = field(default_factory=dict)
    service_tenures: dict[str, list[Tenure]] = field(default_factory=dict)
    node_tenures: dict[str, list[Tenure]] = field(default_factory=dict)
    node_port_tenures: dict[str, list[Tenure]] = field(default_factory=dict)
    ranges: set[Network] = field(default_factory=set)
    ended_ns: dict[str, int] = field(default_factory=dict)
    held_by: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def from_inventory(cls, bodies: Iterable[Mapping[str, Any]], selection: Selection) -> "Directory":
        """The directory of an inventory's bodies; what they list was so for as long as its own times say."""
        directory = cls(selection)
        for body in bodies:
            for key, kind in LIST_KINDS.items():
                for obj in body.get(key) or []:
                    directory.observe(kind, obj, FOREVER - 1, from_start=True)
        return directory

    def observe(self, kind: str, obj: Mapping[str, Any], at_ns: int, *, from_start: bool = False) -> None:
        """Take in an object as it is at `at_ns`; with `from_start` it has been so since it began."""
        if kind == "Pod":
            self.observe_pod(obj, at_ns, from_start=from_start)
        elif kind == "Service":
            self.observe_service(obj, at_ns)
        elif kind == "Node":
            self.observe_node(obj, at_ns)
        else:
            meta, above = obj["metadata"], controller(obj)
            self.owners[meta["uid"]] = Owner(
                kind, meta.get("namespace", ""), meta["name"], meta["uid"], above["uid"] if above else None
            )

    def observe_pod(self, pod: Mapping[str, Any], at_ns: int, *, from_start: bool) -> None:
        """A pod owns its addresses from its start until it ends."""
        meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
        uid, above = meta["uid"], controller(pod)
        self.pods[uid] = Pod(
            uid,
            meta.get("namespace", ""),
            meta["name"],
            spec.get("nodeName") or "",
            bool(spec.get("hostNetwork")),
            above["uid"] if above else None,
            above["kind"] if above else None,
            above["name"] if above else None,
        )
        config_hash = (meta.get("annotations") or {}).get(CONFIG_HASH)
        if config_hash:
            self.static_pods[config_hash] = uid
        if spec.get("hostNetwork"):
            return
        addresses = {entry["ip"] for entry in status.get("podIPs") or [] if entry.get("ip")}
        addresses |= {status["podIP"]} if status.get("podIP") else set()
        held = {canonical(address) for address in addresses}
        ended = status.get("phase") in ENDED_PHASES
        for address in held:
            self.hold(self.pod_tenures, address, uid, started_ns(pod, at_ns))
        for address, tenures in self.owned_by(self.pod_tenures, uid):
            if ended or address not in held:
                self.release(tenures, uid, 0 if from_start and ended else at_ns)

    def observe_service(self, service: Mapping[str, Any], at_ns: int) -> None:
        """A service owns its cluster, external and load balancer addresses and its node ports."""
        meta, spec = service["metadata"], service.get("spec") or {}
        uid = meta["uid"]
        ports = [port for port in spec.get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
        self.services[uid] = Service(
            uid, meta.get("namespace", ""), meta["name"], frozenset(int(port["port"]) for port in ports)
        )
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        addresses = [*(spec.get("clusterIPs") or [spec.get("clusterIP")]), *(spec.get("externalIPs") or [])]
        addresses += [entry.get("ip") for entry in ingress]
        held = {canonical(address) for address in addresses if address and address != "None"}
        node_ports = {str(port["nodePort"]) for port in ports if port.get("nodePort")}
        self.hold_only(self.service_tenures, held, uid, started_ns(service, at_ns), at_ns)
        self.hold_only(self.node_port_tenures, node_ports, uid, started_ns(service, at_ns), at_ns)

    def observe_node(self, node: Mapping[str, Any], at_ns: int) -> None:
        """A node owns its addresses; its pod ranges tell cluster addresses from external ones."""
        meta, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
        self.nodes[meta["uid"]] = meta["name"]
        entries = [one for one in status.get("addresses") or [] if one.get("type") in ("InternalIP", "ExternalIP")]
        held = {canonical(entry["address"]) for entry in entries}
        self.hold_only(self.node_tenures, held, meta["uid"], started_ns(node, at_ns), at_ns)
        for cidr in spec.get("podCIDRs") or [spec.get("podCIDR")]:
            if cidr:
                self.ranges.add(ipaddress.ip_network(cidr))

    def hold(self, table: dict[str, list[Tenure]], address: str, uid: str, from_ns: int) -> None:
        """Note that an owner has an address from then on; once noted, the beginning does not move."""
        tenures = table.setdefault(address, [])
        if not any(entry.uid == uid for entry in tenures):
            tenures.append(Tenure(uid, from_ns))
            self.held_by.setdefault(uid, set()).add(address)

    def hold_only(self, table: dict[str, list[Tenure]], held: set[str], uid: str, from_ns: int, at_ns: int) -> None:
        """Note that an owner has these addresses (or node ports) and has lost all others."""
        for address in held:
            self.hold(table, address, uid, from_ns)
        for address, tenures in self.owned_by(table, uid):
            if address not in held:
                self.release(tenures, uid, at_ns)

    def owned_by(self, table: dict[str, list[Tenure]], uid: str) -> list[tuple[str, list[Tenure]]]:
        """The addresses of an owner in a table, with all their tenures, by index: 50,000 pods come at once."""
        return [(address, table[address]) for address in self.held_by.get(uid, ()) if address in table]

    def release(self, tenures: list[Tenure], uid: str, at_ns: int) -> None:
        """Note that an owner has lost an address."""
        for entry in tenures:
            if entry.uid == uid and entry.to_ns == FOREVER:
                entry.to_ns = max(entry.from_ns, at_ns)

    def forget(self, kind: str, uid: str, at_ns: int) -> None:
        """Note that an object was deleted; its past stays until `expire`."""
        tables = {
            "Pod": (self.pod_tenures,),
            "Service": (self.service_tenures, self.node_port_tenures),
            "Node": (self.node_tenures,),
        }
        for table in tables.get(kind, ()):
            for _address, tenures in self.owned_by(table, uid):
                self.release(tenures, uid, at_ns)
        self.ended_ns[uid] = at_ns

    def expire(self, before_ns: int) -> None:
        """Drop what ended before a time."""
        for table in (self.pod_tenures, self.service_tenures, self.node_tenures, self.node_port_tenures):
            for address in list(table):
                table[address] = [entry for entry in table[address] if entry.to_ns >= before_ns]
                if not table[address]:
                    del table[address]
        for uid in [uid for uid, ended in self.ended_ns.items() if ended < before_ns]:
            del self.ended_ns[uid]
            self.pods.pop(uid, None)
            self.services.pop(uid, None)
            self.nodes.pop(uid, None)
            self.held_by.pop(uid, None)

    def root(self, pod: Pod) -> Owner | None:
        """The controller at the top of a pod's owner chain, as far as listed objects tell."""
        if pod.owner is None:
            return None
        found = Owner(pod.owner_kind or "", pod.namespace, pod.owner_name or "", pod.owner, None)
        seen: set[str] = set()
        uid: str | None = pod.owner
        while uid in self.owners and uid not in seen:
            seen.add(uid)
            found = self.owners[uid]
            uid = found.parent
        return found

    def pod_answer(self, pod: Pod) -> Answer:
        """The answer that names a pod."""
        root = self.root(pod)
        workload = (
            {"kind": root.kind, "namespace": root.namespace, "name": root.name, "uid": root.uid} if root else None
        )
        return Answer(
            "Pod",
            pod.uid,
            pod.namespace,
            pod.name,
            node_name=pod.node,
            host_network=pod.host_network,
            workload=workload,
            excluded=self.selection.pod(pod.namespace, root.kind if root else None),
        )

    def answer(self, query: Query) -> Answer:
        """Who that is, with certainty or not at all."""
        if query.pod_uid is not None:
            pod = self.pods.get(self.static_pods.get(query.pod_uid, query.pod_uid))
            return self.pod_answer(pod) if pod else Answer("Unknown", reason="pod_unknown")
        if query.address is None:
            return Answer("Unknown", reason="neither_address_nor_pod")
        address = canonical(query.address)
        services = self.owners_then(self.service_tenures, address, query)
        nodes = self.owners_then(self.node_tenures, address, query)
        pods = self.owners_then(self.pod_tenures, address, query)
        if nodes or pods:  # a load balancer on the nodes' own addresses has its ports there and no others
            services = [uid for uid in services if query.port in self.services[uid].ports]
        if len(pods) + len(nodes) > 1 or (pods and services):
            owners = len(pods) + len(nodes) + len(services)
            return Answer("Ambiguous", reason=f"{owners} owners had the address in that time")
        if services:
            return self.service_answer(services, query.port)
        if nodes:
            return self.node_answer(nodes[0], query)
        if pods:
            return self.pod_answer(self.pods[pods[0]])
        if within(address, self.ranges) or any(
            address in table for table in (self.pod_tenures, self.service_tenures, self.node_tenures)
        ):
            return Answer("Unknown", reason="no_owner_at_that_time")
        if within(address, MAY_BE_CLUSTER):
            return Answer("Unknown", reason="cluster_range_unknown")
        return Answer("External")

    def owners_then(self, table: dict[str, list[Tenure]], address: str, query: Query) -> list[str]:
        """Everybody who had the address at any moment of the asked time."""
        return sorted({entry.uid for entry in table.get(address, ()) if entry.overlaps(query.from_ns, query.to_ns)})

    def service_answer(self, uids: list[str], port: int | None) -> Answer:
        """The service behind an address; several may share one and differ by port."""
        found = [self.services[uid] for uid in uids]
        serving = [service for service in found if port in service.ports]
        if len(serving) == 1 or len(found) == 1:
            service = serving[0] if serving else found[0]
            reason = None if serving else "port_not_served"
            return Answer("Service", service.uid, service.namespace, service.name, reason)
        return Answer("Ambiguous", reason=f"{len(found)} services had the address in that time")

    def node_answer(self, node: str, query: Query) -> Answer:
        """A node, or the service of its node port."""
        uids = self.owners_then(self.node_port_tenures, str(query.port), query)
        if len(uids) > 1:
            return Answer("Ambiguous", reason=f"{len(uids)} services had the node port in that time")
        if uids:
            service = self.services[uids[0]]
            return Answer("Service", service.uid, service.namespace, service.name, "node_port")
        return Answer("Node", node, None, self.nodes[node])
