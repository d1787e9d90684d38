"""Connections that were open before the window, from an iterator over the sockets of all processes.

The holder decides the owner of a connection: the cgroup of the process that has the socket as a file, whatever network
it was created in (an ambient proxy's connection in a pod's network is the proxy's). bpf/open_sockets.c is the kernel's
side.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from node_agent.capture.bpf_maps import AttachedProgram, ConnectionKey, wait_grace_period
from node_agent.capture.pod_cgroup import pod_uid
from node_agent.privileged.bpf_structs import OPEN_SOCKET, address_text
from podsonar.model import AcceptedFlow, Flow

READ_BYTES = 1 << 18
ITERATOR = "iterator"
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = 1, 4, 5, 8, 9, 10, 11
CONNECTED = (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING)
FIN_SENT = (FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING)

Role = Literal["client", "server", "unknown"]


class OpenSocket(NamedTuple):
    """One socket, as one process holds it; addresses packed to 16 bytes, `remote_port` in network byte order."""

    inode: int
    cgroup: int
    local: bytes
    remote: bytes
    bytes_acked: int
    bytes_sent: int
    bytes_retransmitted: int
    bytes_received: int
    namespace: int
    process: int
    backlog: int
    in_flight: int
    srtt_us: int
    retransmitted: int
    local_port: int
    remote_port: bytes
    state: int

    @property
    def key(self) -> ConnectionKey:
        """The connection as its own end sees it."""
        return self.namespace, self.local, self.local_port, self.remote, int.from_bytes(self.remote_port, "big")


class HeldSockets(NamedTuple):
    """Sockets by inode; `holders` has the cgroups of the processes that hold one where there are several."""

    rows: dict[int, OpenSocket]
    holders: Mapping[int, set[int]]


class OpenedConnections(NamedTuple):
    """Flows of both ends that were open before the window, connections left out by reason, and how they were read."""

    flows: list[Flow]
    accepted: list[AcceptedFlow]
    left_out: dict[str, int]
    method: str
    not_read: Mapping[str, int] = MappingProxyType({})


def read_sockets(descriptor: int) -> Iterator[OpenSocket]:
    """Yield every socket that the iterator reports; it can be read once, and is closed at the end."""
    with os.fdopen(descriptor, "rb", buffering=0) as iterator:
        rest = b""
        while piece := iterator.read(READ_BYTES):
            rest += piece
            whole = len(rest) - len(rest) % OPEN_SOCKET.size
            yield from map(OpenSocket._make, OPEN_SOCKET.iter_unpack(rest[:whole]))
            rest = rest[whole:]


def role_of(row: OpenSocket, listening: Collection[tuple[int, int]]) -> Role:
    """Which end of its connection a socket is.

    A socket that a listener accepted keeps the listener's backlog; a socket that connected has counted its SYN among
    the acknowledged bytes (tcp_ack(), net/ipv4/tcp_input.c), one more than its payload. A backlog of 0 is possible, so
    the count decides; a listener at the same port of the network decides where a FIN or a loss blurs the count.
    """
    if row.backlog:
        return "server"
    payload = row.bytes_sent - row.bytes_retransmitted - row.in_flight
    counted = row.bytes_acked - payload
    if row.state not in FIN_SENT and counted in (0, 1):
        return "client" if counted else "server"
    return "server" if (row.namespace, row.local_port) in listening else "unknown"


def one_per_socket(reported: Iterable[OpenSocket]) -> HeldSockets:
    """Return each socket once: a file that several processes hold is reported for each of them."""
    rows: dict[int, OpenSocket] = {}
    holders: defaultdict[int, set[int]] = defaultdict(set)
    for row in reported:
        first = rows.setdefault(row.inode, row)
        if first.cgroup != row.cgroup:
            holders[row.inode] |= {first.cgroup, row.cgroup}
    return HeldSockets(rows, holders)


def holder_of(cgroups: Collection[int], pod_of_cgroup: Callable[[int], str | None]) -> int | None:
    """Return the cgroup of the one pod that holds a socket, else of the node's processes; None if two pods hold it."""
    pods = {pod_of_cgroup(cgroup): cgroup for cgroup in sorted(cgroups, reverse=True)}
    node = pods.pop(None, None)
    if len(pods) == 1 and node is None:
        return next(iter(pods.values()))
    return node if not pods else None


def sees_every_process(proc_folder: Path) -> bool:
    """Return whether the loader's iterator shows the processes of `proc_folder`: both are of one pid namespace.

    proc(5), NSpid: the pid of this process in the namespace of that /proc, then in each nested one down to its own.
    """
    try:
        status = (proc_folder / "self" / "status").read_text(errors="replace")
    except OSError:
        return False
    return any(line.startswith("NSpid:") and len(line.split()) == 2 for line in status.splitlines())


def scan(tracer: AttachedProgram, iterator: int, at_ns: int) -> OpenedConnections:
    """Return the connections open at `at_ns` by one iterator; the program stops recording new ones meanwhile."""
    sockets = one_per_socket(read_sockets(iterator))
    tracer.mark_scan_done()
    wait_grace_period()  # a program at work has written its `recent` entry by then
    pods = {cgroup: pod_uid(names) for cgroup, names in tracer.cgroup_names().items()}
    if tracer.counters()["recent_full"]:
        connected = sum(row.state in CONNECTED for row in sockets.rows.values())
        return OpenedConnections([], [], {"recent_full": connected} if connected else {}, ITERATOR)
    return opened_connections(sockets, tracer.recent_keys(), pods.get, at_ns)


def opened_connections(
    sockets: HeldSockets,
    recent: Collection[ConnectionKey],
    pod_of_cgroup: Callable[[int], str | None],
    at_ns: int,
) -> OpenedConnections:
    """Return the connections open at `at_ns`, without `recent` ones, which the program has seen being made."""
    listening = {(row.namespace, row.local_port) for row in sockets.rows.values() if row.state == LISTEN}
    clients: Counter[tuple[int, bytes, bytes, int]] = Counter()
    servers: Counter[tuple[int, bytes, int, bytes]] = Counter()
    left_out: Counter[str] = Counter()
    for row in sockets.rows.values():
        if row.state not in CONNECTED or row.key in recent:
            continue
        cgroup = holder_of(sockets.holders[row.inode], pod_of_cgroup) if row.inode in sockets.holders else row.cgroup
        role = role_of(row, listening)
        _namespace, local, port, remote, remote_port = row.key
        if cgroup is None:
            left_out["shared_socket"] += 1
        elif role == "client":
            clients[cgroup, local, remote, remote_port] += 1
        elif role == "server":
            servers[cgroup, local, port, remote] += 1
        else:
            left_out["direction_unknown"] += 1
    return OpenedConnections(opened_flows(clients, at_ns), opened_accepted(servers, at_ns), dict(left_out), ITERATOR)


def opened_flows(clients: Mapping[tuple[int, bytes, bytes, int], int], at_ns: int) -> list[Flow]:
    """Return the client ends as flows, in order."""
    return sorted(
        Flow(
            cgroup,
            address_text(local),
            address_text(remote),
            port,
            attempts=0,
            established=count,
            failed=0,
            unfinished=0,
            first_ns=at_ns,
            last_ns=at_ns,
            handshake_sum_ns=0,
            handshake_max_ns=0,
            last_errno=0,
            opened_before=True,
        )
        for (cgroup, local, remote, port), count in clients.items()
    )


def opened_accepted(servers: Mapping[tuple[int, bytes, int, bytes], int], at_ns: int) -> list[AcceptedFlow]:
    """Return the server ends as accepted flows, in order."""
    return sorted(
        AcceptedFlow(cgroup, address_text(local), port, address_text(remote), count, at_ns, at_ns, opened_before=True)
        for (cgroup, local, port, remote), count in servers.items()
    )
