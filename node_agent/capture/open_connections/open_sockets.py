"""Connections that were open before the window, from an iterator over the sockets of all processes.

The holder decides the owner of a connection: the cgroup of the process that has the socket as a file, whatever network
it was created in (an ambient proxy's in a pod's network is the proxy's). Kernel side: bpf/open_sockets.c.
"""

import os
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from node_agent.capture.kernel_program.bpf_maps import AttachedProgram, wait_grace_period
from node_agent.capture.pod_cgroup import SHARED, pod_uid
from node_agent.privileged.bpf_structs import CONNECTION, MAPPED_PREFIX, OPEN_SOCKET, address_text
from podsonar.model import AcceptedFlow, Flow

READ_BYTES = 1 << 15  # what the kernel returns at once (bpf_seq_read(): eight pages)
ITERATOR = "iterator"
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = 1, 4, 5, 8, 9, 10, 11
CONNECTED = (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING)
FIN_IN_FLIGHT = (FIN_WAIT1, LAST_ACK, CLOSING)
NOBODY = -1

Role = Literal["client", "server", "unknown"]
ROLES: tuple[Role, ...] = ("unknown", "client", "server")


class OpenSocket(NamedTuple):
    """One socket, as one process holds it; `connection` (`CONNECTION`) names the connection on the node."""

    inode: int
    cgroup: int
    socket: int
    bytes_acked: int
    bytes_sent: int
    bytes_retransmitted: int
    bytes_received: int
    connection: bytes
    process: int
    backlog: int
    in_flight: int
    srtt_us: int
    retransmitted: int
    state: int

    @property
    def local_port(self) -> int:
        """The port at this end."""
        return int(CONNECTION.unpack(self.connection)[2])

    @property
    def remote_port(self) -> int:
        """The port at the far end."""
        return int.from_bytes(CONNECTION.unpack(self.connection)[3], "big")

    @property
    def remote(self) -> bytes:
        """The packed address of the far end."""
        return self.connection[16:32]

    @property
    def namespace(self) -> int:
        """The inode of the network namespace."""
        return int(CONNECTION.unpack(self.connection)[4])


class OpenedFlow(NamedTuple):
    """A flow of connections that were open before the window: its role, holder, packed addresses and port."""

    role: Role
    cgroup: int
    local: bytes
    remote: bytes
    port: int


def short_key(connection: bytes) -> bytes:
    """Return the name of a connection without the prefix of mapped IPv4 addresses: 16 bytes less memory for each."""
    if connection[:12] == MAPPED_PREFIX == connection[16:28]:
        return connection[12:16] + connection[28:]
    return connection


def whole_key(key: bytes) -> bytes:
    """Return the `CONNECTION` of a short key."""
    return key if len(key) == CONNECTION.size else MAPPED_PREFIX + key[:4] + MAPPED_PREFIX + key[4:]


class OpenSockets:
    """The connected sockets of one reading, each once, by columns: a node may have 100,000.

    `places` has the column's place by short key; `holders` has the cgroups of the processes that hold a socket where
    there are several; `owners` the place in `flows` of the flow that a connection belongs to, NOBODY if it has none.
    """

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.sent, self.received, self.cgroups = array("Q"), array("Q"), array("Q")
        self.retransmitted, self.roles, self.owners = array("I"), array("B"), array("i")
        self.read = array("B")
        self.holders: dict[int, set[int]] = {}
        self.listening: set[tuple[int, int]] = set()
        self.flows: list[OpenedFlow] = []
        self.names: dict[int, tuple[str, ...]] = {}  # of the cgroups, where another program has read them

    def add(self, row: OpenSocket) -> bool:
        """Add one reported row; return whether it is a connection that was not there yet."""
        if row.state not in CONNECTED:
            if row.state == LISTEN:
                self.listening.add((row.namespace, row.local_port))
            return False
        place = self.places.setdefault(short_key(row.connection), len(self.roles))
        if place == len(self.roles):
            for column in (self.sent, self.received, self.cgroups, self.retransmitted, self.roles, self.read):
                column.append(0)
            self.owners.append(NOBODY)
        elif self.read[place]:
            if self.cgroups[place] != row.cgroup:
                self.holders.setdefault(place, {self.cgroups[place]}).add(row.cgroup)
            return False
        self.read[place] = 1
        self.sent[place] = row.bytes_sent - row.bytes_retransmitted
        self.received[place] = row.bytes_received
        self.cgroups[place] = row.cgroup
        self.retransmitted[place] = row.retransmitted
        self.roles[place] = ROLES.index(role_of(row, ()))
        return True

    def read_again(self) -> None:
        """Begin a new reading in place: every connection has the figures of the last one until it is read again."""
        self.read = array("B", bytes(len(self.roles)))
        self.holders.clear()
        self.listening.clear()

    def unread(self, connection: bytes) -> int | None:
        """Return the place of a connection that was in the last reading and is not in this one; None for others."""
        place = self.places.get(short_key(connection))
        return None if place is None or self.read[place] else place

    def forget(self, connection: bytes) -> None:
        """Remove a connection that has ended."""
        del self.places[short_key(connection)]

    def end_reading(self) -> int:
        """Remove what is not in this reading; return how many of that had a flow. Owners are unknown afterwards."""
        gone = [key for key, place in self.places.items() if not self.read[place]]
        owned = sum(self.owners[self.places.pop(key)] != NOBODY for key in gone)
        if len(self.roles) > 2 * len(self.places) + 1024:
            self.compact()
        self.owners = array("i", [NOBODY]) * len(self.roles)
        return owned

    def compact(self) -> None:
        """Close the gaps in the columns that removed connections have left."""
        kept = list(self.places.values())
        for name in ("sent", "received", "cgroups", "retransmitted", "roles", "read"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, [column[place] for place in kept]))
        moved = {place: number for number, place in enumerate(kept)}
        self.places = {key: number for number, key in enumerate(self.places)}
        self.holders = {moved[place]: cgroups for place, cgroups in self.holders.items() if place in moved}

    def role(self, place: int, namespace: int, local_port: int) -> Role:
        """Return which end of its connection a socket is, by itself or by a listener at its port."""
        role = ROLES[self.roles[place]]
        return "server" if role == "unknown" and (namespace, local_port) in self.listening else role


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
    the acknowledged bytes (tcp_ack(), net/ipv4/tcp_input.c), one more than its payload; an acknowledged FIN counts as
    one, too. A backlog of 0 is possible, so the count decides; a listener at the same port of the network decides where
    a FIN on its way or a loss blurs the count.
    """
    if row.backlog:
        return "server"
    payload = row.bytes_sent - row.bytes_retransmitted - row.in_flight
    counted = row.bytes_acked - payload - (row.state == FIN_WAIT2)
    if row.state not in FIN_IN_FLIGHT and counted in (0, 1):
        return "client" if counted else "server"
    return "server" if (row.namespace, row.local_port) in listening else "unknown"


def one_per_socket(reported: Iterable[OpenSocket]) -> OpenSockets:
    """Return each connected socket once: a file that several processes hold is reported for each of them."""
    sockets = OpenSockets()
    for row in reported:
        sockets.add(row)
    return sockets


def holder_of(cgroups: Collection[int], pod_of_cgroup: Callable[[int], str | None]) -> int:
    """Return the cgroup of the one pod that holds a socket, else of the node's processes; `SHARED` if two pods do."""
    pods = {pod_of_cgroup(cgroup): cgroup for cgroup in sorted(cgroups, reverse=True)}
    node = pods.pop(None, None)
    if len(pods) == 1 and node is None:
        return next(iter(pods.values()))
    return SHARED if pods or node is None else node


def sees_every_process(proc_folder: Path) -> bool:
    """Return whether the loader's iterator shows the processes of `proc_folder`: both are of one pid namespace.

    proc(5), NSpid: the pid of this process in the namespace of that /proc, then in each nested one down to its own.
    """
    try:
        status = (proc_folder / "self" / "status").read_text(errors="replace")
    except OSError:
        return False
    return any(line.startswith("NSpid:") and len(line.split()) == 2 for line in status.splitlines())


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
