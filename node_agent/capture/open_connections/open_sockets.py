"""The connected sockets of a node, each once, as the last reading of the iterator showed them."""

from array import array
from collections.abc import Iterable
from typing import NamedTuple

from node_agent.capture.open_connections.socket_rows import CONNECTED, LISTEN, ROLES, OpenSocket, Role, role_of
from node_agent.privileged.bpf_structs import CONNECTION, MAPPED_PREFIX

NOBODY = -1
COLUMNS = ("sent", "received", "cgroups", "retransmitted", "rtt_us", "roles", "read")


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
        self.retransmitted, self.rtt_us, self.owners = array("I"), array("I"), array("i")
        self.roles, self.read = array("B"), array("B")
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
            for name in COLUMNS:
                getattr(self, name).append(0)
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
        self.rtt_us[place] = row.srtt_us
        self.roles[place] = ROLES.index(role_of(row, ()))
        return True

    def read_again(self) -> None:
        """Begin a new reading in place: every connection has the figures of the last one until it is read again."""
        self.read = array("B", bytes(len(self.roles)))
        self.holders.clear()
        self.listening.clear()

    def find(self, connection: bytes, *, read: bool) -> int | None:
        """Return the place of a connection that is in this reading, or else only in the last one; None for others."""
        place = self.places.get(short_key(connection))
        return place if place is not None and self.read[place] == read else None

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
        for name in COLUMNS:
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, [column[place] for place in kept]))
        moved = {place: number for number, place in enumerate(kept)}
        self.places = {key: number for number, key in enumerate(self.places)}
        self.holders = {moved[place]: cgroups for place, cgroups in self.holders.items() if place in moved}

    def role(self, place: int, namespace: int, local_port: int) -> Role:
        """Return which end of its connection a socket is, by itself or by a listener at its port."""
        role = ROLES[self.roles[place]]
        return "server" if role == "unknown" and (namespace, local_port) in self.listening else role


def one_per_socket(reported: Iterable[OpenSocket]) -> OpenSockets:
    """Return each connected socket once: a file that several processes hold is reported for each of them."""
    sockets = OpenSockets()
    for row in reported:
        sockets.add(row)
    return sockets
