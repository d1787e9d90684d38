"""Compares in sums what was accepted from an address that is not the client pod's own. Pure.

A node's address stands for every pod whose way led over that node; a bridge's own address, in the node's range of pods'
addresses, for the pods on the node's network (and the kubelet).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.join_state import ClientBudget, Join, add_reason, add_recall, match, match_in_sum
from manager.service_map.topology import Topology

Clients = Mapping[tuple[str, int], Mapping[int, ClientBudget]]


def clients_of(
    connections: Sequence[ConnectionRecord],
    budgets: Sequence[ClientBudget],
    by_listener: Mapping[tuple[str, str, int], Sequence[ClientBudget]],
) -> Clients:
    """The records that can explain what a pod accepted on a port, by a service or directly, whatever their address."""
    clients: dict[tuple[str, int], dict[int, ClientBudget]] = defaultdict(dict)
    for (_, pod_uid, port), served in by_listener.items():
        clients[pod_uid, port].update({budget.index: budget for budget in served})
    for one, budget in zip(connections, budgets, strict=True):
        pod = one.kubernetes.destination_pod
        if pod is not None:
            clients[pod.uid, int(one.destination_port)][budget.index] = budget
    return clients


def compare_sums(
    masqueraded: Sequence[tuple[str, AcceptedRecord, int]],
    clients: Clients,
    connections: Sequence[ConnectionRecord],
    topology: Topology,
    join: Join,
) -> None:
    """Explain what came from node addresses by what clients behind that node still have left, in sums.

    A pod is named for a connection only if nothing else is possible: it was the only one that can have come that
    way, and it made all that came, or could come to no other pod. The kubelet's probes and other programs of the node
    come from there, too: their client side is filtered.
    """
    reach = Counter(index for by_index in clients.values() for index in by_index)
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
    alone = Counter[int]()  # what only one record can explain
    for _, _, asked, candidates in rows:
        if len(candidates) == 1:
            alone[candidates[0].index] += asked
    left_before = {row[3][0].index: row[3][0].left for row in rows if len(row[3]) == 1}
    sure = {index for index, asked in alone.items() if reach[index] == 1 or asked <= left_before[index]}
    for node, one, asked, candidates in rows:
        if len(candidates) == 1 and candidates[0].index in sure:
            left = match(candidates, one.pod.uid, asked, join)
        else:
            left = match_in_sum(candidates, asked, join)
        add_recall(join, node, asked - left, asked - left)
        if left:
            add_reason(join, node, "remote_is_a_node", left)


def nodes_passed(one: ConnectionRecord, topology: Topology) -> set[str]:
    """The nodes whose address a connection may have got: its pod's own, and the one whose node port it dialled."""
    pod = topology.pods.get(one.kubernetes.source_pod.uid)
    own = {str(pod["node"])} if pod else set(topology.node_at.values())
    dialled = topology.node_at.get(one.destination_ip)
    return own | {dialled} if dialled else own


def mark_bridged(
    unknown: Sequence[AcceptedRecord],
    clients: Clients,
    connections: Sequence[ConnectionRecord],
    topology: Topology,
    join: Join,
) -> None:
    """Say `inSums` of records whose rest may be among what came from an address of a node's range that no pod has.

    It explains nothing: a pod that is in no inventory may have made it as well.
    """
    for one in unknown:
        node = topology.node_of_range(one.remote_ip)
        for index, budget in clients.get((one.pod.uid, int(one.local_port)), {}).items():
            if budget.left and topology.node_at.get(connections[index].source_ip) == node:
                join.in_sums.add(index)
