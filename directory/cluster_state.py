"""What was observed of a cluster: pods, services, nodes and slices, and every interval of an address or port.

`upsert` takes an object as it is at a moment, `delete` that it is gone, `expire` drops the past.
"""

from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from directory.addresses import Ranges, address_keys, is_public
from directory.interval import REPORT_NS, SECOND, OwnerKey
from directory.interval_table import IntervalTable
from directory.object_fields import Identity, identity_of, mapping_at, mappings_at, tcp_ports, text_at, texts_at
from directory.pods.host_ports import HostPorts, host_ports_of
from directory.pods.intervals import closed_intervals, updated_intervals
from directory.pods.static_pods import StaticPods, mirrored_hash
from directory.pods.status import own_addresses
from directory.pods.table import Pod, PodTable, uid_key, uid_text
from directory.pods.timestamps import created_ns
from podsonar.errors import InputError
from podsonar.owner_chain import controller_reference

NODE_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


@dataclass(frozen=True, slots=True)
class Service:
    """The stored fields of a service."""

    uid: str
    namespace: str
    name: str


@dataclass(slots=True, kw_only=True)
class ClusterState:
    """Everything that was observed, in the fewest bytes; times are nanoseconds of the observer's clock."""

    pods: PodTable = field(default_factory=PodTable)
    static_pods: StaticPods = field(default_factory=StaticPods)
    host_ports: HostPorts = field(default_factory=HostPorts)
    services: dict[str, Service] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    slices: dict[str, str] = field(default_factory=dict)  # namespaces of those slices that claim addresses
    cluster_ips: IntervalTable = field(default_factory=IntervalTable)  # of services: all ports are the service's
    published_ips: IntervalTable = field(default_factory=IntervalTable)  # external and load balancer: its ports alone
    service_ports: IntervalTable = field(default_factory=IntervalTable)  # by (UID of the service, port)
    node_addresses: IntervalTable = field(default_factory=IntervalTable)
    node_ports: IntervalTable = field(default_factory=IntervalTable)  # by port: the same on every node address
    slice_addresses: IntervalTable = field(default_factory=IntervalTable)  # of endpoints that name no object
    ranges: Ranges = field(default_factory=Ranges)  # pod ranges of nodes
    public_neighbourhoods: Ranges = field(default_factory=Ranges)  # around public addresses of pods and services
    deleted_at: dict[tuple[str, str], int] = field(default_factory=dict)  # (kind, UID) to when
    released_at: dict[str, int] = field(default_factory=dict)  # pods that live without an address that they had
    # By kind: times in which objects may have come and gone without being observed, and why it is not known whole.
    unwatched: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    incomplete: dict[str, str] = field(default_factory=dict)

    def interval_tables(self, kind: str) -> tuple[IntervalTable, ...]:
        """Return the tables in which objects of a kind have intervals; none for pods, which have their own."""
        return {
            "Service": (self.cluster_ips, self.published_ips, self.service_ports, self.node_ports),
            "Node": (self.node_addresses,),
            "EndpointSlice": (self.slice_addresses,),
        }.get(kind, ())

    def upsert(
        self, kind: str, obj: Mapping[str, Any], at_ns: int, known_ns: int | None = None, *, from_start: bool = False
    ) -> None:
        """Take an object as it is at `at_ns`; `known_ns` is the last moment at which its former state was known.

        With `from_start` it has been so since it began. InputError for an object without UID or name.
        """
        identity = identity_of(obj)
        known = at_ns if known_ns is None else known_ns
        self.deleted_at.pop((kind, identity.uid), None)
        if kind == "Pod":
            self.upsert_pod(identity, obj, at_ns, known, from_start=from_start)
        elif kind == "Service":
            self.upsert_service(identity, obj, at_ns, known, from_start=from_start)
        elif kind == "Node":
            self.upsert_node(identity, obj, at_ns, known, from_start=from_start)
        elif kind == "EndpointSlice":
            self.upsert_slice(identity, obj, at_ns, known)

    def upsert_pod(
        self, identity: Identity, obj: Mapping[str, Any], at_ns: int, known_ns: int, *, from_start: bool
    ) -> None:
        """Take a pod: it has the addresses that it shows until it ends, shows others or is deleted."""
        uid, namespace, name = identity
        spec = mapping_at(obj, "spec")
        node = text_at(spec, "nodeName")
        pod = Pod(uid, namespace, name, node, bool(spec.get("hostNetwork")), controller_reference(obj))
        config_hash = mirrored_hash(obj)
        if config_hash:
            self.static_pods.put(node, config_hash, uid)
        self.host_ports.put(uid, node, host_ports_of(obj))
        self.add_public_neighbourhoods(own_addresses(obj))
        key = uid_key(uid)
        intervals = updated_intervals(obj, key, self.pods.intervals_of(key), at_ns, known_ns, from_start=from_start)
        if any(not entry.interval.open for entry in intervals):
            self.released_at.setdefault(uid, at_ns)
        self.pods.put(pod, intervals)

    def add_public_neighbourhoods(self, addresses: Iterable[int]) -> None:
        """Note the surroundings of public addresses that the cluster uses: it may use those beside them, too."""
        for address in addresses:
            if is_public(address):
                self.public_neighbourhoods.add_neighbourhood(address)

    def upsert_service(
        self, identity: Identity, obj: Mapping[str, Any], at_ns: int, known_ns: int, *, from_start: bool
    ) -> None:
        """Take a service: it has its cluster, external and load balancer addresses, its ports and its node ports.

        Its first cluster address stays for its life (`spec.clusterIPs`: immutable but for a change from or to
        ExternalName); everything else may have been changed a moment before it was observed.
        """
        uid, namespace, name = identity
        spec = mapping_at(obj, "spec")
        created, new = created_ns(obj, at_ns), uid not in self.services
        earliest = created if new else known_ns - REPORT_NS
        since = created if from_start else at_ns
        self.services[uid] = Service(uid, namespace, name)
        cluster = [text for text in texts_at(spec, "clusterIPs") or [text_at(spec, "clusterIP")] if text != "None"]
        ingress = mappings_at(mapping_at(mapping_at(obj, "status"), "loadBalancer"), "ingress")
        published = address_keys([*texts_at(spec, "externalIPs"), *(text_at(entry, "ip") for entry in ingress)])
        if (
            "None" in (text_at(spec, "clusterIP"), *texts_at(spec, "clusterIPs"))
            or text_at(spec, "type") == "ExternalName"
        ):
            published = frozenset()  # kube-proxy leaves such a service out (`ShouldSkipService`)
        cluster_ips: dict[Hashable, int] = dict.fromkeys(address_keys(cluster[1:]), since)
        for address in address_keys(cluster[:1]):
            cluster_ips[address] = min(created + SECOND, at_ns) if new and created else since
        self.add_public_neighbourhoods(address_keys(cluster))
        ports = mappings_at(spec, "ports")
        served: dict[Hashable, int] = {(uid, port): since for port in tcp_ports(ports, "port")}
        node_ports: dict[Hashable, int] = dict.fromkeys(tcp_ports(ports, "nodePort"), since)
        self.cluster_ips.set_claims(uid, cluster_ips, earliest, at_ns, known_ns)
        self.published_ips.set_claims(uid, dict.fromkeys(published, since), earliest, at_ns, known_ns)
        self.service_ports.set_claims(uid, served, earliest, at_ns, known_ns)
        self.node_ports.set_claims(uid, node_ports, earliest, at_ns, known_ns)

    def upsert_node(
        self, identity: Identity, obj: Mapping[str, Any], at_ns: int, known_ns: int, *, from_start: bool
    ) -> None:
        """Take a node: it has its addresses; its pod ranges are the cluster's."""
        uid, spec = identity.uid, mapping_at(obj, "spec")
        created = created_ns(obj, at_ns)
        earliest = known_ns - REPORT_NS if uid in self.nodes else created
        self.nodes[uid] = identity.name
        entries = mappings_at(mapping_at(obj, "status"), "addresses")
        addresses = address_keys(
            text_at(entry, "address") for entry in entries if text_at(entry, "type") in NODE_ADDRESS_TYPES
        )
        since = created if from_start else at_ns
        self.node_addresses.set_claims(uid, dict.fromkeys(addresses, since), earliest, at_ns, known_ns)
        for cidr in texts_at(spec, "podCIDRs") or [text_at(spec, "podCIDR")]:
            with suppress(InputError):  # absent or no network: it shows no range
                self.ranges.add(cidr)

    def upsert_slice(self, identity: Identity, obj: Mapping[str, Any], at_ns: int, known_ns: int) -> None:
        """Take a slice: endpoints without a target are addresses that no object explains; anybody may write them."""
        uid = identity.uid
        untargeted = [entry for entry in mappings_at(obj, "endpoints") if not entry.get("targetRef")]
        addresses = address_keys(text for entry in untargeted for text in texts_at(entry, "addresses"))
        if addresses or uid in self.slice_addresses.claimed_by:
            self.slices[uid] = identity.namespace
            self.slice_addresses.set_claims(uid, dict.fromkeys(addresses, at_ns), at_ns, at_ns, known_ns)

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
        for table in self.interval_tables(kind):
            table.set_claims(uid, {}, at_ns, at_ns, known)
        pod = self.pods.get(uid) if kind == "Pod" else None
        if pod is None:
            return
        self.pods.put(pod, closed_intervals(self.pods.intervals_of(uid_key(uid)), at_ns, known, last))

    def add_unwatched(self, kind: str, from_ns: int, to_ns: int) -> None:
        """Note a time in which objects of a kind may have come and gone unobserved."""
        self.unwatched.setdefault(kind, []).append((from_ns, to_ns))

    def known_addresses(self) -> int:
        """Return how many addresses someone has or had."""
        return len(self.pods.holders) + len(self.cluster_ips) + len(self.published_ips) + len(self.node_addresses)

    def missing(self, kind: str, seen: set[OwnerKey], namespace: str | None = None) -> list[str]:
        """Return the UIDs of known objects of a kind that are not among those seen (keys of UIDs).

        Of one namespace, if one is named: its list proves nothing about the others.
        """
        if kind == "Pod":
            there = [uid_text(key) for key in self.pods.records if key not in seen]
        else:
            tables: dict[str, Iterable[str]] = {
                "Service": self.services,
                "Node": self.nodes,
                "EndpointSlice": self.slice_addresses.claimed_by,
            }
            there = [uid for uid in tables.get(kind, ()) if uid_key(uid) not in seen]
        return [
            uid
            for uid in there
            if (kind, uid) not in self.deleted_at and (namespace is None or self.namespace_of(kind, uid) == namespace)
        ]

    def namespace_of(self, kind: str, uid: str) -> str | None:
        """Return the namespace of a known object; None if it has none or is unknown."""
        if kind == "Pod":
            pod = self.pods.get(uid)
            return pod.namespace if pod else None
        if kind == "Service":
            return self.services[uid].namespace if uid in self.services else None
        return self.slices.get(uid)

    def expire(self, before_ns: int) -> None:
        """Drop what ended before a time."""
        for kind in ("Service", "Node", "EndpointSlice"):
            for table in self.interval_tables(kind):
                table.expire(before_ns)
        for kind, uid in [key for key, at_ns in self.deleted_at.items() if at_ns < before_ns]:
            del self.deleted_at[kind, uid]
            self.services.pop(uid, None)
            self.nodes.pop(uid, None)
            self.slices.pop(uid, None)
            if kind == "Pod":
                self.pods.drop(uid_key(uid))
                self.host_ports.drop(uid)
                self.released_at.pop(uid, None)
        for uid in [uid for uid, at_ns in self.released_at.items() if at_ns < before_ns]:
            del self.released_at[uid]
            pod, intervals = self.pods.get(uid), self.pods.intervals_of(uid_key(uid))
            if pod:
                self.pods.put(pod, [entry for entry in intervals if entry.interval.maybe_to_ns >= before_ns])
        self.static_pods.keep({uid for uid in self.static_pods.uids() if uid_key(uid) in self.pods.records})
        for kind, times in self.unwatched.items():
            self.unwatched[kind] = [(0, before_ns), *(time for time in times if time[1] > before_ns)]
        self.pods.compact()
