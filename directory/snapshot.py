"""What a directory knows, as a value that can be written and read: all but the settings and what is incomplete now.

A typed document (MessagePack): content of another shape is refused as a whole, with `ValueError`.
"""

from collections.abc import Hashable
from typing import NamedTuple

import msgspec

from directory.cluster_state import Service
from directory.interval import Interval, OwnerKey
from directory.interval_table import IntervalTable
from directory.lookup import Directory
from directory.pods.host_ports import HostPort, HostPorts
from podsonar.owner_chain import Controller, ControllerReference

VERSION = 2
Row = tuple[bytes, int, str, int, int, int, int]  # address or service, its port, the owner, the four times
TABLES = ("cluster_ips", "published_ips", "service_ports", "node_addresses", "node_ports", "slice_addresses")
HostPortRow = tuple[str, str, list[tuple[int, bytes | None]]]  # pod, node, (port, address)


class State(msgspec.Struct):
    """A directory at a moment; keys are bytes."""

    version: int
    saved_ns: int
    through_ns: dict[str, int]
    pods: list[tuple[bytes, bytes]]
    shared: list[str | ControllerReference | None]
    static_pods: list[tuple[str, str, str]]  # node, hash, UID
    host_ports: list[HostPortRow]
    services: list[tuple[str, str, str]]
    nodes: dict[str, str]
    controllers: list[Controller]
    tables: dict[str, list[Row]]
    ranges: list[tuple[int, list[bytes]]]
    public_neighbourhoods: list[tuple[int, list[bytes]]]
    deleted_at: list[tuple[str, str, int]]
    released_at: dict[str, int]
    unwatched: dict[str, list[tuple[int, int]]]
    slices: dict[str, str]


class RestoredDirectory(NamedTuple):
    """A directory as it was, until when everything about each kind was known, and when it was saved."""

    directory: Directory
    through_ns: dict[str, int]
    saved_ns: int


def key_bytes(key: OwnerKey) -> bytes:
    """Return a key in bytes: `#` and 16 bytes of a number, or `=` and a text."""
    return b"=" + key.encode() if isinstance(key, str) else b"#" + key.to_bytes(16, "big")


def key_of(content: bytes) -> OwnerKey:
    """Return the key of its bytes."""
    return content[1:].decode() if content.startswith(b"=") else number_of(content)


def number_of(content: bytes) -> int:
    """Return the number of its bytes; ValueError if they are a text's."""
    if len(content) != 17 or not content.startswith(b"#"):
        raise ValueError(f"{content[:20]!r} is not a number of 128 bits")
    return int.from_bytes(content[1:], "big")


def interval_rows(table: IntervalTable) -> list[Row]:
    """Return every interval; a service's port is named by its UID and the port, all else by a number."""
    rows: list[Row] = []
    for claimed, intervals in table.table.items():
        key, port = claimed if isinstance(claimed, tuple) else (claimed, 0)
        rows += [(key_bytes(key), port, str(interval.owner), *interval[1:]) for interval in intervals]
    return rows


def interval_table_of(rows: list[Row]) -> IntervalTable:
    """Return the table of its rows."""
    table = IntervalTable()
    for content, port, owner, *times in rows:
        key = key_of(content)
        claimed: Hashable = (key, port) if isinstance(key, str) else key
        table.table.setdefault(claimed, []).append(Interval(owner, *times))
        table.claimed_by.setdefault(owner, set()).add(claimed)
    return table


def host_port_rows(host_ports: HostPorts) -> list[HostPortRow]:
    """Return the host ports of every pod that has any."""
    return [
        (
            uid,
            node,
            [(port, None if address is None else key_bytes(address)) for port, address in sorted(opened, key=str)],
        )
        for uid, (node, opened) in host_ports.by_pod.items()
    ]


def state_of(directory: Directory, through_ns: dict[str, int], saved_ns: int) -> State:
    """Return all that the directory knows now."""
    pods = directory.pods
    ranges, neighbourhoods = (
        [(bits, [key_bytes(prefix) for prefix in prefixes]) for bits, prefixes in table.by_shift.items()]
        for table in (directory.ranges, directory.public_neighbourhoods)
    )
    static_pods = directory.static_pods.claims.items()
    return State(
        version=VERSION,
        saved_ns=saved_ns,
        through_ns=through_ns,
        pods=[(key_bytes(key), record) for key, record in pods.records.items()],
        shared=list(pods.shared.values),
        static_pods=[(node, config_hash, uid) for (node, config_hash), uids in static_pods for uid in sorted(uids)],
        host_ports=host_port_rows(directory.host_ports),
        services=[(service.uid, service.namespace, service.name) for service in directory.services.values()],
        nodes=dict(directory.nodes),
        controllers=list(directory.controllers.values()),
        tables={name: interval_rows(getattr(directory, name)) for name in TABLES},
        ranges=ranges,
        public_neighbourhoods=neighbourhoods,
        deleted_at=[(kind, uid, at_ns) for (kind, uid), at_ns in directory.deleted_at.items()],
        released_at=dict(directory.released_at),
        unwatched={kind: list(times) for kind, times in directory.unwatched.items()},
        slices=dict(directory.slices),
    )


def encode(state: State) -> bytes:
    """Return the bytes of a state."""
    return msgspec.msgpack.encode(state)


def decode(content: bytes) -> RestoredDirectory:
    """Return the directory in some bytes; ValueError unless they are one, in every part."""
    try:
        state = msgspec.msgpack.decode(content, type=State)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    if state.version != VERSION:
        raise ValueError(f"version {state.version}, expected {VERSION}")
    return RestoredDirectory(directory_of(state), state.through_ns, state.saved_ns)


def directory_of(state: State) -> Directory:
    """Return the directory of a state; ValueError if a record is not one."""
    directory = Directory()
    directory.pods.load([(key_of(key), record) for key, record in state.pods], state.shared)
    for node, config_hash, uid in state.static_pods:
        directory.static_pods.put(node, config_hash, uid)
    for uid, node, opened in state.host_ports:
        ports = (HostPort(port, None if address is None else number_of(address)) for port, address in opened)
        directory.host_ports.put(uid, node, ports)
    directory.services = {uid: Service(uid, namespace, name) for uid, namespace, name in state.services}
    directory.nodes = dict(state.nodes)
    directory.controllers = {controller.uid: controller for controller in state.controllers}
    for name in TABLES:
        setattr(directory, name, interval_table_of(state.tables.get(name, [])))
    restored = (
        (directory.ranges, state.ranges),
        (directory.public_neighbourhoods, state.public_neighbourhoods),
    )
    for table, rows in restored:
        table.by_shift = {bits: {number_of(prefix) for prefix in prefixes} for bits, prefixes in rows}
    directory.deleted_at = {(kind, uid): at_ns for kind, uid, at_ns in state.deleted_at}
    directory.released_at = dict(state.released_at)
    directory.unwatched = {kind: list(times) for kind, times in state.unwatched.items()}
    directory.slices = dict(state.slices)
    return directory
