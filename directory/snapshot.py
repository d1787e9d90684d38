"""What a directory knows, as a value that can be written and read: everything but the selection.

A typed document (MessagePack): whatever does not have its shape is refused with `ValueError`, as a whole.
"""

from collections.abc import Hashable
from typing import NamedTuple

import msgspec

from directory.cluster_state import Service
from directory.interval import Interval, OwnerKey
from directory.interval_table import IntervalTable
from directory.lookup import Directory
from podsonar.owner_chain import Controller, ControllerReference

VERSION = 2
Row = tuple[bytes, int, str, int, int, int, int]  # what is claimed, its port, the owner, the four times
CLAIMS = ("service_addresses", "service_ports", "node_addresses", "node_ports", "external_endpoints")


class State(msgspec.Struct):
    """A directory at a moment; keys are bytes."""

    version: int
    saved_ns: int
    through_ns: dict[str, int]
    pods: list[tuple[bytes, bytes]]
    shared: list[str | ControllerReference | None]
    static_pods: dict[str, str]
    services: list[tuple[str, str, str]]
    nodes: dict[str, str]
    controllers: list[Controller]
    claims: dict[str, list[Row]]
    ranges: list[tuple[int, list[bytes]]]
    public_neighbourhoods: list[tuple[int, list[bytes]]]
    deleted_at: list[tuple[str, str, int]]
    released_at: dict[str, int]
    unwatched: list[tuple[int, int]]
    slices: dict[str, str] = {}


class RestoredDirectory(NamedTuple):
    """A directory as it was, until when everything about each kind was known, and when it was saved."""

    directory: Directory
    through_ns: dict[str, int]
    saved_ns: int


def key_bytes(key: OwnerKey) -> bytes:
    """A key in bytes: `#` and 16 bytes of a number, or `=` and a text."""
    return b"=" + key.encode() if isinstance(key, str) else b"#" + key.to_bytes(16, "big")


def key_of(content: bytes) -> OwnerKey:
    """The key of its bytes."""
    return content[1:].decode() if content.startswith(b"=") else number_of(content)


def number_of(content: bytes) -> int:
    """The number of its bytes; ValueError where they are a text's."""
    if len(content) != 17 or not content.startswith(b"#"):
        raise ValueError(f"{content[:20]!r} is not a number of 128 bits")
    return int.from_bytes(content[1:], "big")


def interval_rows(claims: IntervalTable) -> list[Row]:
    """Every interval; a service's port is claimed by its UID and the port, all else by a number."""
    rows: list[Row] = []
    for claimed, intervals in claims.table.items():
        key, port = claimed if isinstance(claimed, tuple) else (claimed, 0)
        rows += [(key_bytes(key), port, str(one.owner), *one[1:]) for one in intervals]
    return rows


def interval_table_of(rows: list[Row]) -> IntervalTable:
    """The claims of their rows."""
    claims = IntervalTable()
    for content, port, owner, *times in rows:
        key = key_of(content)
        claimed: Hashable = (key, port) if isinstance(key, str) else key
        claims.table.setdefault(claimed, []).append(Interval(owner, *times))
        claims.claimed_by.setdefault(owner, set()).add(claimed)
    return claims


def state_of(directory: Directory, through_ns: dict[str, int], saved_ns: int) -> State:
    """All that the directory knows now."""
    pods = directory.pods
    ranges, neighbourhoods = (
        [(bits, [key_bytes(one) for one in prefixes]) for bits, prefixes in table.by_shift.items()]
        for table in (directory.ranges, directory.public_neighbourhoods)
    )
    return State(
        version=VERSION,
        saved_ns=saved_ns,
        through_ns=through_ns,
        pods=[(key_bytes(key), record) for key, record in pods.records.items()],
        shared=list(pods.shared.values),
        static_pods=dict(directory.static_pods),
        services=[(one.uid, one.namespace, one.name) for one in directory.services.values()],
        nodes=dict(directory.nodes),
        controllers=list(directory.controllers.values()),
        claims={name: interval_rows(getattr(directory, name)) for name in CLAIMS},
        ranges=ranges,
        public_neighbourhoods=neighbourhoods,
        deleted_at=[(kind, uid, at_ns) for (kind, uid), at_ns in directory.deleted_at.items()],
        released_at=dict(directory.released_at),
        unwatched=list(directory.unwatched),
        slices=dict(directory.slices),
    )


def encode(state: State) -> bytes:
    """The bytes of a state."""
    return msgspec.msgpack.encode(state)


def decode(content: bytes) -> RestoredDirectory:
    """The directory in some bytes; ValueError where they are not one, in every part."""
    try:
        state = msgspec.msgpack.decode(content, type=State)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    if state.version != VERSION:
        raise ValueError(f"version {state.version}, expected {VERSION}")
    return RestoredDirectory(directory_of(state), state.through_ns, state.saved_ns)


def directory_of(state: State) -> Directory:
    """The directory that knows what a state says; ValueError where a record is not one."""
    directory = Directory()
    directory.pods.load([(key_of(key), record) for key, record in state.pods], state.shared)
    directory.static_pods = dict(state.static_pods)
    directory.services = {uid: Service(uid, namespace, name) for uid, namespace, name in state.services}
    directory.nodes = dict(state.nodes)
    directory.controllers = {one.uid: one for one in state.controllers}
    for name in CLAIMS:
        setattr(directory, name, interval_table_of(state.claims.get(name, [])))
    for table, rows in (
        (directory.ranges, state.ranges),
        (directory.public_neighbourhoods, state.public_neighbourhoods),
    ):
        table.by_shift = {bits: {number_of(one) for one in prefixes} for bits, prefixes in rows}
    directory.deleted_at = {(kind, uid): at_ns for kind, uid, at_ns in state.deleted_at}
    directory.released_at = dict(state.released_at)
    directory.unwatched = list(state.unwatched)
    directory.slices = dict(state.slices)
    return directory
