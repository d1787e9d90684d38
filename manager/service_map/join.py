"""Compares both ends of each connection: which accepted connections a client-side record explains. Pure.

An accepted record says: this pod's listener at local address and port accepted n connections from a remote address. A
client-side record explains it if the client's address is that remote and it connected to that very address and port, to
a service whose backend is that listener, or to the listener's host port on its node. Each established connection
explains one accepted connection, no more.

A masqueraded connection has a node's address as its remote: only sums can be compared, listener by listener. The same
holds if several clients had one address (one pod after another, or pods on their node's network), or one client came to
a listener by several services: nothing shows which of them made which connection. What cannot be compared is named and
not counted, see `not_comparable`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.join_state import (
    ClientBudget,
    EdgeKey,
    Join,
    Recall,
    add_reason,
    add_recall,
    match,
    match_in_sum,
)
from manager.service_map.masquerade import clients_of, compare_sums, mark_bridged
from manager.service_map.topology import Topology

# Why a connection from a pod's address has no client-side record, as its node's agent and as the map names it.
LEFT_OUT = {
    "identity_conflict": "remote_identity_conflict",
    "holder_unknown": "remote_holder_unknown",
    "shared_socket": "remote_shared_socket",
    "own_traffic": "own_traffic",
    "source_not_a_pod": "remote_not_a_pod",
    "source_unknown": "remote_source_unknown",
}
LeftOutKey = tuple[str, str, bool]  # address, reason, whether the connection was open before the window


class Observers(NamedTuple):
    """Nodes observed for the whole window, nodes observed for a part of it, the agents' own pods, and pods that scan.

    Of a pod that scans, some connections are known in sums by range of ports only. `left_out` has how many connections
    from an address are in no record because of who made them, by reason and age.
    """

    whole: frozenset[str]
    part: frozenset[str] = frozenset()
    own_pods: frozenset[str] = frozenset()
    scanning: frozenset[str] = frozenset()
    left_out: Mapping[LeftOutKey, int] = MappingProxyType({})


def join_ends(
    connections: Sequence[ConnectionRecord],
    accepted: Sequence[tuple[str, AcceptedRecord]],
    topology: Topology,
    observers: Observers,
    *,
    whole: bool = True,
) -> tuple[Join, Recall]:
    """Return the join of one window, and the recall of the connections that were open before it.

    `accepted` has the name of the observing node beside each record. Unless the connections are the `whole` window's,
    those left out may explain what these do not. What is left of a connection from before the window may explain one
    that its server accepted in it: the two ends of a handshake are half a round trip apart.
    """
    budgets = [
        ClientBudget(place, one.established if one.opened_before else 0, EdgeKey.of(one))
        for place, one in enumerate(connections)
    ]
    before = [(node, one) for node, one in accepted if one.opened_before]
    opened = join_budgets(connections, budgets, before, topology, observers, whole=whole)
    for budget, one in zip(budgets, connections, strict=True):
        budget.left = budget.left if one.opened_before else max(one.established, one.attempts - one.failed)
    new = [(node, one) for node, one in accepted if not one.opened_before]
    return join_budgets(connections, budgets, new, topology, observers, whole=whole), opened.recall


def join_budgets(
    connections: Sequence[ConnectionRecord],
    budgets: Sequence[ClientBudget],
    accepted: Sequence[tuple[str, AcceptedRecord]],
    topology: Topology,
    observers: Observers,
    *,
    whole: bool,
) -> Join:
    """Return the join of accepted connections with what the budgets, one per connection, can still explain."""
    direct, by_listener = index_clients(connections, budgets, topology)
    client_addresses = {one.source_ip for one in connections}
    unsure = {
        one.remote_ip
        for _, one in accepted
        if not whole
        or has_unobserved_owners(one.remote_ip, topology, observers)
        or not observers.scanning.isdisjoint(topology.pods_at.get(one.remote_ip, ()))
    }
    join = Join(backends=defaultdict(Counter), recall=Recall(), nodes=defaultdict(Recall))
    left_out = Counter(observers.left_out)
    join.pods = {one.pod.uid: one.pod for _, one in accepted}
    masqueraded: list[tuple[str, AcceptedRecord, int]] = []
    unknown: list[AcceptedRecord] = []
    # The exact address first: a service's record may explain several listeners, this one explains only its own.
    waiting: list[tuple[str, AcceptedRecord, int]] = []
    for node, one in accepted:
        if one.remote_ip in topology.node_at and one.remote_ip != one.local_ip:
            masqueraded.append((node, one, one.accepted))  # pods on the node's network, and those that it masquerades
            continue
        port = int(one.local_port)
        dialled = direct.get((one.remote_ip, one.local_ip, port), ())
        left = explain(dialled, one, one.accepted, join, certain=one.remote_ip not in unsure)
        add_recall(join, node, one.accepted - left, one.accepted - left)
        if left:
            waiting.append((node, one, left))
    for node, one, asked in waiting:
        served = clients_of_listener(by_listener, one, topology)
        left = explain(served, one, asked, join, certain=one.remote_ip not in unsure)
        add_recall(join, node, asked - left, asked - left)
        if not left:
            continue
        reason = not_comparable(one, topology, observers, client_addresses)
        reason = reason if whole or reason else "too_many_connections"
        if reason:
            add_reason(join, node, reason, left)
            if reason == "remote_pod_not_observed":
                unknown.append(one)
        else:
            left = name_left_out(one, left, left_out, join, node)
            add_recall(join, node, left, 0)
    clients = clients_of(connections, budgets, by_listener)
    compare_sums(masqueraded, clients, connections, topology, join)
    mark_bridged(unknown, clients, connections, topology, join)
    return join


def index_clients(
    connections: Sequence[ConnectionRecord], budgets: Sequence[ClientBudget], topology: Topology
) -> tuple[dict[tuple[str, str, int], list[ClientBudget]], dict[tuple[str, str, int], list[ClientBudget]]]:
    """Budgets by (source, destination, port) as dialled, and by (source, backend pod, its port) through services."""
    direct: dict[tuple[str, str, int], list[ClientBudget]] = defaultdict(list)
    by_listener: dict[tuple[str, str, int], list[ClientBudget]] = defaultdict(list)
    backends: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for one, budget in zip(connections, budgets, strict=True):
        if not budget.left:
            continue
        port = int(one.destination_port)
        direct[one.source_ip, one.destination_ip, port].append(budget)
        for pod_uid, target in topology.behind_host_port(one.destination_ip, port):
            by_listener[one.source_ip, pod_uid, target].append(budget)
        service = one.kubernetes.destination_service
        if service is None:
            continue
        key = (service.uid, port)
        if key not in backends:
            backends[key] = list(topology.targets(*key))
        for pod_uid, target in backends[key]:
            by_listener[one.source_ip, pod_uid, target].append(budget)
    return direct, by_listener


def clients_of_listener(
    by_listener: dict[tuple[str, str, int], list[ClientBudget]], record: AcceptedRecord, topology: Topology
) -> list[ClientBudget]:
    """Budgets of clients that came to the listener by a service or host port.

    A service leads to a pod's address: the listener may be a process of another pod in the same network.
    """
    uids = dict.fromkeys([record.pod.uid, *topology.pods_at.get(record.local_ip, ())])
    port = int(record.local_port)
    return [budget for uid in uids for budget in by_listener.get((record.remote_ip, uid, port), ())]


def has_unobserved_owners(address: str, topology: Topology, observers: Observers) -> bool:
    """Whether several pods had an address and not all of their nodes were observed for the whole window."""
    pods = topology.pods_at.get(address, ())
    return len(pods) > 1 and not observers.whole.issuperset(topology.pods[uid]["node"] for uid in pods)


def explain(budgets: Sequence[ClientBudget], one: AcceptedRecord, asked: int, join: Join, *, certain: bool) -> int:
    """Explain `asked` accepted connections and return the rest; the pod is named only if all are of one edge."""
    if not certain or any(budget.edge != budgets[0].edge for budget in budgets):
        return match_in_sum(budgets, asked, join)
    return match(budgets, one.pod.uid, asked, join)


def name_left_out(one: AcceptedRecord, asked: int, left_out: Counter[LeftOutKey], join: Join, node: str) -> int:
    """Name as not comparable what was made from that address and is in no record; return the rest."""
    for reason, named in LEFT_OUT.items():
        key = one.remote_ip, reason, one.opened_before
        given = min(asked, left_out[key])
        if given:
            left_out[key] -= given
            asked -= given
            add_reason(join, node, named, given)
    return asked


def not_comparable(
    one: AcceptedRecord, topology: Topology, observers: Observers, client_addresses: set[str]
) -> str | None:
    """Why no client-side record can be expected for an accepted one; None if one must be there."""
    remote = one.remote_ip
    if remote.startswith("127.") or remote in {"::1", one.local_ip}:
        return "loopback"
    pods = topology.pods_at.get(remote)
    if pods:
        nodes = {topology.pods[uid]["node"] for uid in pods}
        if not observers.own_pods.isdisjoint(pods):
            return "own_traffic"
        if not observers.scanning.isdisjoint(pods):
            return "remote_pod_scans"
        if nodes & observers.whole:
            return None
        return "node_observed_in_part" if nodes & observers.part else "node_without_agent"
    if remote in client_addresses:
        return None
    # Pods that selection leaves out are in no inventory, and their connects are filtered at their own node.
    return "remote_pod_not_observed" if topology.is_pod_network(remote) else "remote_outside_cluster"
