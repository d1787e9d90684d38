"""What was observed of a cluster: pods, services, nodes and slices, and every interval of an address or port.

`observe` takes an object as it is at a moment, `forget` that it is gone, `expire` lets go of the past.
"""

from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from directory import pod_timestamps
from directory.addresses import MAY_BE_CLUSTER, Ranges, address_keys
from directory.interval import REPORT_NS, SECOND, OwnerKey
from directory.interval_table import IntervalTable
from directory.pod_intervals import closed_intervals, updated_intervals
from directory.pod_table import Pod, PodTable, uid_key, uid_text
from podsonar.errors import InputError
from podsonar.owner_chain import controller_reference

CONFIG_HASH = "kubernetes.io/config.hash"
NODE_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


@dataclass(frozen=True, slots=True)
class Service:
    """What is kept of a service."""

    uid: str
    namespace: str
    name: str


@dataclass(slots=True, kw_only=True)
class ClusterState:
    """Everything that was observed, in the fewest bytes; times are nanoseconds of the observer's clock."""

    pods: PodTable = field(default_factory=PodTable)
    static_pods: dict[str, str] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    slices: dict[str, str] = field(default_factory=dict)  # namespaces of those slices that claim addresses
    service_addresses: IntervalTable = field(default_factory=IntervalTable)
    service_ports: IntervalTable = field(default_factory=IntervalTable)  # by (UID of the service, port)
    node_addresses: IntervalTable = field(default_factory=IntervalTable)
    node_ports: IntervalTable = field(
        default_factory=IntervalTable
    )  # by port: a node port is the service's on every node address
    external_endpoints: IntervalTable = field(default_factory=IntervalTable)  # endpoints that are no pods, by address
    ranges: Ranges = field(default_factory=Ranges)  # pod ranges of nodes
    public_neighbourhoods: Ranges = field(
        default_factory=Ranges
    )  # around public addresses that pods or services have had
    deleted_at: dict[tuple[str, str], int] = field(default_factory=dict)  # (kind, UID) to when
    released_at: dict[str, int] = field(default_factory=dict)  # pods that live without an address that they had
    unwatched: list[tuple[int, int]] = field(
        default_factory=list
    )  # times in which objects may have come and gone unseen

    def interval_tables(self, kind: str) -> tuple[IntervalTable, ...]:
        """The claims that objects of a kind make."""
        return {
            "Service": (self.service_addresses, self.service_ports, self.node_ports),
            "Node": (self.node_addresses,),
            "EndpointSlice": (self.external_endpoints,),
        }.get(kind, ())

    def upsert(
        self, kind: str, obj: Mapping[str, Any], at_ns: int, known_ns: int | None = None, *, from_start: bool = False
    ) -> None:
        """Take in an object as it is at `at_ns`; `known_ns` is the last moment at which what it was before was known.

        With `from_start` it has been so since it began.
        """
        known = at_ns if known_ns is None else known_ns
        self.deleted_at.pop((kind, obj["metadata"]["uid"]), None)
        if kind == "Pod":
            self.upsert_pod(obj, at_ns, known, from_start=from_start)
        elif kind == "Service":
            self.upsert_service(obj, at_ns, known, from_start=from_start)
        elif kind == "Node":
            self.upsert_node(obj, at_ns, known, from_start=from_start)
        elif kind == "EndpointSlice":
            self.upsert_slice(obj, at_ns, known)

    def upsert_pod(self, obj: Mapping[str, Any], at_ns: int, known_ns: int, *, from_start: bool) -> None:
        """A pod has the addresses that it shows until it ends, shows others or is deleted."""
        meta, spec = obj["metadata"], obj.get("spec") or {}
        uid = meta["uid"]
        pod = Pod(
            uid,
            meta.get("namespace", ""),
            meta["name"],
            spec.get("nodeName") or "",
            bool(spec.get("hostNetwork")),
            controller_reference(obj),
        )
        config_hash = (meta.get("annotations") or {}).get(CONFIG_HASH)
        if config_hash:
            self.static_pods[config_hash] = uid
        for address in pod_timestamps.own_addresses(obj):
            self.add_public_neighbourhood(address)
        held = updated_intervals(obj, self.pods.intervals_of(uid_key(uid)), at_ns, known_ns, from_start=from_start)
        if any(not one.interval.open for one in held):
            self.released_at.setdefault(uid, at_ns)
        self.pods.put(pod, held)

    def add_public_neighbourhood(self, address: int) -> None:
        """Remember the surroundings of an address that does not look like a cluster's."""
        if address not in MAY_BE_CLUSTER:
            self.public_neighbourhoods.add_neighbourhood(address)

    def upsert_service(self, obj: Mapping[str, Any], at_ns: int, known_ns: int, *, from_start: bool) -> None:
        """A service has its cluster, external and load balancer addresses, its ports and its node ports.

        Its first cluster address stays for its life (`spec.clusterIPs`: immutable but for a change from or to
        ExternalName); everything else may have been changed a moment before it was seen.
        """
        meta, spec = obj["metadata"], obj.get("spec") or {}
        uid = meta["uid"]
        created = min(pod_timestamps.time_ns(meta.get("creationTimestamp")) or 0, at_ns)
        new = uid not in self.services
        earliest = created if new else known_ns - REPORT_NS
        since = created if from_start else at_ns
        self.services[uid] = Service(uid, meta.get("namespace", ""), meta["name"])
        cluster: list[str] = [
            text for text in spec.get("clusterIPs") or [spec.get("clusterIP")] if text and text != "None"
        ]
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        others = [*cluster[1:], *(spec.get("externalIPs") or []), *(entry.get("ip") for entry in ingress)]
        held: dict[Hashable, int] = dict.fromkeys(address_keys(text for text in others if text), since)
        for address in address_keys(cluster[:1]):
            held[address] = min(created + SECOND, at_ns) if new and created else since
        for address in address_keys(cluster):
            self.add_public_neighbourhood(address)
        ports = [port for port in spec.get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
        served: dict[Hashable, int] = {(uid, int(port["port"])): since for port in ports}
        node_ports: dict[Hashable, int] = {int(port["nodePort"]): since for port in ports if port.get("nodePort")}
        self.service_addresses.set_claims(uid, held, earliest, at_ns, known_ns)
        self.service_ports.set_claims(uid, served, earliest, at_ns, known_ns)
        self.node_ports.set_claims(uid, node_ports, earliest, at_ns, known_ns)

    def upsert_node(self, obj: Mapping[str, Any], at_ns: int, known_ns: int, *, from_start: bool) -> None:
        """A node has its addresses; its pod ranges tell cluster addresses from external ones."""
        meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
        uid = meta["uid"]
        created = min(pod_timestamps.time_ns(meta.get("creationTimestamp")) or 0, at_ns)
        earliest = known_ns - REPORT_NS if uid in self.nodes else created
        self.nodes[uid] = meta["name"]
        entries = [one for one in status.get("addresses") or [] if one.get("type") in NODE_ADDRESS_TYPES]
        addresses = address_keys(entry.get("address") for entry in entries)
        since = created if from_start else at_ns
        self.node_addresses.set_claims(uid, dict.fromkeys(addresses, since), earliest, at_ns, known_ns)
        for cidr in spec.get("podCIDRs") or [spec.get("podCIDR")]:
            with suppress(InputError):  # absent or no network: then it tells no range
                self.ranges.add(str(cidr))

    def upsert_slice(self, obj: Mapping[str, Any], at_ns: int, known_ns: int) -> None:
        """Endpoints that name no object (of a service without a selector) are outside; all others prove nothing."""
        meta = obj["metadata"]
        outside = [one for one in obj.get("endpoints") or [] if not one.get("targetRef")]
        addresses = address_keys(text for one in outside for text in one.get("addresses") or [])
        if addresses or meta["uid"] in self.external_endpoints.claimed_by:
            self.slices[meta["uid"]] = meta.get("namespace", "")
            self.external_endpoints.set_claims(meta["uid"], dict.fromkeys(addresses, at_ns), at_ns, at_ns, known_ns)

    def delete(
        self,
        kind: str,
        uid: str,
        at_ns: int,
        known_ns: int | None = None,
        last: Mapping[str, Any] | None = None,
    ) -> None:
        """Note that an object is gone (`last` is its last state, if that is known); its past stays until `expire`."""
        known = at_ns if known_ns is None else known_ns
        self.deleted_at[kind, uid] = at_ns
        for claims in self.interval_tables(kind):
            claims.set_claims(uid, {}, at_ns, at_ns, known)
        pod = self.pods.get(uid) if kind == "Pod" else None
        if pod is None:
            return
        self.pods.put(pod, closed_intervals(self.pods.intervals_of(uid_key(uid)), at_ns, known, last))

    def known_addresses(self) -> int:
        """How many addresses someone has or had."""
        return len(self.pods.holders) + len(self.service_addresses) + len(self.node_addresses)

    def missing(self, kind: str, seen: set[OwnerKey], namespace: str | None = None) -> list[str]:
        """The UIDs of objects of a kind that are known to be there and are not among those seen (keys of UIDs).

        Of one namespace, where one is named: what is seen of it proves nothing of the others.
        """
        if kind == "Pod":
            there = [uid_text(key) for key in self.pods.records if key not in seen]
        else:
            tables: dict[str, Iterable[str]] = {
                "Service": self.services,
                "Node": self.nodes,
                "EndpointSlice": self.external_endpoints.claimed_by,
            }
            there = [uid for uid in tables.get(kind, ()) if uid_key(uid) not in seen]
        return [
            uid
            for uid in there
            if (kind, uid) not in self.deleted_at and (namespace is None or self.namespace_of(kind, uid) == namespace)
        ]

    def namespace_of(self, kind: str, uid: str) -> str | None:
        """The namespace of a known object; None where it has none or nobody knows it."""
        if kind == "Pod":
            pod = self.pods.get(uid)
            return pod.namespace if pod else None
        if kind == "Service":
            return self.services[uid].namespace if uid in self.services else None
        return self.slices.get(uid)

    def expire(self, before_ns: int) -> None:
        """Drop what ended before a time."""
        for claims in (
            self.service_addresses,
            self.service_ports,
            self.node_addresses,
            self.node_ports,
            self.external_endpoints,
        ):
            claims.expire(before_ns)
        for kind, uid in [gone for gone, at_ns in self.deleted_at.items() if at_ns < before_ns]:
            del self.deleted_at[kind, uid]
            self.services.pop(uid, None)
            self.nodes.pop(uid, None)
            self.slices.pop(uid, None)
            if kind == "Pod":
                self.pods.drop(uid_key(uid))
                self.released_at.pop(uid, None)
        for uid in [uid for uid, at_ns in self.released_at.items() if at_ns < before_ns]:
            del self.released_at[uid]
            pod, held = self.pods.get(uid), self.pods.intervals_of(uid_key(uid))
            if pod:
                self.pods.put(pod, [one for one in held if one.interval.maybe_to_ns >= before_ns])
        self.static_pods = {name: uid for name, uid in self.static_pods.items() if uid_key(uid) in self.pods.records}
        self.unwatched = [(0, before_ns), *(one for one in self.unwatched if one[1] > before_ns)]
        self.pods.compact()
