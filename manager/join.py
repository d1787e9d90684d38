"""Both ends of each connection compared: which accepted connections a client-side record explains. Pure.

An accepted record says: this pod's listener at local address and port took n connections from a remote address. A
client-side record explains it if the client's address is that remote and it connected to that very address and port,
or to a service whose backend is that listener. Each established connection explains one accepted connection, no more.

What was masqueraded on the way shows a node's address as remote: there only sums can be compared, listener by
listener. What cannot be compared is named and not counted: see `not_comparable`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from manager.topology import Topology
from manager.wire import Accepted, Connection


class Listener(NamedTuple):
    """One accepting end: the pod (known from the kernel), and where it listened."""

    pod_uid: str
    address: str
    port: int


@dataclass(slots=True)
class Recall:
    """`explained` of `accepted` comparable connections; the rest by reason."""

    accepted: int = 0
    explained: int = 0
    not_comparable: Counter[str] = field(default_factory=Counter)

    @property
    def value(self) -> float | None:
        """The share explained; None where nothing was comparable."""
        return self.explained / self.accepted if self.accepted else None


@dataclass(slots=True)
class Join:
    """`backends[i]` counts per accepting pod what connection i explains; recall per accepting node and over all.

    `in_sums` are the connections that explain something of which only the sum is known: which of them reached which pod
    is not told by anything.
    """

    backends: dict[int, Counter[str]]
    recall: Recall
    nodes: dict[str, Recall]
    in_sums: set[int] = field(default_factory=set)


class Observers(NamedTuple):
    """Who watched: nodes observed for the whole window, nodes observed for a part of it, and the agents' own pods."""

    whole: frozenset[str]
    part: frozenset[str] = frozenset()
    own_pods: frozenset[str] = frozenset()


@dataclass(slots=True)
class Budget:
    """How many accepted connections a client-side record can still explain."""

    index: int
    left: int


def join_ends(
    connections: Sequence[Connection],
    accepted: Sequence[tuple[str, Accepted]],
    topology: Topology,
    observers: Observers,
) -> Join:
    """The join of one window; `accepted` has the name of the observing node beside each record."""
    budgets = [Budget(place, max(one.established, one.attempts - one.failed)) for place, one in enumerate(connections)]
    direct, by_listener = index_clients(connections, budgets, topology)
    client_addresses = {one.source_ip for one in connections}
    join = Join(backends=defaultdict(Counter), recall=Recall(), nodes=defaultdict(Recall))
    masqueraded: list[tuple[str, Accepted, int]] = []
    # The exact address first: a service's record may explain several listeners, this one explains only its own.
    waiting: list[tuple[str, Accepted, int]] = []
    for node, one in accepted:
        port = int(one.local_port)
        left = take(direct.get((one.remote_ip, one.local_ip, port), ()), one.pod.uid, one.accepted, join)
        count(join, node, one.accepted - left, one.accepted - left)
        if left:
            waiting.append((node, one, left))
    for node, one, asked in waiting:
        listener = Listener(one.pod.uid, one.local_ip, int(one.local_port))
        left = take(by_listener.get((one.remote_ip, listener.pod_uid, listener.port), ()), one.pod.uid, asked, join)
        count(join, node, asked - left, asked - left)
        if not left:
            continue
        reason = not_comparable(one, topology, observers, client_addresses)
        if reason == "remote_is_a_node":
            masqueraded.append((node, one, left))
        elif reason:
            add_reason(join, node, reason, left)
        else:
            count(join, node, left, 0)
    compare_sums(masqueraded, by_listener, connections, topology, join)
    return join


def index_clients(
    connections: Sequence[Connection], budgets: Sequence[Budget], topology: Topology
) -> tuple[dict[tuple[str, str, int], list[Budget]], dict[tuple[str, str, int], list[Budget]]]:
    """Budgets by (source, destination, port) as dialled, and by (source, backend pod, its port) through services."""
    direct: dict[tuple[str, str, int], list[Budget]] = defaultdict(list)
    by_listener: dict[tuple[str, str, int], list[Budget]] = defaultdict(list)
    backends: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for one, budget in zip(connections, budgets, strict=True):
        if not budget.left or not one.destination_port.isdigit():
            continue
        port = int(one.destination_port)
        direct[one.source_ip, one.destination_ip, port].append(budget)
        service = one.kubernetes.destination_service
        if service is None:
            continue
        key = (service.uid, port)
        if key not in backends:
            backends[key] = list(topology.targets(*key))
        for pod_uid, target in backends[key]:
            by_listener[one.source_ip, pod_uid, target].append(budget)
    return direct, by_listener


def take(budgets: Iterable[Budget], pod_uid: str, asked: int, join: Join) -> int:
    """What is left of `asked` after the budgets gave what they could."""
    for budget in budgets:
        given = min(budget.left, asked)
        if given:
            budget.left -= given
            asked -= given
            join.backends[budget.index][pod_uid] += given
    return asked


def compare_sums(
    masqueraded: Sequence[tuple[str, Accepted, int]],
    by_listener: dict[tuple[str, str, int], list[Budget]],
    connections: Sequence[Connection],
    topology: Topology,
    join: Join,
) -> None:
    """Explain what came from node addresses by what clients behind that node still have left, in sums.

    A pod is named for a connection only where nothing else is possible: it was the only one that can have come that
    way. The kubelet's probes and other programs of the node come from there, too: their client side is filtered.
    """
    clients: dict[tuple[str, int], dict[int, Budget]] = defaultdict(dict)
    for (_, pod_uid, port), budgets in by_listener.items():
        clients[pod_uid, port].update({budget.index: budget for budget in budgets})
    rows = []
    for node, one, asked in masqueraded:
        hidden_by = topology.node_at[one.remote_ip]
        candidates = [
            budget
            for index, budget in clients.get((one.pod.uid, int(one.local_port)), {}).items()
            if budget.left and hidden_by in nodes_passed(connections[index], topology)
        ]
        rows.append((node, one, asked, candidates))
    rows.sort(key=lambda row: len(row[3]) != 1)  # what is certain first, before budgets are spent
    for node, one, asked, candidates in rows:
        if len(candidates) == 1:
            left = take(candidates, one.pod.uid, asked, join)
        else:
            left = take_in_sum(candidates, asked, join)
        count(join, node, asked - left, asked - left)
        if left:
            add_reason(join, node, "remote_is_a_node", left)


def nodes_passed(one: Connection, topology: Topology) -> set[str]:
    """The nodes whose address a connection may have got: its pod's own, and the one whose node port it dialled."""
    pod = topology.pods.get(one.kubernetes.source_pod.uid)
    own = {str(pod["node"])} if pod else set(topology.node_at.values())
    dialled = topology.node_at.get(one.destination_ip)
    return own | {dialled} if dialled else own


def take_in_sum(budgets: Sequence[Budget], asked: int, join: Join) -> int:
    """What is left of `asked` after all budgets together gave what they could; no pod is named for any."""
    for budget in budgets:
        given = min(budget.left, asked)
        budget.left -= given
        asked -= given
        join.in_sums.add(budget.index)
    return asked


def not_comparable(one: Accepted, topology: Topology, observers: Observers, client_addresses: set[str]) -> str | None:
    """Why no client-side record can be expected for an accepted one; None where one must be there."""
    remote = one.remote_ip
    if remote.startswith("127.") or remote in {"::1", one.local_ip}:
        return "loopback"
    if remote in topology.node_at:
        return "remote_is_a_node"
    pods = topology.pods_at.get(remote)
    if pods:
        nodes = {topology.pods[uid]["node"] for uid in pods}
        if not observers.own_pods.isdisjoint(pods):
            return "own_traffic"
        if nodes & observers.whole:
            return None
        return "node_observed_in_part" if nodes & observers.part else "node_without_agent"
    if remote in client_addresses:
        return None
    # Pods that selection leaves out are in no inventory, and their connects are filtered at their own node.
    return "remote_pod_not_observed" if topology.is_pod_network(remote) else "remote_outside_cluster"


def count(join: Join, node: str, accepted: int, explained: int) -> None:
    """Add to the recall of the node and of all."""
    for recall in (join.recall, join.nodes[node]):
        recall.accepted += accepted
        recall.explained += explained


def add_reason(join: Join, node: str, reason: str, connections: int) -> None:
    """Name what cannot be compared."""
    for recall in (join.recall, join.nodes[node]):
        recall.not_comparable[reason] += connections


def settle(connections: Sequence[Connection], accepted: Iterable[tuple[str, Accepted]]) -> dict[int, str]:
    """Pod UID per ambiguous connection whose accepting end was seen: the kernel says who took it, and only one did."""
    takers: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for _, end in accepted:
        takers[end.remote_ip, end.local_ip, int(end.local_port)].add(end.pod.uid)
    found: dict[int, str] = {}
    for place, one in enumerate(connections):
        if one.destination is None or one.destination.kind != "Ambiguous" or not one.destination_port.isdigit():
            continue
        pods = takers.get((one.source_ip, one.destination_ip, int(one.destination_port)), set())
        if len(pods) == 1:
            found[place] = next(iter(pods))
    return found
