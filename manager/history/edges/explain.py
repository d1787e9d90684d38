"""Why an edge is on the map: its records, whose pods they are, and who held its destination's address. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from manager.schema.pod_cgroups import PodCgroups
from manager.schema.records import ListedConnection
from manager.service_map.topology import Topology
from manager.service_map.vertices import destination_vertices, inventory_vertices, pod_vertices
from podsonar.timestamp import rfc3339


class Owner(NamedTuple):
    """An object that had an address: from its creation to the window in which it was first missing."""

    kind: str
    uid: str
    namespace: str
    name: str
    from_ns: int
    to_ns: int | None
    host_network: bool = False

    def wire(self) -> dict[str, Any]:
        """The owner as the API shows it."""
        return {
            "kind": self.kind,
            "uid": self.uid,
            "namespace": self.namespace,
            "name": self.name,
            "from": rfc3339(self.from_ns),
            "to": None if self.to_ns is None else rfc3339(self.to_ns),
        }


def named_vertices(text: str, services: Iterable[Mapping[str, Any]], topology: Topology) -> list[str]:
    """The vertices that a text names: an id, `namespace/name`, a name, a pod, or an address."""
    by_pod: dict[str, set[str]] = {}
    for vertex, uids in inventory_vertices(topology).items():
        for uid in uids:
            pod = topology.pods[uid]
            for name in (uid, f"{pod['namespace']}/{pod['name']}", *pod["ips"]):
                by_pod.setdefault(str(name), set()).add(vertex.id)
    known = list(services)
    exact = [one["id"] for one in known if text == one["id"]]
    full = [one["id"] for one in known if one["namespace"] and text == f"{one['namespace']}/{one['name']}"]
    outside = [one["id"] for one in known if not one["namespace"] and text == one["name"]]
    bare = [one["id"] for one in known if text == one["name"]]
    return exact or full or outside or sorted(by_pod.get(text, ())) or bare


def records_between(
    records: Iterable[tuple[str, ListedConnection]],
    sources: frozenset[str],
    destinations: frozenset[str],
    topology: Topology,
) -> Iterator[tuple[str, ListedConnection]]:
    """The records, each with the node that observed it, whose ends are those vertices."""
    for node, one in records:
        own = {vertex.id for vertex in pod_vertices(one.kubernetes.source_pod, topology)}
        if own & sources and destinations & {vertex.id for vertex in destination_vertices(one, topology, None)}:
            yield node, one


def how_known(node: str, one: ListedConnection, identity: str, *, unnamed: bool) -> str:
    """How the source of a record is known; `unnamed`: its agent lists cgroups, and none of this pod's."""
    uid = one.kubernetes.source_pod.uid
    if identity != "cgroup":
        return f"found on {node} by {identity or 'an agent that does not say how'}"
    if unnamed and not one.opened_before:
        return f"no listed cgroup on {node} holds the pod UID {uid}: {one.source_ip} was the address of this pod alone"
    return f"the name of the connecting task's cgroup on {node} holds the pod UID {uid}"


def cgroups_wire(uid: str, cgroups: Mapping[str, PodCgroups] | None) -> dict[str, Any]:
    """The cgroups in which its node saw a pod, and how many more there were; null where none of its is listed."""
    of_pod = cgroups.get(uid) if cgroups is not None else None
    return {"cgroups": of_pod and of_pod.paths, "moreCgroups": of_pod.more if of_pod else 0}


def record_wire(
    node: str, one: ListedConnection, identity: str, cgroups: Mapping[str, PodCgroups] | None
) -> dict[str, Any]:
    """A record, and how its source is known; `cgroups` of the node by pod UID, None if its agent sends none."""
    pod = one.kubernetes.source_pod
    return {
        "node": node,
        "sourceIP": one.source_ip,
        "sourcePod": {"uid": pod.uid, "namespace": pod.namespace, "name": pod.name},
        "identity": how_known(node, one, identity, unnamed=cgroups is not None and pod.uid not in cgroups),
        **cgroups_wire(pod.uid, cgroups),
        "destinationIP": one.destination_ip,
        "destinationPort": one.destination_port,
        "destination": one.destination and {"kind": one.destination.kind, "reason": one.destination.reason},
        "attempts": one.attempts,
        "established": one.established,
        "failed": one.failed,
        "lastErrno": one.last_errno,
        "openedBefore": one.opened_before,
        "firstSeen": one.first_seen,
        "lastSeen": one.last_seen,
    }


def ruled_out(owner: Owner, from_ns: int, to_ns: int) -> str | None:
    """Why an owner of an address did not hold it for all of a time; None if it may have held it in a part of it."""
    if owner.host_network:
        return "it is on its node's network, the address is the node's"
    if owner.from_ns > to_ns:
        return f"created {rfc3339(owner.from_ns)}, after the last connect"
    if owner.to_ns is not None and owner.to_ns <= from_ns:
        return f"gone by {rfc3339(owner.to_ns)}, before the first connect"
    return None


def address_wire(address: str, chosen: str | None, owners: Sequence[Owner], from_ns: int, to_ns: int) -> dict[str, Any]:
    """Who held an address while it was connected to, and why each other owner of it did not.

    `chosen` is the UID that the directory named when it was asked; None if it named none.
    """
    held = next((one for one in owners if one.uid == chosen), None)
    others = []
    for one in owners:
        if one.uid != chosen:
            why = ruled_out(one, from_ns, to_ns)
            others.append(one.wire() | {"ruledOut": why or "not ruled out: it had the address at that time, too"})
    return {
        "address": address,
        "from": rfc3339(from_ns),
        "to": rfc3339(to_ns),
        "heldBy": held and held.wire(),
        "others": others,
    }
