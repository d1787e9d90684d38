"""Flows of connections that were open before the window, from a reading of the node's sockets.

The holder decides the owner of a connection: the cgroup of the process that has the socket as a file, whatever network
it was created in (an ambient proxy's in a pod's network is the proxy's).
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from node_agent.capture.kernel_program.bpf_maps import AttachedProgram, wait_grace_period
from node_agent.capture.open_connections.open_sockets import OpenedFlow, OpenSockets, whole_key
from node_agent.capture.pod_cgroup import SHARED, pod_uid
from node_agent.privileged.bpf_structs import CONNECTION, address_text
from podsonar.model import AcceptedFlow, Flow

ITERATOR = "iterator"


class OpenedConnections(NamedTuple):
    """Flows of both ends that were open before the window, connections left out by reason, and how they were read."""

    flows: list[Flow]
    accepted: list[AcceptedFlow]
    left_out: dict[str, int]
    method: str
    not_read: Mapping[str, int] = MappingProxyType({})


def holder_of(cgroups: Collection[int], pod_of_cgroup: Callable[[int], str | None]) -> int:
    """Return the cgroup of the one pod that holds a socket, else of the node's processes; `SHARED` if two pods do."""
    pods = {pod_of_cgroup(cgroup): cgroup for cgroup in sorted(cgroups, reverse=True)}
    node = pods.pop(None, None)
    if len(pods) == 1 and node is None:
        return next(iter(pods.values()))
    return SHARED if pods or node is None else node


def scan(tracer: AttachedProgram, sockets: OpenSockets, at_ns: int) -> OpenedConnections:
    """Return those of the connections read that were open at `at_ns`; the program stops recording new ones."""
    tracer.mark_scan_done()
    wait_grace_period()  # a program at work has written its `recent` entry by then
    pods = {cgroup: pod_uid(names) for cgroup, names in (sockets.names | tracer.cgroup_names()).items()}
    if tracer.counters()["recent_full"]:
        connected = len(sockets.places)
        return OpenedConnections([], [], {"recent_full": connected} if connected else {}, ITERATOR)
    return opened_connections(sockets, tracer.recent_keys(), pods.get, at_ns)


def opened_connections(
    sockets: OpenSockets,
    recent: Collection[bytes],
    pod_of_cgroup: Callable[[int], str | None],
    at_ns: int,
) -> OpenedConnections:
    """Return the connections open at `at_ns`, without `recent` ones, which the program has seen being made.

    The flow of each is noted in `sockets`. The client end of one that two pods hold is a flow of `SHARED`: nobody's,
    but its address explains what its server has accepted.
    """
    counts: dict[OpenedFlow, int] = {}
    places: dict[OpenedFlow, int] = {}
    left_out: Counter[str] = Counter()
    for key, place in sockets.places.items():
        connection = whole_key(key)
        if connection in recent:
            continue
        several = sockets.holders.get(place)
        cgroup = holder_of(several, pod_of_cgroup) if several else sockets.cgroups[place]
        local, remote, local_port, remote_port, namespace = CONNECTION.unpack(connection)
        role = sockets.role(place, namespace, local_port)
        if role == "unknown":
            left_out["direction_unknown"] += 1
        elif cgroup == SHARED and role == "server":
            left_out["shared_socket"] += 1
        else:
            port = local_port if role == "server" else int.from_bytes(remote_port, "big")
            flow = OpenedFlow(role, cgroup, local, remote, port)
            counts[flow] = counts.get(flow, 0) + 1
            sockets.owners[place] = places.setdefault(flow, len(places))
    sockets.flows = list(places)
    clients = {flow: count for flow, count in counts.items() if flow.role == "client"}
    servers = {flow: count for flow, count in counts.items() if flow.role == "server"}
    return OpenedConnections(opened_flows(clients, at_ns), opened_accepted(servers, at_ns), dict(left_out), ITERATOR)


def opened_flows(clients: Mapping[OpenedFlow, int], at_ns: int) -> list[Flow]:
    """Return the client ends as flows, in order."""
    flows = []
    for (_role, cgroup, local, remote, port), count in clients.items():
        ends = (cgroup, address_text(local), address_text(remote), port)
        flows.append(Flow(*ends, 0, count, 0, 0, at_ns, at_ns, 0, 0, 0, opened_before=True))
    return sorted(flows)


def opened_accepted(servers: Mapping[OpenedFlow, int], at_ns: int) -> list[AcceptedFlow]:
    """Return the server ends as accepted flows, in order."""
    return sorted(
        AcceptedFlow(cgroup, address_text(local), port, address_text(remote), count, at_ns, at_ns, opened_before=True)
        for (_role, cgroup, local, remote, port), count in servers.items()
    )
