"""A push's body, decoded into the schema's types only: a ConnectionsBatch or InventoryPart; BadBodyError says where.

Unknown fields are ignored. What is stored of a connection is the record as it came, so that later readers find fields
that this version does not know.
"""

import re
from typing import Annotated, Any

import msgspec
import orjson

from directory.inventory_snapshots import LIST_KINDS
from manager.schema.gunzip import BadBodyError
from podsonar.errors import InputError
from podsonar.model import NS_PER_SECOND, Window, parse_rfc3339

MAX_DEPTH = 32
MAX_MEMBERS = 1000
LATEST_NS = 7_258_118_400 * NS_PER_SECOND  # 2200
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
SQUARE = bytes.maketrans(b"{}", b"[]")

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
REASON = 300  # characters
Text = Annotated[str, msgspec.Meta(max_length=4096)]
Name = Annotated[str, msgspec.Meta(max_length=316)]
Port = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,5}$")]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

# Body list -> Kubernetes kind: one row a kind.
INVENTORY_LISTS = {"namespaceList": "Namespace", **LIST_KINDS}


class ObjectReference(msgspec.Struct, frozen=True):
    """Which Kubernetes object; names may be missing where only a UID was known."""

    uid: Name
    kind: Name = ""
    namespace: Name | None = None
    name: Name | None = None


class ConnectionEnds(msgspec.Struct, frozen=True, rename="camel"):
    """The Kubernetes side of a connection: `database.ConnectionKubernetesSpec`."""

    source_pod: ObjectReference
    destination_service: ObjectReference | None = None
    destination_pod: ObjectReference | None = None


class Destination(msgspec.Struct, frozen=True):
    """What the directory said about the destination, and why where it is not a plain owner."""

    kind: Name
    reason: Text | None = None
    name: Name | None = None


class ConnectionRecord(msgspec.Struct, frozen=True):
    """One flow with its pod: `database.ConnectionSpec` and the counts."""

    source_ip: Address = msgspec.field(name="sourceIP")
    destination_ip: Address = msgspec.field(name="destinationIP")
    destination_port: Port = msgspec.field(name="destinationPort")
    kubernetes: ConnectionEnds
    destination: Destination | None = None
    type: Name = "TCP"
    attempts: Count = 0
    established: Count = 0
    failed: Count = 0
    last_errno: int | None = msgspec.field(name="lastErrno", default=None)
    opened_before: bool = msgspec.field(name="openedBefore", default=False)


class AcceptedRecord(msgspec.Struct, frozen=True):
    """The other end: what one pod's listener accepted from one remote address."""

    pod: ObjectReference
    local_ip: Address = msgspec.field(name="localIP")
    local_port: int | Port = msgspec.field(name="localPort")
    remote_ip: Address = msgspec.field(name="remoteIP")
    accepted: Count
    opened_before: bool = msgspec.field(name="openedBefore", default=False)


class ConnectionsBatch(msgspec.Struct, frozen=True):
    """A node's window: `connections` and `accepted` are the records as they came, already checked."""

    window: Window
    node_name: str
    observation: dict[str, Any]
    connections: list[dict[str, Any]]
    accepted: list[dict[str, Any]]


class InventoryPart(msgspec.Struct, frozen=True):
    """One part of an inventory; `objects` by kind, `complete` says which kinds are whole, `reasons` why not."""

    window: Window
    namespace: str
    id: str
    sequence: int
    part: int
    parts: int
    complete: dict[str, bool]
    reasons: dict[str, str]
    objects: dict[str, list[dict[str, Any]]]


class Metadata(msgspec.Struct, frozen=True):
    """What names an object; lengths are those that the API server allows."""

    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    namespace: Annotated[str, msgspec.Meta(max_length=63)] | None = None


class WindowWire(msgspec.Struct):
    """Times of a window as text."""

    start: Text
    end: Text


class KindWire(msgspec.Struct):
    """Whether a kind was listed whole, and why not."""

    complete: bool = False
    reason: str | None = None  # of any length: no inventory is refused for what it says of its own gaps


class InventoryWire(msgspec.Struct):
    """The `inventory` member of an inventory body."""

    id: Name
    sequence: Count
    part: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    parts: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    kinds: dict[str, KindWire] = {}


def convert(value: object, wanted: Any, place: str) -> Any:  # noqa: ANN401 - the type is the argument's
    """`value` as `wanted`; BadBodyError names the place and what was expected, never the value."""
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        inner = path.rstrip("`").removeprefix("$").replace("[", "/").replace("]", "").replace(".", "/")
        raise BadBodyError(text, place + inner) from error


def check_depth(raw: bytes) -> None:
    """BadBodyError if arrays and objects nest deeper than 32; every round takes the innermost level away."""
    # Only whole-buffer passes: a loop or regular expression over the text takes ten times as long. Two quotes side by
    # side open and close (or close and open) nothing, so that they go; then every other piece is inside a string.
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(SQUARE, NOT_STRUCTURE).replace(b'""', b"")
    brackets = b"".join(plain.split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise BadBodyError(f"JSON nests deeper than {MAX_DEPTH} or its brackets do not match")


def decode(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`."""
    if b"\\u0000" in raw and NUL.search(raw):
        raise BadBodyError("JSON holds a NUL character")
    check_depth(raw)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadBodyError("body is not valid JSON in UTF-8") from error
    if not isinstance(body, dict):
        raise BadBodyError("body is not a JSON object")
    if len(body) > MAX_MEMBERS:
        raise BadBodyError(f"body has more than {MAX_MEMBERS} members")
    return body


def read_window(body: dict[str, Any]) -> Window:
    """The window of a body; its end is after its start."""
    wire = convert(body.get("window"), WindowWire, "/window")
    try:
        window = Window(parse_rfc3339(wire.start), parse_rfc3339(wire.end))
    except InputError as error:
        raise BadBodyError("expected RFC 3339 times such as 2026-11-24T10:15:00Z", "/window") from error
    if not all(0 <= time_ns < LATEST_NS for time_ns in (window.start_ns, window.end_ns)):
        raise BadBodyError("expected times between 1970 and 2200", "/window")
    if window.end_ns <= window.start_ns:
        raise BadBodyError("the window's end is not after its start", "/window")
    return window


def read_batch(body: dict[str, Any]) -> ConnectionsBatch | InventoryPart:
    """The batch in a body: an inventory part if it says `inventory`, connections otherwise."""
    if "inventory" in body:
        return read_inventory(body)
    connections, accepted = body.get("connectionList"), body.get("acceptedList") or []
    convert(connections, list[ConnectionRecord], "/connectionList")
    convert(accepted, list[AcceptedRecord], "/acceptedList")
    return ConnectionsBatch(
        window=read_window(body),
        node_name=convert(body.get("nodeName"), Name, "/nodeName"),
        observation=convert(body.get("observation") or {}, dict[str, Any], "/observation"),
        connections=connections or [],
        accepted=accepted,
    )


def read_inventory(body: dict[str, Any]) -> InventoryPart:
    """The inventory part in a body; every object has a name and a UID."""
    head: InventoryWire = convert(body["inventory"], InventoryWire, "/inventory")
    if head.part > head.parts:
        raise BadBodyError(f"part {head.part} of {head.parts}", "/inventory/part")
    objects: dict[str, list[dict[str, Any]]] = {}
    for key, kind in INVENTORY_LISTS.items():
        items: list[dict[str, Any]] = convert(body.get(key) or [], list[dict[str, Any]], f"/{key}")
        for place, item in enumerate(items):
            convert(item.get("metadata"), Metadata, f"/{key}/{place}/metadata")
        objects[kind] = items
    return InventoryPart(
        window=read_window(body),
        namespace=convert(body.get("namespace") or "", Name, "/namespace"),
        id=head.id,
        sequence=head.sequence,
        part=head.part,
        parts=head.parts,
        complete={kind: wire.complete for kind, wire in head.kinds.items()},
        reasons={kind: (wire.reason or "")[:REASON] for kind, wire in head.kinds.items() if not wire.complete},
        objects=objects,
    )
