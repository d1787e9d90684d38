"""What the iterator reports of each socket of each process, and which end of its connection a socket is.

Kernel side: bpf/open_sockets.c.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from node_agent.privileged.bpf_structs import CONNECTION, OPEN_SOCKET

READ_BYTES = 1 << 15  # what the kernel returns at once (bpf_seq_read(): eight pages)
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = 1, 4, 5, 8, 9, 10, 11
CONNECTED = (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING)
FIN_IN_FLIGHT = (FIN_WAIT1, LAST_ACK, CLOSING)

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


def sees_every_process(proc_folder: Path) -> bool:
    """Return whether the loader's iterator shows the processes of `proc_folder`: both are of one pid namespace.

    proc(5), NSpid: the pid of this process in the namespace of that /proc, then in each nested one down to its own.
    """
    try:
        status = (proc_folder / "self" / "status").read_text(errors="replace")
    except OSError:
        return False
    return any(line.startswith("NSpid:") and len(line.split()) == 2 for line in status.splitlines())


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
