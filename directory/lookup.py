"""Who owned an address, and when: pure, fed by a watch or by an inventory, queried by node agents and by replay.

Never a guess: several possible owners, or one that is not certain for the whole asked time, are `Ambiguous`; nobody is
`Unknown`, or `External` if that is proven (`unowned_answer`). Owners come from pods, nodes and services alone: an
EndpointSlice (anybody may write one) gives an address to nobody and proves nothing.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from directory.addresses import address_key, is_public, translated_ipv4
from directory.cluster_state import ClusterState
from directory.configured_ranges import ConfiguredRanges
from directory.interval import FOREVER, SKEW_NS, Interval, certain, owners, possible
from directory.inventory_snapshots import OWNER_KINDS
from directory.object_fields import identity_of
from directory.pods.table import Pod, uid_key, uid_text
from directory.selection import Selection
from podsonar.directory_answer import Answer, Query
from podsonar.owner_chain import Controller, api_group, controller_reference, is_node, root_controller
from podsonar.timestamp import rfc3339

SEVERAL_OWNERS = Answer("Ambiguous", reason="several_owners")
NOT_CERTAIN = Answer("Ambiguous", reason="owner_not_certain")
POD_UNKNOWN = Answer("Unknown", reason="pod_unknown")


@dataclass(slots=True)
class Directory(ClusterState):
    """The owners of addresses over time: `apply` and `delete` report objects to it, `answer` answers questions."""

    selection: Selection = field(default_factory=Selection)
    configured: ConfiguredRanges = field(default_factory=ConfiguredRanges)
    controllers: dict[str, Controller] = field(default_factory=dict)

    def apply(
        self, kind: str, obj: Mapping[str, Any], at_ns: int, known_ns: int | None = None, *, from_start: bool = False
    ) -> None:
        """Take an object as it is at `at_ns`; `known_ns`, `from_start` and errors as in `upsert`."""
        if kind in ("Pod", "Service", "Node", "EndpointSlice"):
            self.upsert(kind, obj, at_ns, known_ns, from_start=from_start)
            return
        uid, namespace, name = identity_of(obj)
        group = api_group(obj.get("apiVersion"), kind)
        self.controllers[uid] = Controller(group, kind, namespace, name, uid, controller_reference(obj))

    def answer(self, query: Query) -> Answer:
        """Return who that is, with certainty or not at all; InputError for a text that is no address."""
        if query.pod_uid is not None:
            return self.uid_answer(query.pod_uid, query.node)
        if query.address is None:
            return Answer("Unknown", reason="neither_address_nor_pod")
        return self.address_answer(address_key(query.address), query)

    def address_answer(self, address: int, query: Query) -> Answer:
        """Return who had an address for the whole asked time."""
        from_ns, to_ns = query.from_ns, query.to_ns
        pods = possible(self.pods.at(address), from_ns, to_ns)
        nodes = possible(self.node_addresses.at(address), from_ns, to_ns)
        cluster_ips = possible(self.cluster_ips.at(address), from_ns, to_ns)
        published = possible(self.published_ips.at(address), from_ns, to_ns)
        services = cluster_ips + [claim for claim in published if self.port_intervals(claim.owner, query)]
        if pods or nodes:  # a load balancer on the nodes' own addresses has its ports there and no others
            services = [claim for claim in services if self.port_intervals(claim.owner, query)]
        if pods and (nodes or services):
            return SEVERAL_OWNERS
        if services:
            shared = any(self.host_port_pods(claim, address, query) for claim in nodes)
            return SEVERAL_OWNERS if shared else self.service_answer(services, address, query, alone=not nodes)
        if not pods and not nodes:
            return self.unowned_answer(address, query)
        return self.holder_answer(pods, nodes, address, query)

    def holder_answer(self, pods: list[Interval], nodes: list[Interval], address: int, query: Query) -> Answer:
        """Return the one pod that had an address, or the one node, or what a port of that node leads to."""
        if len(owners(pods or nodes)) > 1:
            return SEVERAL_OWNERS
        if not certain(pods or nodes, query.from_ns, query.to_ns):
            return NOT_CERTAIN
        if nodes:
            return self.node_answer(nodes[0], address, query)
        pod = self.pods.by_key(pods[0].owner)
        return self.pod_answer(pod) if pod else POD_UNKNOWN

    def uid_answer(self, uid: str, node: str | None) -> Answer:
        """Return the pod of a UID: the API's own, else the mirror of a static pod (of that node, if one is named)."""
        pod = self.pods.get(uid)
        if pod is not None:
            return self.pod_answer(pod)
        claimants = self.static_pods.claimants(node, uid)
        living = {claimant for claimant in claimants if ("Pod", claimant) not in self.deleted_at}
        chosen = living or claimants  # a deleted mirror pod is created again under another UID
        if len(chosen) > 1:
            return SEVERAL_OWNERS
        mirror = self.pods.get(next(iter(chosen))) if chosen else None
        return self.pod_answer(mirror) if mirror else POD_UNKNOWN

    def pod_answer(self, pod: Pod, reason: str | None = None) -> Answer:
        """Return the answer that names a pod."""
        root = root_controller(pod.controller, pod.namespace, self.controllers)
        workload = (
            {"group": root.group, "kind": root.kind, "namespace": root.namespace, "name": root.name, "uid": root.uid}
            if root and not is_node(root)
            else None
        )
        return Answer(
            "Pod",
            pod.uid,
            pod.namespace,
            pod.name,
            reason,
            node_name=pod.node,
            host_network=pod.host_network,
            workload=workload,
            excluded=self.selection.pod(pod.namespace, root),
        )

    def port_intervals(self, service: Hashable, query: Query) -> list[Interval]:
        """Return the intervals in which a service may have had the asked port."""
        return possible(self.service_ports.at((service, query.port)), query.from_ns, query.to_ns)

    def service_answer(self, claims: list[Interval], address: int, query: Query, *, alone: bool) -> Answer:
        """Return the service that has an address; several may share one, or share it with a node, and differ by port.

        `alone`: no node has the address. Then a service has all ports of its cluster address, also those it does not
        serve; of its other addresses it has those that it serves.
        """
        from_ns, to_ns = query.from_ns, query.to_ns
        found = owners(claims)
        serving = {uid: ports for uid in found if (ports := self.port_intervals(uid, query))}
        if len(serving) > 1 or (len(found) > 1 and not serving):
            return Answer("Ambiguous", reason="several_services")
        uid = next(iter(serving or found))
        own = [claim for claim in claims if claim.owner == uid]
        port_certain = certain(serving.get(uid, ()), from_ns, to_ns)
        virtual = any(claim.owner == uid for claim in self.cluster_ips.at(address))
        if not certain(own, from_ns, to_ns) or not (port_certain or (alone and virtual and len(found) == 1)):
            return NOT_CERTAIN
        reason = None if port_certain else "port_not_certain" if serving else "port_not_served"
        return self.named_service(str(uid), reason)

    def named_service(self, uid: str, reason: str | None) -> Answer:
        """Return the answer that names a service."""
        service = self.services.get(uid)
        if service is None:
            return Answer("Unknown", reason="no_owner_at_that_time")
        return Answer("Service", service.uid, service.namespace, service.name, reason)

    def host_port_pods(self, node: Interval, address: int, query: Query) -> list[tuple[Pod, list[Interval]]]:
        """Return the pods that may have had the asked port of a node's address as a host port, with their intervals."""
        found = []
        for uid in self.host_ports.at(self.nodes.get(str(node.owner), ""), address, query.port):
            pod, entries = self.pods.get(uid), self.pods.intervals_of(uid_key(uid))
            alive = possible([entry.interval for entry in entries], query.from_ns, query.to_ns)
            if pod is not None and alive:
                found.append((pod, alive))
        return found

    def node_answer(self, node: Interval, address: int, query: Query) -> Answer:
        """Return a node, or the service of its node port, or the pod of its host port."""
        from_ns, to_ns = query.from_ns, query.to_ns
        node_ports = possible(self.node_ports.at(query.port), from_ns, to_ns)
        services, pods = owners(node_ports), self.host_port_pods(node, address, query)
        if len(services) > 1 and not pods:
            return Answer("Ambiguous", reason="several_services")
        if len(services) + len(pods) > 1:
            return SEVERAL_OWNERS
        if services:
            certainly = certain(node_ports, from_ns, to_ns)
            return self.named_service(str(services[0]), "node_port") if certainly else NOT_CERTAIN
        if pods:
            pod, alive = pods[0]
            return self.pod_answer(pod, "host_port") if certain(alive, from_ns, to_ns) else NOT_CERTAIN
        unknown = self.why_not_whole(("Service", "Pod"), query)
        if unknown:
            return Answer("Unknown", reason=unknown)
        name = self.nodes.get(str(node.owner))
        return (
            Answer("Node", str(node.owner), None, name) if name else Answer("Unknown", reason="no_owner_at_that_time")
        )

    def why_not_whole(self, kinds: Sequence[str], query: Query) -> str | None:
        """Return why not every object of some kinds is known for the asked time; None if all are."""
        for kind in kinds:
            if kind in self.incomplete:
                return self.incomplete[kind]
            for start_ns, end_ns in self.unwatched.get(kind, ()):
                if start_ns - SKEW_NS <= query.to_ns and query.from_ns - SKEW_NS <= end_ns:
                    return "not_watched_then"
        return None

    def unowned_answer(self, address: int, query: Query) -> Answer:
        """Return the answer about an address that nobody is known to have had in the asked time.

        `External` is what is proven to be outside: every kind that could own the address is known whole for that time,
        the address is public (or in `data.externalRanges`), and it is in no range that the cluster uses.
        """
        unknown = self.why_not_whole(OWNER_KINDS, query)
        if unknown:
            return Answer("Unknown", reason=unknown)
        if possible(self.published_ips.at(address), query.from_ns, query.to_ns):
            return Answer("Unknown", reason="port_not_served")  # its packets leave the node, and may come back
        if self.is_in_use(address):
            return Answer("Unknown", reason="no_owner_at_that_time")
        translated = translated_ipv4(address)
        if translated is not None and self.unowned_answer_of(translated, query).kind != "External":
            return Answer("Unknown", reason="translated_address")
        if address in self.configured.external or translated is not None or is_public(address):
            return Answer("External")
        if possible(self.slice_addresses.at(address), query.from_ns, query.to_ns):
            return Answer("Unknown", reason="endpoint_without_target")
        return Answer("Unknown", reason="cluster_range_unknown")

    def unowned_answer_of(self, address: int, query: Query) -> Answer:
        """Return the answer about the IPv4 address behind a translated one: not external if an owner is possible."""
        owned = self.pods.keys_at(address) or self.node_addresses.at(address) or self.cluster_ips.at(address)
        return POD_UNKNOWN if owned else self.unowned_answer(address, query)

    def is_in_use(self, address: int) -> bool:
        """Whether the cluster uses an address or the range around it, as far as objects and settings show."""
        tables = (self.node_addresses, self.cluster_ips, self.published_ips)
        if self.pods.keys_at(address) or any(table.at(address) for table in tables):
            return True
        return any(address in ranges for ranges in (self.ranges, self.public_neighbourhoods, self.configured.cluster))

    def explain(self, address: str) -> list[dict[str, Any]]:
        """Return every past and present owner of an address: kind, UID, name, and the four times of the interval."""
        key = address_key(address)
        found = []
        for interval in self.pods.at(key):
            pod = self.pods.by_key(interval.owner)
            namespace, name = (pod.namespace, pod.name) if pod else ("", "")
            found.append(explained_interval("Pod", uid_text(interval.owner), namespace, name, interval))
        for interval in (*self.cluster_ips.at(key), *self.published_ips.at(key)):
            service = self.services.get(str(interval.owner))
            namespace, name = (service.namespace, service.name) if service else ("", "")
            found.append(explained_interval("Service", str(interval.owner), namespace, name, interval))
        nodes = ((str(interval.owner), interval) for interval in self.node_addresses.at(key))
        return found + [explained_interval("Node", uid, None, self.nodes.get(uid, ""), one) for uid, one in nodes]


def explained_interval(kind: str, uid: str, namespace: str | None, name: str, interval: Interval) -> dict[str, Any]:
    """Return one owner of an address as a document; an end that was not received is null."""
    ends = {"sureTo": interval.sure_to_ns, "maybeTo": interval.maybe_to_ns}
    times = {"maybeFrom": interval.maybe_from_ns, "sureFrom": interval.sure_from_ns, **ends}
    wire = {key: None if at_ns == FOREVER else rfc3339(max(at_ns, 0)) for key, at_ns in times.items()}
    return {"kind": kind, "uid": uid, "namespace": namespace, "name": name, **wire}
