"""What a directory knows, as a value that can be written and read: everything but the selection.

A typed document (MessagePack): whatever does not have its shape is refused with `ValueError`, as a whole.
"""

from collections.abc import Hashable

import msgspec

from discovery.claims import Claims
from discovery.directory import Directory, Owner
from discovery.ledger import Service
from discovery.tenures import Owner as Key
from discovery.tenures import Tenure

VERSION = 1
Claimed = int | bytes | tuple[str, int]
CLAIMS = ("service_addresses", "service_ports", "node_addresses", "node_ports", "outside")


class State(msgspec.Struct):
    """A directory at a moment; numbers of 128 bits are 16 bytes."""

    version: int
    saved_ns: int
    through_ns: dict[str, int]
    pods: list[tuple[bytes | str, bytes]]
    shared: list[str | tuple[str, str, str] | None]
    static_pods: dict[str, str]
    services: list[tuple[str, str, str]]
    nodes: dict[str, str]
    owners: list[tuple[str, str, str, str, str | None]]
    claims: dict[str, list[tuple[bytes | str, int, str, int, int, int, int]]]
    ranges: list[tuple[int, list[bytes]]]
    near: list[tuple[int, list[bytes]]]
    gone: list[tuple[str, str, int]]
    released: dict[str, int]
    blind: list[tuple[int, int]]


def sixteen(number: int) -> bytes:
    """A number of 128 bits."""
    return number.to_bytes(16, "big")


def number(text: bytes) -> int:
    """The number in 16 bytes."""
    return int.from_bytes(text, "big")


def claim_rows(claims: Claims) -> list[tuple[bytes | str, int, str, int, int, int, int]]:
    """Every tenure: an address or a port of nobody as 16 bytes, a service's port as its UID and the port."""
    rows: list[tuple[bytes | str, int, str, int, int, int, int]] = []
    for claimed, tenures in claims.table.items():
        text, port = (claimed[0], claimed[1]) if isinstance(claimed, tuple) else (sixteen(int(str(claimed))), 0)
        rows += [(text, port, str(one.owner), *one[1:]) for one in tenures]
    return rows


def claims_of(rows: list[tuple[bytes | str, int, str, int, int, int, int]]) -> Claims:
    """The claims of their rows."""
    claims = Claims()
    for text, port, owner, *times in rows:
        claimed: Hashable = (text, port) if isinstance(text, str) else number(text)
        claims.table.setdefault(claimed, []).append(Tenure(owner, *times))
        claims.held.setdefault(owner, set()).add(claimed)
    return claims


def state_of(directory: Directory, through_ns: dict[str, int], saved_ns: int) -> State:
    """All that the directory knows now."""
    pods = directory.pods
    ranges, near = (
        [(bits, [sixteen(one) for one in prefixes]) for bits, prefixes in table.by_shift.items()]
        for table in (directory.ranges, directory.near)
    )
    return State(
        version=VERSION,
        saved_ns=saved_ns,
        through_ns=through_ns,
        pods=[(key if isinstance(key, str) else sixteen(key), record) for key, record in pods.records.items()],
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
    )


def encode(state: State) -> bytes:
    """The bytes of a state."""
    return msgspec.msgpack.encode(state)


def decode(content: bytes) -> State:
    """The state in some bytes; ValueError where they are not one, in every part."""
    try:
        state = msgspec.msgpack.decode(content, type=State)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    if state.version != VERSION:
        raise ValueError(f"version {state.version}, expected {VERSION}")
    restore(Directory(), state)
    return state


def restore(directory: Directory, state: State) -> None:
    """Give an empty directory what a state knows; ValueError where a record is not one."""
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


def key_of(key: bytes | str) -> Key:
    """A pod's key of its written form."""
    return key if isinstance(key, str) else number(key)
