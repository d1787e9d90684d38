"""What the connections of a window carried: the kernel's sums of those that ended, a reading of those open at its end.

A connection's cut between two windows is the moment at which the iterator reads it. Windows that meet share that
reading: what one window does not count, the next one does. A connection that ended before it was read is counted at its
end.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from node_agent.capture.fair_share import is_sum
from node_agent.capture.kernel_program.bpf_maps import Counts
from node_agent.capture.kernel_program.map_entries import Kept
from node_agent.capture.open_connections.open_sockets import NOBODY, OpenSockets
from node_agent.capture.open_connections.socket_rows import CONNECTED, OpenSocket
from node_agent.capture.volume_sums import VolumeSums
from node_agent.privileged.bpf_structs import CONNECTION, ENDED, ENDPOINTS, OF_SOCKET, address_text
from podsonar.model import AcceptedFlow, Flow, Volume

WHOLE, ENDED_ONLY = "whole", "ended"
UNMATCHED, UNREAD, NO_ROOM, END_UNSEEN = "end_unmatched", "open_unread", "ended_full", "end_unseen"


class Totals(NamedTuple):
    """What a connection has carried since it was made."""

    sent: int
    received: int
    retransmitted: int
    rtt_us: int
    reset: int = 0


class EndedConnection(NamedTuple):
    """The end of a connection that the kernel side added to no flow, `struct ended`; `cgroup` is 0 for an older one."""

    socket: int
    cgroup: int
    start_ns: int
    at_ns: int
    sent: int
    received: int
    connection: bytes
    rtt_us: int
    retransmitted: int
    reset: int

    @property
    def totals(self) -> Totals:
        """All that it carried."""
        return Totals(self.sent, self.received, self.retransmitted, self.rtt_us, self.reset)

    @property
    def key(self) -> bytes:
        """The key of its flow or accepted flow, for one made in the window."""
        local, remote, local_port, remote_port, _namespace = CONNECTION.unpack(self.connection)
        port = local_port.to_bytes(2, "big") if self.cgroup & OF_SOCKET else remote_port
        return ENDPOINTS.pack(self.cgroup, local, remote, port, 0, 0)


@dataclass(slots=True)
class Handover:
    """The reading at the end of one window for the next one, if that begins at `until_ns`.

    `read_ns` is when the first window's program was detached: it has counted what ended until then.
    """

    sockets: OpenSockets | None = None
    until_ns: int = 0
    read_ns: int = 0

    def take(self, from_ns: int) -> tuple[OpenSockets | None, int]:
        """Return the reading and its time for a window that begins at `from_ns`; None if none ended there."""
        sockets = self.sockets if self.until_ns == from_ns else None
        self.sockets = None
        return sockets, self.read_ns if sockets is not None else 0


@dataclass(slots=True)
class OpenVolumes:
    """What is known of connections that outlive one end of the window.

    `before` were open at its start; `kept` (by socket) were made in it and had not ended when it was over. Ends before
    `counted_until_ns` are in the window before.
    """

    before: OpenSockets
    from_ns: int
    until_ns: int
    counted_until_ns: int = 0
    kept: dict[int, Kept] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    older: dict[int, VolumeSums] = field(default_factory=dict)

    def keep(self, kept: dict[int, Kept], more: int) -> None:
        """Take what the kernel side keeps when the window is over; `more` are of sockets that are another's by now."""
        self.kept = kept
        self.lost[END_UNSEEN] += more

    def add_older(self, place: int, now: Totals, at_ns: int) -> None:
        """Add what the older connection at a place of `before` carried from the start to `at_ns`."""
        owner = self.before.owners[place]
        if owner != NOBODY:
            self.older.setdefault(owner, VolumeSums()).add_connection(
                now.sent - self.before.sent[place],
                now.received - self.before.received[place],
                now.retransmitted - self.before.retransmitted[place],
                min(at_ns, self.until_ns) - self.from_ns,
                now.rtt_us,
                now.reset,
            )

    def read_open(self, rows: Iterable[OpenSocket]) -> None:
        """Add what older connections carried, while they are read; `before` then has this reading, `kept` places in it.

        The socket of a connection that has ended meanwhile may be another one's, of the same flow: only an end says so.
        """
        for row in rows:
            own = self.kept.get(row.socket)
            if own is not None and own.place is None and is_of_flow(row.connection, own.key):
                if row.state not in CONNECTED:
                    del self.kept[row.socket]
                elif self.before.add(row):
                    self.kept[row.socket] = own._replace(place=self.before.find(row.connection, read=True))
                continue
            place = self.before.find(row.connection, read=False)
            if place is not None and row.state in CONNECTED:
                sent = row.bytes_sent - row.bytes_retransmitted
                now = Totals(sent, row.bytes_received, row.retransmitted, row.srtt_us)
                self.add_older(place, now, self.until_ns)
            self.before.add(row)

    def add_ended(self, counts: Counts) -> None:
        """Add the ends of connections that the kernel side added to no flow, unless they were read while open."""
        for end in ended_connections(counts.ended):
            if end.cgroup:
                if end.at_ns >= self.until_ns:
                    if self.before.find(end.connection, read=True) is not None:
                        continue
                    self.kept.pop(end.socket, None)
                open_ns = min(end.at_ns, self.until_ns) - end.start_ns
                counts.volume_of(end.key).add_connection(*end.totals[:3], open_ns, end.rtt_us, end.reset)
                continue
            place = self.before.find(end.connection, read=False)
            if place is not None:
                self.add_older(place, end.totals, end.at_ns)
                self.before.forget(end.connection)
            elif self.counted_until_ns <= end.at_ns < self.until_ns:
                self.lost[UNMATCHED] += 1

    def end_reading(self, counts: Counts, still_kept: Container[int]) -> None:
        """Add what was read of connections made in the window, and count what was neither read nor seen ending.

        `still_kept` are the sockets that the detached program keeps: an attempt that has failed is not among them.
        """
        for socket, kept in self.kept.items():
            if kept.place is not None:
                counts.volume_of(kept.key).add_connection(
                    self.before.sent[kept.place],
                    self.before.received[kept.place],
                    self.before.retransmitted[kept.place],
                    self.until_ns - kept.start_ns,
                    self.before.rtt_us[kept.place],
                )
            elif kept.open or socket in still_kept:
                self.lost[UNREAD] += 1
        self.lost[UNREAD] += self.before.end_reading()

    def with_volumes(self, flows: list[Flow], accepted: list[AcceptedFlow]) -> tuple[list[Flow], list[AcceptedFlow]]:
        """Return the flows that were open before the window with what they carried in it."""
        volumes: dict[tuple[str, int, str, str, int], Volume] = {}
        for owner, flow in enumerate(self.before.flows):
            sums = self.older.get(owner) or VolumeSums()
            local, remote = address_text(flow.local), address_text(flow.remote)
            volumes[flow.role, flow.cgroup, local, remote, flow.port] = sums.volume()
        return (
            [
                one._replace(volume=volumes.get(("client", one.cgroup, one.source, one.destination, one.port)))
                for one in flows
            ],
            [
                one._replace(volume=volumes.get(("server", one.cgroup, one.local, one.remote, one.port)))
                for one in accepted
            ],
        )


def is_of_flow(connection: bytes, key: bytes) -> bool:
    """Return whether a connection is of the flow with that key; the sum of a pod's flows has no addresses."""
    return is_sum(key) or connection[:32] == key[8:40]


def ended_connections(records: bytes | bytearray) -> Iterator[EndedConnection]:
    """Yield the records of ended connections in the order of their tables."""
    return map(EndedConnection._make, ENDED.iter_unpack(records))
