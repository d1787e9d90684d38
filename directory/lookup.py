"""Who owned an address, and when: pure, fed by a watch or by an inventory, asked by node agents and by replay.

Never a guess: several possible owners, or one that is not certain for the whole asked time, are `Ambiguous`; nobody is
`Unknown`, or `External` where no cluster has addresses and the directory was not blind then. Owners come from pods,
nodes and services alone: an EndpointSlice (anybody may write one) gives no address to anyone.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from directory.addresses import MAY_BE_CLUSTER, address_key
from directory.cluster_state import ClusterState
from directory.interval import FOREVER, SKEW_NS, Interval, certain, owners, possible
from directory.inventory_snapshots import snapshots
from directory.pod_table import Pod, uid_key, uid_text
from directory.selection import Selection
from podsonar.model import Answer, Query, rfc3339
from podsonar.owner_chain import Controller, api_group, controller_reference, is_node, root_controller


@dataclass(slots=True)
class Directory(ClusterState):
    """The owners of addresses over time; `observe` and `forget` tell it of objects, `answer` asks it."""

    selection: Selection = field(default_factory=Selection)
    controllers: dict[str, Controller] = field(default_factory=dict)
    partial: str | None = None  # why a part of the cluster is out of sight: then whoever is not known may be in there

    @classmethod
    def from_inventory(cls, bodies: Iterable[Mapping[str, Any]], selection: Selection) -> "Directory":
        """The directory of one or more inventories' bodies.

        What the last one lists is taken to be so since it began, and to stay so: an inventory has no later times.
        """
        directory = cls(selection=selection)
        before = None
        for snapshot in snapshots(bodies):
            at_ns = FOREVER - 1 if before is None else snapshot.end_ns
            known_ns = at_ns if before is None else before.start_ns
            seen: dict[str, set[int | str]] = {kind: set() for kind in snapshot.complete}
            for kind, obj in snapshot.objects():
                directory.apply(kind, obj, at_ns, known_ns, from_start=before is None)
                seen.setdefault(kind, set()).add(uid_key(obj["metadata"]["uid"]))
            if before is not None:
                for kind in snapshot.complete:
                    for uid in directory.missing(kind, seen[kind]):
                        directory.delete(kind, uid, at_ns, known_ns)
            before = snapshot
            if snapshot.partial:
                directory.partial = "namespaced"
        return directory

    def apply(
        self, kind: str, obj: Mapping[str, Any], at_ns: int, known_ns: int | None = None, *, from_start: bool = False
    ) -> None:
        """Take in an object as it is at `at_ns`; `known_ns` and `from_start` as for `take`."""
        if kind in ("Pod", "Service", "Node", "EndpointSlice"):
            self.upsert(kind, obj, at_ns, known_ns, from_start=from_start)
            return
        meta = obj["metadata"]
        self.controllers[meta["uid"]] = Controller(
            api_group(obj.get("apiVersion"), kind),
            kind,
            meta.get("namespace", ""),
            meta["name"],
            meta["uid"],
            controller_reference(obj),
        )

    def answer(self, query: Query) -> Answer:
        """Who that is, with certainty or not at all."""
        if query.pod_uid is not None:
            pod = self.pods.get(self.static_pods.get(query.pod_uid, query.pod_uid))
            return self.pod_answer(pod) if pod else Answer("Unknown", reason="pod_unknown")
        if query.address is None:
            return Answer("Unknown", reason="neither_address_nor_pod")
        address, from_ns, to_ns = address_key(query.address), query.from_ns, query.to_ns
        pods = possible(self.pods.at(address), from_ns, to_ns)
        nodes = possible(self.node_addresses.at(address), from_ns, to_ns)
        services = possible(self.service_addresses.at(address), from_ns, to_ns)
        if pods or nodes:  # a load balancer on the nodes' own addresses has its ports there and no others
            services = [one for one in services if self.port_intervals(one.owner, query)]
        if pods and (nodes or services):
            return Answer("Ambiguous", reason="several_owners")
        if services:
            # A node out of sight may share the address: then only a port that the service has is the service's.
            return self.service_answer(services, query, alone=not nodes and self.partial is None)
        if not pods and not nodes:
            return self.unowned_answer(address, query)
        if len(owners(pods or nodes)) > 1:
            return Answer("Ambiguous", reason="several_owners")
        if not certain(pods or nodes, from_ns, to_ns):
            return Answer("Ambiguous", reason="owner_not_certain")
        if nodes:
            return self.node_answer(str(nodes[0].owner), query)
        found = self.pods.by_key(pods[0].owner)
        return self.pod_answer(found) if found else Answer("Unknown", reason="pod_unknown")

    def pod_answer(self, pod: Pod) -> Answer:
        """The answer that names a pod."""
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
            node_name=pod.node,
            host_network=pod.host_network,
            workload=workload,
            excluded=self.selection.pod(pod.namespace, root),
        )

    def port_intervals(self, service: Hashable, query: Query) -> list[Interval]:
        """The intervals of the asked port by a service."""
        return possible(self.service_ports.at((service, query.port)), query.from_ns, query.to_ns)

    def service_answer(self, intervals: list[Interval], query: Query, *, alone: bool) -> Answer:
        """The service that has an address; several may share one, or share it with a node, and differ by port."""
        from_ns, to_ns = query.from_ns, query.to_ns
        found = owners(intervals)
        serving = {uid: ports for uid in found if (ports := self.port_intervals(uid, query))}
        if len(serving) > 1 or (len(found) > 1 and not serving):
            return Answer("Ambiguous", reason="several_services")
        uid = next(iter(serving or found))
        own = [one for one in intervals if one.owner == uid]
        port_certain = certain(serving.get(uid, ()), from_ns, to_ns)
        if not certain(own, from_ns, to_ns) or not (port_certain or (alone and len(found) == 1)):
            return Answer("Ambiguous", reason="owner_not_certain")
        reason = None if port_certain else "port_not_certain" if serving else "port_not_served"
        return self.named_service(str(uid), reason)

    def named_service(self, uid: str, reason: str | None) -> Answer:
        """The answer that names a service."""
        service = self.services[uid]
        return Answer("Service", service.uid, service.namespace, service.name, reason)

    def node_answer(self, node: str, query: Query) -> Answer:
        """A node, or the service of its node port."""
        intervals = possible(self.node_ports.at(query.port), query.from_ns, query.to_ns)
        found = owners(intervals)
        if len(found) > 1:
            return Answer("Ambiguous", reason="several_services")
        if not found:
            return Answer("Node", node, None, self.nodes[node])
        if not certain(intervals, query.from_ns, query.to_ns):
            return Answer("Ambiguous", reason="owner_not_certain")
        return self.named_service(str(found[0]), "node_port")

    def unowned_answer(self, address: int, query: Query) -> Answer:
        """The answer about an address that nobody had in the asked time, as far as is known."""
        from_ns, to_ns = query.from_ns, query.to_ns
        if any(start - SKEW_NS <= to_ns and from_ns - SKEW_NS <= end for start, end in self.unwatched):
            return Answer("Unknown", reason="not_watched_then")
        if self.pods.keys_at(address) or self.node_addresses.at(address) or self.service_addresses.at(address):
            return Answer("Unknown", reason="no_owner_at_that_time")
        if address in self.ranges or address in self.public_neighbourhoods:
            return Answer("Unknown", reason="no_owner_at_that_time")
        if self.partial is not None:
            return Answer("Unknown", reason=self.partial)
        if certain(self.external_endpoints.at(address), from_ns, to_ns):
            return Answer("External", reason="endpoint_without_target")
        if address in MAY_BE_CLUSTER:
            return Answer("Unknown", reason="cluster_range_unknown")
        return Answer("External")

    def explain(self, address: str) -> list[dict[str, Any]]:
        """Everybody who has or had an address: kind, UID, name, and the four times of the interval."""
        key = address_key(address)
        found = []
        for interval in self.pods.at(key):
            pod = self.pods.by_key(interval.owner)
            found.append(
                explained_interval(
                    "Pod", uid_text(interval.owner), pod.namespace if pod else "", pod.name if pod else "", interval
                )
            )
        for interval in self.service_addresses.at(key):
            service = self.services[str(interval.owner)]
            found.append(explained_interval("Service", service.uid, service.namespace, service.name, interval))
        nodes = self.node_addresses.at(key)
        return found + [
            explained_interval("Node", str(one.owner), None, self.nodes[str(one.owner)], one) for one in nodes
        ]


def explained_interval(kind: str, uid: str, namespace: str | None, name: str, interval: Interval) -> dict[str, Any]:
    """One owner of an address as a document; an end that was not heard of is null."""
    ends = {"sureTo": interval.sure_to_ns, "maybeTo": interval.maybe_to_ns}
    times = {"maybeFrom": interval.maybe_from_ns, "sureFrom": interval.sure_from_ns, **ends}
    wire = {key: None if at_ns == FOREVER else rfc3339(max(at_ns, 0)) for key, at_ns in times.items()}
    return {"kind": kind, "uid": uid, "namespace": namespace, "name": name, **wire}
