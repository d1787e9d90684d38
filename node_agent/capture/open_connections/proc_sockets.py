"""Connections that were open before the window, from the socket tables in /proc, one read per network namespace.

For nodes without BPF iterators (see socket_rows). proc_net_tcp(5); world-readable, needs no capability. Listeners
decide whether a socket is the client or the server end, or ephemeral port ranges if none is seen. Reading is bounded in
rows and time; what is beyond is counted.
"""

import functools
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from node_agent.capture.process_table import Network, read_processes
from node_agent.privileged.bpf_structs import MAPPED_PREFIX, address_text
from podsonar.model import Flow

ESTABLISHED, LISTEN = "01", "0A"
EPHEMERAL = range(32768, 61000)  # Linux's default
MOST_SOCKETS = 65536  # kept at once: 20 MiB
MOST_SECONDS = 5.0  # of CPU time
NO_TABLE, TIME_OVER = "pod_without_table", "time_over"
RECENT_FULL, TOO_MANY, SHARED, DIRECTION = "recent_full", "too_many_sockets", "shared_namespace", "direction_unknown"

Side = Literal["client", "server", "unknown"]


class Socket(NamedTuple):
    """One row of a socket table; `inode` names the socket on the whole node."""

    local: str
    port: int
    remote: str
    remote_port: int
    state: str
    inode: int


class Opened(NamedTuple):
    """Flows that were open before the window, connections left out, and pods or processes not read; by reason."""

    flows: list[Flow]
    left_out: dict[str, int]
    not_read: dict[str, int]


class Recent(NamedTuple):
    """Connections made during the scan, `(local, port, remote, port)`; `full`: some of them are not in it."""

    connections: set[tuple[str, int, str, int]]
    full: bool = False


@functools.lru_cache(maxsize=65536)
def hex_address(digits: str) -> str:
    """Return the canonical text of 8 or 32 hexadecimal digits (32-bit words in the machine's byte order)."""
    words = struct.pack(f"={len(digits) // 8}I", *(int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)))
    return address_text(words if len(words) == 16 else MAPPED_PREFIX + words)


def parse_socket(row: str) -> Socket | None:
    """Return a listening or established socket; None for the header, other states and rows of another form."""
    fields = row.split(None, 10)
    if len(fields) < 10 or fields[3] not in (ESTABLISHED, LISTEN):
        return None
    try:
        (local, port), (remote, remote_port) = fields[1].split(":"), fields[2].split(":")
        return Socket(
            hex_address(local), int(port, 16), hex_address(remote), int(remote_port, 16), fields[3], int(fields[9])
        )
    except (ValueError, struct.error):
        return None


def socket_table(folder: Path, pid: int, room: int = MOST_SOCKETS) -> tuple[list[Socket], int] | None:
    """Return the sockets of a process's network namespace, at most `room`, and how many established are beyond.

    None if there is no table: the process has ended or is a zombie, or may not be read.
    """
    found: list[Socket] = []
    beyond = tables = 0
    for name in ("tcp", "tcp6"):
        try:
            with (folder / str(pid) / "net" / name).open(encoding="ascii", errors="replace") as file:
                tables += 1
                for row in file:
                    if len(found) < room:
                        if (socket := parse_socket(row)) is not None:
                            found.append(socket)
                    else:
                        beyond += row[:160].split(None, 4)[3:4] == [ESTABLISHED]
        except OSError:
            continue
    return (found, beyond) if tables else None


def ephemeral_ports(folder: Path) -> range:
    """Return the ports that the kernel gives to clients (ip_sysctl: ip_local_port_range)."""
    try:
        first, last = map(int, (folder / "sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return EPHEMERAL
    return range(first, last + 1)


def side_of(row: Socket, listening: set[int], servers: set[tuple[str, int]], ephemeral: range) -> Side:
    """Return which end of its connection an established socket is.

    A listener on its port makes it the server's, a listener at its far end the client's. If neither is visible (a far
    end on another node, a server that stopped listening), the ports decide, if exactly one of them is ephemeral.
    """
    if row.port in listening:
        return "server"
    if (row.remote, row.remote_port) in servers:
        return "client"
    own, far = row.port in ephemeral, row.remote_port in ephemeral
    if own == far:
        return "unknown"
    return "client" if own else "server"


class NamespaceTable(NamedTuple):
    """The sockets of one network namespace, and the one pod that it belongs to; None if it is shared."""

    pod: str | None
    sockets: list[Socket]


def open_connections(
    tables: Iterable[NamespaceTable], recent: Recent, at_ns: int, ephemeral: range = EPHEMERAL
) -> tuple[list[Flow], Counter[str]]:
    """Return the flows open before the window, without `recent` ones, which were counted, and what is left out.

    Sockets of a namespace that several pods or the node's processes share have no known owner; those whose direction is
    unknown have none either. If `recent` is not whole, none of them can be distinguished from those made in the window.
    """
    tables = list(tables)
    listeners = [{row.port for row in table.sockets if row.state == LISTEN} for table in tables]
    servers = {
        (row.local, row.port)
        for table, listening in zip(tables, listeners, strict=True)
        for row in table.sockets
        if row.state == ESTABLISHED and row.port in listening
    }
    flows: Counter[tuple[str, str, str, int]] = Counter()
    left_out: Counter[str] = Counter()
    for table, listening in zip(tables, listeners, strict=True):
        for row in table.sockets:
            if row.state != ESTABLISHED or (row.local, row.port, row.remote, row.remote_port) in recent.connections:
                continue
            side = side_of(row, listening, servers, ephemeral)
            if side == "server":
                continue
            if recent.full:
                left_out[RECENT_FULL] += 1
            elif table.pod is None:
                left_out[SHARED] += 1
            elif side == "unknown":
                left_out[DIRECTION] += 1
            else:
                flows[table.pod, row.local, row.remote, row.remote_port] += 1
    found = [
        Flow(0, local, remote, port, 0, count, 0, 0, at_ns, at_ns, 0, 0, 0, opened_before=True, pod_uid=pod)
        for (pod, local, remote, port), count in sorted(flows.items())
    ]
    return found, left_out


def table_of(folder: Path, network: Network, room: int) -> tuple[list[Socket], int] | None:
    """Return the table of a namespace by the first of its processes that still shows one."""
    return next((table for pid in network.processes if (table := socket_table(folder, pid, room)) is not None), None)


def scan(
    folder: Path, recent: Callable[[], Recent], at_ns: int, clock: Callable[[], float] = time.thread_time
) -> Opened:
    """Read the open connections of every pod on the node now: each network namespace once, private ones first.

    The bound is of this thread's CPU time: on a busy machine the scan takes longer, and is as whole.
    """
    deadline = clock() + MOST_SECONDS
    processes = read_processes(folder)
    not_read, beyond = processes.not_read, Counter[str]()
    for _pod in processes.pods_without_network():
        not_read[NO_TABLE] += 1
    tables: list[NamespaceTable] = []
    room = MOST_SOCKETS
    networks = [network for network in processes.networks.values() if network.pods]
    for network in sorted(networks, key=lambda network: (network.outside, len(network.pods))):
        if clock() > deadline:
            not_read[TIME_OVER] += len(network.pods)
            continue
        table = table_of(folder, network, room)
        if table is None:
            not_read[NO_TABLE] += len(network.pods)
            continue
        sockets, more = table
        room -= len(sockets)
        beyond[TOO_MANY] += more
        shared = network.outside or len(network.pods) > 1
        tables.append(NamespaceTable(None if shared else next(iter(network.pods)), sockets))
    flows, left_out = open_connections(tables, recent(), at_ns, ephemeral_ports(folder))
    counts = left_out + beyond
    return Opened(flows, dict(sorted(counts.items())), dict(sorted(not_read.items())))
