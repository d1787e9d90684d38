"""Resolves ambiguous destinations by the accepting end, if that leaves no doubt. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.topology import Topology


def resolve_ambiguous(
    connections: Sequence[ConnectionRecord], accepted: Iterable[tuple[str, AcceptedRecord]], topology: Topology
) -> dict[int, str]:
    """For each ambiguous connection: the UID of the pod that accepted every one of its attempts, if there is one.

    An attempt that failed may have been meant for another owner of the address, and so may one that nobody was seen to
    accept. If others had the client's address too, connections from there prove nothing: a node's address is given to
    what is masqueraded there, a pod's to the next pod.
    """
    clients: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for one in connections:
        clients[one.source_ip, one.destination_ip, one.destination_port].add(one.kubernetes.source_pod.uid)
    takers: dict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
    for _, end in accepted:
        takers[end.remote_ip, end.local_ip, int(end.local_port)][end.pod.uid] += end.accepted
    found: dict[int, str] = {}
    for place, one in enumerate(connections):
        if one.destination is None or one.destination.kind != "Ambiguous":
            continue
        taken = takers.get((one.source_ip, one.destination_ip, int(one.destination_port)), Counter())
        whole = one.attempts == one.established == taken.total()
        shared = one.source_ip in topology.node_at
        shared |= len(clients[one.source_ip, one.destination_ip, one.destination_port]) > 1
        if len(taken) == 1 and whole and not shared:
            found[place] = next(iter(taken))
    return found
