"""Connections that were open before the window, read once from `/proc/<pid>/net/tcp` and `tcp6` of one process per pod.

proc_net_tcp(5). World-readable: needs no capability. Whether a socket is the client or the server end is decided by
listening ports, or by ephemeral port ranges if there is no listener (`side_of`).
"""

import ipaddress
import os
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from podsonar.model import Flow

ESTABLISHED, LISTEN = "01", "0A"
EPHEMERAL = range(32768, 61000)  # Linux's default

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
    """Flows that were open before the window, and how many connections were left out, by reason."""

    flows: list[Flow]
    left_out: dict[str, int]


def table_address(text: str) -> tuple[str, int]:
    """Address and port of `0100007F:1F90` or its 32-digit form (32-bit words in the machine's byte order)."""
    digits, _, port = text.partition(":")
    words = struct.pack(f"={len(digits) // 8}I", *(int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)))
    address = ipaddress.ip_address(words)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address), int(port, 16)


def sockets(rows: Iterable[str]) -> Iterator[Socket]:
    """The listening and established sockets of a table; the header and other states are passed over."""
    for row in rows:
        fields = row.split()
        if len(fields) > 9 and fields[3] in (ESTABLISHED, LISTEN):
            yield Socket(*table_address(fields[1]), *table_address(fields[2]), fields[3], int(fields[9]))


def socket_table(folder: Path, pid: int) -> list[Socket]:
    """All sockets of a process's network namespace; empty when the process is gone."""
    found: list[Socket] = []
    for name in ("tcp", "tcp6"):
        try:
            with (folder / str(pid) / "net" / name).open(encoding="ascii") as file:
                found.extend(sockets(file))
        except OSError:
            continue
    return found


def processes(folder: Path) -> Iterator[tuple[int, list[tuple[str, ...]]]]:
    """Each process with the names of its cgroups, leaf first, in each hierarchy."""
    for entry in os.scandir(folder):
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                lines = Path(entry.path, "cgroup").read_text().splitlines()
                paths = [line.split(":", 2)[2].split("/") for line in lines]
                yield int(entry.name), [tuple(name for name in reversed(path) if name) for path in paths]


def one_process_per_pod(folder: Path, pod_of: Callable[[tuple[str, ...]], str | None]) -> dict[str, int]:
    """A process id for each pod on the node, by the cgroup names of `/proc/<pid>/cgroup` (leaf first)."""
    found: dict[str, int] = {}
    for pid, hierarchies in processes(folder):
        pod = next(filter(None, map(pod_of, hierarchies)), None)
        if pod is not None:
            found.setdefault(pod, pid)
    return found


def network_namespace(folder: Path, pid: int) -> int:
    """A number for the network namespace of a process, 0 when it is gone.

    The inode of its socket table: procfs makes that file once a namespace, and unlike `ns/net` anyone may look at it.
    """
    try:
        return (folder / str(pid) / "net" / "tcp").stat().st_ino
    except OSError:
        return 0


def host_process_by_netns(
    folder: Path, pod_of: Callable[[tuple[str, ...]], str | None], namespaces: Collection[int]
) -> dict[int, int]:
    """Return a process outside every pod for each of those network namespaces that has one, above all the node's own.

    Process 1 is not enough: `/proc` may show a machine that holds several nodes.
    """
    found: dict[int, int] = {}
    for pid, names in processes(folder):
        namespace = network_namespace(folder, pid)
        if namespace in namespaces and namespace not in found and not any(map(pod_of, names)):
            found[namespace] = pid
    return found


def ephemeral_ports(folder: Path) -> range:
    """The ports that the kernel gives to clients (ip_sysctl: ip_local_port_range)."""
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


def open_connections(
    tables: dict[str, list[Socket]],
    node_table: list[Socket],
    recent: set[tuple[str, int, str, int]],
    at_ns: int,
    ephemeral: range = EPHEMERAL,
) -> Opened:
    """Return the flows open before the window, from each pod's socket table, without those in `recent`, which were
    counted.

    A socket that more than one table shows belongs to a shared network namespace, such as the node's, and has no known
    owner. Such sockets are left out and counted, and so are those whose direction is unknown.
    """
    seen_in = Counter(row.inode for table in tables.values() for row in table)
    on_node = {row.inode for row in node_table}
    listeners = {pod: {row.port for row in table if row.state == LISTEN} for pod, table in tables.items()}
    servers = {
        (row.local, row.port)
        for pod, table in tables.items()
        for row in table
        if row.state == ESTABLISHED and row.port in listeners[pod]
    }
    flows: Counter[tuple[str, str, str, int]] = Counter()
    left_out: dict[int, str] = {}
    for pod, table in tables.items():
        for row in table:
            if row.state != ESTABLISHED or (row.local, row.port, row.remote, row.remote_port) in recent:
                continue
            side = side_of(row, listeners[pod], servers, ephemeral)
            if side == "server":
                continue
            if row.inode in on_node or seen_in[row.inode] > 1:
                left_out[row.inode] = "shared_namespace"
            elif side == "unknown":
                left_out[row.inode] = "direction_unknown"
            else:
                flows[pod, row.local, row.remote, row.remote_port] += 1
    found = [
        Flow(0, local, remote, port, 0, count, 0, 0, at_ns, at_ns, 0, 0, 0, opened_before=True, pod_uid=pod)
        for (pod, local, remote, port), count in sorted(flows.items())
    ]
    return Opened(found, dict(sorted(Counter(left_out.values()).items())))


def scan(
    folder: Path,
    pod_of: Callable[[tuple[str, ...]], str | None],
    recent: Callable[[], set[tuple[str, int, str, int]]],
    at_ns: int,
) -> Opened:
    """Read the open connections of every pod on the node now."""
    pods = one_process_per_pod(folder, pod_of)
    namespaces = {network_namespace(folder, pid) for pid in pods.values()} - {0}
    others = {1, *host_process_by_netns(folder, pod_of, namespaces).values()}
    tables = {pod: socket_table(folder, pid) for pod, pid in pods.items()}
    node_table = [row for pid in others for row in socket_table(folder, pid)]
    return open_connections(tables, node_table, recent(), at_ns, ephemeral_ports(folder))
