"""Which pod's containers a port of a node leads to (`hostPort`, by destination NAT on the node)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from directory.addresses import address_keys
from directory.object_fields import mapping_at, mappings_at, tcp_ports, text_at

EVERY_ADDRESS = frozenset(address_keys(("0.0.0.0", "::")))  # noqa: S104 - a value of hostIP


class HostPort(NamedTuple):
    """A TCP port of a node; `address` is None if it is open on every address of the node."""

    port: int
    address: int | None


def host_ports_of(pod: Mapping[str, Any]) -> frozenset[HostPort]:
    """Return a pod's host ports; none for a pod on the host's network, whose processes listen there themselves."""
    spec = mapping_at(pod, "spec")
    if spec.get("hostNetwork"):
        return frozenset()
    containers = [*mappings_at(spec, "containers"), *mappings_at(spec, "initContainers")]
    opened: set[HostPort] = set()
    for port in (port for container in containers for port in mappings_at(container, "ports")):
        addresses = address_keys([text_at(port, "hostIP")]) - EVERY_ADDRESS
        opened |= {HostPort(number, next(iter(addresses), None)) for number in tcp_ports([port], "hostPort")}
    return frozenset(opened)


@dataclass(slots=True)
class HostPorts:
    """Host ports by node and port; few pods have any."""

    by_pod: dict[str, tuple[str, frozenset[HostPort]]] = field(default_factory=dict)
    pods_at: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    def put(self, uid: str, node: str, ports: Iterable[HostPort]) -> None:
        """Record the host ports of a pod, in place of those recorded before."""
        self.drop(uid)
        opened = frozenset(ports)
        if not opened or not node:
            return
        self.by_pod[uid] = node, opened
        for one in opened:
            self.pods_at.setdefault((node, one.port), set()).add(uid)

    def drop(self, uid: str) -> None:
        """Remove a pod."""
        node, opened = self.by_pod.pop(uid, ("", frozenset()))
        for port in {one.port for one in opened}:
            self.pods_at[node, port].discard(uid)
            if not self.pods_at[node, port]:
                del self.pods_at[node, port]

    def at(self, node: str, address: int, port: int | None) -> list[str]:
        """Return the UIDs of the pods that have a port of a node on one of its addresses, in a fixed order."""
        if port is None:
            return []
        return sorted(
            uid
            for uid in self.pods_at.get((node, port), ())
            if any(one.port == port and one.address in (None, address) for one in self.by_pod[uid][1])
        )
