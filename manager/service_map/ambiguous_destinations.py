"""Ambiguous destinations settled by the accepting end, where that leaves no doubt. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from manager.schema.push_schema import AcceptedRecord, ConnectionRecord
from manager.service_map.topology import Topology


def resolve_ambiguous(
    connections: Sequence[ConnectionRecord], accepted: Iterable[tuple[str, AcceptedRecord]], topology: Topology
) -> dict[int, str]:
    """Pod UID per ambiguous connection of which every attempt was taken, as its kernel saw, by that one pod.

    An attempt that failed may have been meant for another owner of the address, and so may one that nobody is seen to
    have taken. Where others had the client's address too, who took connections from there proves nothing: a node's
    address is given to what is masqueraded there, a pod's to the next pod.
    """
    clients: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for one in connections:
        clients[one.source_ip, one.destination_ip, one.destination_port].add(one.kubernetes.source_pod.uid)
    takers: dict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
    for _, end in accepted:
        takers[end.remote_ip, end.local_ip, int(end.local_port)][end.pod.uid] += end.accepted
    found: dict[int, str] = {}
    for place, one in enumerate(connections):
        if one.destination is None or one.destination.kind != "Ambiguous" or not one.destination_port.isdigit():
            continue
        taken = takers.get((one.source_ip, one.destination_ip, int(one.destination_port)), Counter())
        whole = one.attempts == one.established == taken.total()
        shared = one.source_ip in topology.node_at
        shared |= len(clients[one.source_ip, one.destination_ip, one.destination_port]) > 1
        if len(taken) == 1 and whole and not shared:
            found[place] = next(iter(taken))
    return found
