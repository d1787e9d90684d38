"""Two simulated nodes joined by a link, like two kind nodes on one kernel: pods, host processes, masquerade.

Every packet between pods of different nodes passes both nodes; each node translates services for its own pods, with
nftables or with iptables, as kube-proxy does.
"""

import ipaddress
import secrets
from dataclasses import dataclass
from typing import Self

from lab.simulated import cgroups, network
from lab.simulated.network import LabError, Translation
from lab.simulated.pods import Lab, PodProcess

CGROUPFS = "kubepods/besteffort/pod{uid}/{container}"
GATEWAYS = ("169.254.66.1", "fd00:66::1")
SERVICE_RANGES = ("10.97.0.0/16", "fd00:97::/64")
OUTSIDE_RANGE = "198.51.100.0/24"
BLACKHOLE = "203.0.113.66"  # the nodes drop what goes there
NOWHERE = "203.0.113.88"  # the pods have no route to it
DEAD = "203.0.113.77"  # on the pod's own link, where no host answers ARP for it
CLOSED_FIRST = "198.18.0.1"
CLOSED = "198.18.0.0/15"  # the nodes answer for all of it, and nothing listens


@dataclass(frozen=True, slots=True)
class SimulatedNode:
    """One node: its letter, its addresses (IPv4, IPv6) and its pod ranges."""

    letter: str
    addresses: tuple[str, str]
    ranges: tuple[str, str]

    @property
    def name(self) -> str:
        """The node's name in the API."""
        return f"node-{self.letter}"

    def pod_addresses(self, group: int, number: int) -> tuple[str, str]:
        """The addresses of pod `number` in a group of pods (both below 128)."""
        low, high = (ipaddress.ip_network(text).network_address for text in self.ranges)
        return str(low + 256 * group + number), str(high + 65536 * group + number)


NODES = {
    "a": SimulatedNode("a", ("192.0.2.10", "2001:db8:2::10"), ("10.66.0.0/17", "fd00:66:a::/64")),
    "b": SimulatedNode("b", ("192.0.2.11", "2001:db8:2::11"), ("10.66.128.0/17", "fd00:66:b::/64")),
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a pod's containers run: node, cgroup below the run, hierarchies; without addresses on the host network."""

    node: str
    addresses: tuple[str, ...] = ()
    cgroup: str = CGROUPFS
    only: str | None = None


class TwoNodes(Lab):
    """The lab with both nodes; `pods` has one process per container, named `pod` or `pod/container`."""

    def __init__(self, prefix: str = "podsonar") -> None:
        super().__init__(prefix)
        self.links = 0

    def namespace(self, letter: str) -> str:
        """The network namespace of a node."""
        return self.node if letter == "a" else f"{self.run}-b"

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            network.add_node_namespace(self.namespace("b"))
            first, second = NODES["a"], NODES["b"]
            link = f"link add between netns {self.node} type veth peer name between netns {self.namespace('b')}"
            network.ip_batch(self.node, link)
            self.connect_node(first, second)
            self.connect_node(second, first)
        except BaseException:
            self.close()
            raise
        return self

    def connect_node(self, node: SimulatedNode, other: SimulatedNode) -> None:
        """Give the node its addresses, routes to the other node's pods, and the lab's special addresses."""
        lines = ["link set between up"]
        for address, bits in zip(node.addresses, (24, 64), strict=True):
            lines.append(f"addr add {address}/{bits} dev between{' nodad' if ':' in address else ''}")
        for pods, gateway in zip(other.ranges, other.addresses, strict=True):
            lines.append(f"route add {pods} via {gateway}")
        lines += [f"route add {services} dev between" for services in SERVICE_RANGES]
        lines += [f"route add blackhole {BLACKHOLE}", f"route add local {CLOSED} dev lo"]
        if node.letter == "b":
            lines.append(f"route add {OUTSIDE_RANGE} via {other.addresses[0]}")
        network.ip_batch(self.namespace(node.letter), *lines)

    def start_process(
        self, name: str, namespace: str, cgroup: str, listen: tuple[object, ...] = (), only: str | None = None
    ) -> PodProcess:
        """Start a process in a namespace and in a cgroup below the run's, in every hierarchy or those of `only`."""
        folders = cgroups.make_in_every_hierarchy(f"{self.run}/{cgroup}", only=only)
        self.pods[name] = PodProcess(name, namespace, folders, listen)
        return self.pods[name]

    def start_container(self, name: str, uid: str, placement: Placement, listen: tuple[object, ...] = ()) -> PodProcess:
        """Start a container of a pod; the first one creates the pod's network."""
        pod = name.partition("/")[0]
        host = self.namespace(placement.node)
        namespace = f"{self.run}-{pod}" if placement.addresses else host
        if placement.addresses and not (network.NAMESPACE_FOLDER / namespace).exists():
            self.links += 1
            sources = NODES[placement.node].addresses
            network.add_namespace(host, namespace, f"v{self.links}", placement.addresses, GATEWAYS, sources)
            network.ip_batch(namespace, f"route add {DEAD} dev eth0", f"route add unreachable {NOWHERE}")
        cgroup = placement.cgroup.format(
            uid=uid, underscored=uid.replace("-", "_"), container=secrets.token_hex(32), outer=secrets.token_hex(16)
        )
        return self.start_process(name, namespace, cgroup, listen, placement.only)

    def start_outside(self, listen: tuple[int, ...]) -> PodProcess:
        """Start a server outside the cluster, beside node a, in no pod's cgroup."""
        self.add_outside(listen)
        return self.pods["(outside)"]

    def delete(self, pod: str) -> None:
        """End every process of the pod and delete its network."""
        for name in [
            name for name in list(self.pods) if name.partition("/")[0] == pod
        ]:  # other threads start pods meanwhile
            self.pods.pop(name).stop()
        namespace = f"{self.run}-{pod}"
        network.ip_batch(namespace, "link del eth0")  # immediately, rather than some time after the namespace
        network.run("ip", "netns", "del", namespace)

    def iptables(self, translations: list[Translation]) -> None:
        """Translate these ClusterIPs on both nodes by iptables."""
        for letter in NODES:
            text = iptables_rules(translations_of_node(letter, translations))
            network.run_in_namespace(self.namespace(letter), "iptables-restore", "--noflush", text=text)

    def nftables(self, translations: list[Translation]) -> None:
        """Translate these ClusterIPs on both nodes by nftables."""
        for letter in NODES:
            network.add_translations(self.namespace(letter), translations_of_node(letter, translations))

    def masquerade(self, letter: str, source: str, destination: str) -> None:
        """Make the node replace `source` by its own address on the way to `destination`."""
        six = ":" in source
        word, own = ("ip6" if six else "ip"), NODES[letter].addresses[six]
        rule = f"{word} saddr {source} {word} daddr {destination} snat {word} to {own}"
        chain = f"chain hidden {{\n type nat hook postrouting priority 100;\n {rule}\n }}"
        network.run_in_namespace(
            self.namespace(letter), "nft", "-f", "-", text=f"table inet podsonar {{\n {chain}\n}}\n"
        )


def translations_of_node(letter: str, translations: list[Translation]) -> list[Translation]:
    """The translations that a node makes: node ports at its own addresses only."""
    others = {address for other, node in NODES.items() if other != letter for address in node.addresses}
    return [translation for translation in translations if translation.address not in others]


def iptables_rules(translations: list[Translation]) -> str:
    """The iptables-restore script that sends each ClusterIP to its backends in turn, as kube-proxy's does."""
    lines = ["*nat"]
    for translation in translations:
        if ":" in translation.address:
            raise LabError(f"{translation.address}: iptables translates IPv4 only here")
        count = len(translation.backends)
        for chain in ("PREROUTING", "OUTPUT"):
            for number, backend in enumerate(translation.backends):
                every = f"-m statistic --mode nth --every {count - number} --packet 0 " if number < count - 1 else ""
                lines.append(
                    f"-A {chain} -d {translation.address}/32 -p tcp --dport {translation.port} {every}"
                    f"-j DNAT --to-destination {backend}:{translation.target_port}"
                )
    return "\n".join([*lines, "COMMIT", ""])
