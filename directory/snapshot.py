"""What a directory knows, as a value that can be written and read: everything but the selection.

A typed document (MessagePack): whatever does not have its shape is refused with `ValueError`, as a whole.
"""

from collections.abc import Hashable
from typing import NamedTuple

import msgspec

from directory.cluster_state import Service
from directory.interval import Interval
from directory.interval import Owner as Key
from directory.interval_table import IntervalTable
from directory.lookup import Directory, Owner

VERSION = 1
Row = tuple[bytes, int, str, int, int, int, int]  # what is claimed, its port, the owner, the four times
CLAIMS = ("service_addresses", "service_ports", "node_addresses", "node_ports", "outside")


class State(msgspec.Struct):
    """A directory at a moment; keys are bytes."""

    version: int
    saved_ns: int
    through_ns: dict[str, int]
    pods: list[tuple[bytes, bytes]]
    shared: list[str | tuple[str, str, str] | None]
    static_pods: dict[str, str]
    services: list[tuple[str, str, str]]
    nodes: dict[str, str]
    owners: list[tuple[str, str, str, str, str | None]]
    claims: dict[str, list[Row]]
    ranges: list[tuple[int, list[bytes]]]
    near: list[tuple[int, list[bytes]]]
    gone: list[tuple[str, str, int]]
    released: dict[str, int]
    blind: list[tuple[int, int]]
    slices: dict[str, str] = {}


class RestoredDirectory(NamedTuple):
    """A directory as it was, until when everything about each kind was known, and when it was saved."""

    directory: Directory
    through_ns: dict[str, int]
    saved_ns: int


def written(key: Key) -> bytes:
    """A key in bytes: `#` and 16 bytes of a number, or `=` and a text."""
    return b"=" + key.encode() if isinstance(key, str) else b"#" + key.to_bytes(16, "big")


def key_of(content: bytes) -> Key:
    """The key of its bytes."""
    return content[1:].decode() if content.startswith(b"=") else number(content)


def number(content: bytes) -> int:
    """The number of its bytes; ValueError where they are a text's."""
    if len(content) != 17 or not content.startswith(b"#"):
        raise ValueError(f"{content[:20]!r} is not a number of 128 bits")
    return int.from_bytes(content[1:], "big")


def claim_rows(claims: IntervalTable) -> list[Row]:
    """Every tenure; a service's port is claimed by its UID and the port, all else by a number."""
    rows: list[Row] = []
    for claimed, tenures in claims.table.items():
        key, port = claimed if isinstance(claimed, tuple) else (claimed, 0)
        rows += [(written(key), port, str(one.owner), *one[1:]) for one in tenures]
    return rows


def claims_of(rows: list[Row]) -> IntervalTable:
    """The claims of their rows."""
    claims = IntervalTable()
    for content, port, owner, *times in rows:
        key = key_of(content)
        claimed: Hashable = (key, port) if isinstance(key, str) else key
        claims.table.setdefault(claimed, []).append(Interval(owner, *times))
        claims.held.setdefault(owner, set()).add(claimed)
    return claims


def state_of(directory: Directory, through_ns: dict[str, int], saved_ns: int) -> State:
    """All that the directory knows now."""
    pods = directory.pods
    ranges, near = (
        [(bits, [written(one) for one in prefixes]) for bits, prefixes in table.by_shift.items()]
        for table in (directory.ranges, directory.near)
    )
    return State(
        version=VERSION,
        saved_ns=saved_ns,
        through_ns=through_ns,
        pods=[(written(key), record) for key, record in pods.records.items()],
        shared=list(pods.shared.values),
        static_pods=dict(directory.static_pods),
        services=[(one.uid, one.namespace, one.name) for one in directory.services.values()],
        nodes=dict(directory.nodes),
        owners=[(one.kind, one.namespace, one.name, one.uid, one.parent) for one in directory.owners.values()],
        claims={name: claim_rows(getattr(directory, name)) for name in CLAIMS},
        ranges=ranges,
        near=near,
        gone=[(kind, uid, at_ns) for (kind, uid), at_ns in directory.gone.items()],
        released=dict(directory.released),
        blind=list(directory.blind),
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
    directory.owners = {row[3]: Owner(*row) for row in state.owners}
    for name in CLAIMS:
        setattr(directory, name, claims_of(state.claims.get(name, [])))
    for table, rows in ((directory.ranges, state.ranges), (directory.near, state.near)):
        table.by_shift = {bits: {number(one) for one in prefixes} for bits, prefixes in rows}
    directory.gone = {(kind, uid): at_ns for kind, uid, at_ns in state.gone}
    directory.released = dict(state.released)
    directory.blind = list(state.blind)
    directory.slices = dict(state.slices)
    return directory
