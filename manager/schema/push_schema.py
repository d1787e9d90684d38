"""A push's body, decoded into the schema's types only: a ConnectionsBatch or InventoryPart; BadBodyError says where.

Members that the schema does not know are skipped and never built. What a body holds is bounded before anything is built
of it: by bytes, by the number of JSON objects, and by the number of records. An object of an inventory that does not
fit is rejected alone, and a member of it that has another type than its kind gives it is left out; both are counted.
"""

from itertools import accumulate
from typing import Annotated, Any

import msgspec
import orjson

from directory.inventory_snapshots import LIST_KINDS
from manager.schema.gunzip import BadBodyError, TooLargeError
from manager.schema.object_fields import clean_object
from manager.schema.observation import clean_observation
from manager.schema.pod_cgroups import pack_pod_cgroups, read_pod_cgroups
from manager.schema.records import ACCEPTED, LISTED, Count, Name, Records, Text, pack_records, schema_error
from podsonar.clean_text import clean_json
from podsonar.errors import InputError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from podsonar.window_orders import PurposeWire

MAX_DEPTH = 32
MAX_ITEMS = 100_000  # a node may send a full flow table in one body
MAX_VALUES = 1_000_000  # JSON objects and lists; a connection record has six
MAX_COMMAS = 250_000  # up to these, lists are short enough to be taken apart uncounted
OBJECT_BYTES = 2 << 20  # etcd takes 1.5 MiB
OBSERVATION_BYTES = 64 << 10
LATEST_NS = 7_258_118_400 * NS_PER_SECOND  # 2200
MAX_KINDS = 64
KIND, REASON = 63, 300  # characters
NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\x00\x00")

# Body list -> Kubernetes kind: one row per kind.
INVENTORY_LISTS = {"namespaceList": "Namespace", **LIST_KINDS}

NO_COUNTS, ABSENT = msgspec.Raw(b"{}"), msgspec.Raw(b"")

Part = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class Rejected(msgspec.Struct):
    """The parts of a batch that were not stored as they came, by reason."""

    objects: dict[str, int] = {}
    members: int = 0
    characters: int = 0


class ConnectionsBatch(msgspec.Struct, frozen=True):
    """A node's window: `connections` and `accepted` are checked records in blocks; `pod_cgroups` as it is stored."""

    window: Window
    node_name: str
    observation: dict[str, Any]
    connections: Records
    accepted: Records
    pod_cgroups: bytes | None
    rejected: Rejected


class InventoryPart(msgspec.Struct, frozen=True):
    """One part of an inventory; `objects` by kind, `complete`: the complete kinds, `reasons`: why others are not."""

    window: Window
    namespace: str
    id: str
    sequence: int
    part: int
    parts: int
    complete: dict[str, bool]
    reasons: dict[str, str]
    objects: dict[str, list[dict[str, Any]]]
    rejected: Rejected


class RequiredIdentity(msgspec.Struct, frozen=True):
    """The fields that identify an object; lengths are those that the API server allows."""

    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    namespace: Annotated[str, msgspec.Meta(max_length=63)] | None = None


class WindowWire(msgspec.Struct):
    """Times of a window as text, and what it was ordered for."""

    start: Text
    end: Text
    purpose: PurposeWire | None = None


class KindWire(msgspec.Struct):
    """Whether a kind was listed whole, and why not."""

    complete: bool = False
    reason: str | None = None  # of any length: no inventory is refused for the words about its own gaps


class InventoryWire(msgspec.Struct):
    """The `inventory` member of an inventory body."""

    id: Name
    sequence: Count
    part: Part
    parts: Part
    kinds: dict[str, KindWire] = {}


class AnyObject(msgspec.Struct, gc=False):
    """A JSON object of which nothing is built."""


def body_type(name: str, item: type) -> type[msgspec.Struct]:
    """The members of a push, each list of `item`."""
    lists: list[Any] = [
        (key, list[item] | None, msgspec.field(default=None))  # type: ignore[valid-type]
        for key in ("connectionList", "acceptedList", *INVENTORY_LISTS)
    ]
    members: list[Any] = [
        ("window", WindowWire),
        ("schemaVersion", int | str | None, msgspec.field(default=None)),
        ("nodeName", Name | msgspec.UnsetType, msgspec.field(default=msgspec.UNSET)),
        ("observation", msgspec.Raw, msgspec.field(default=NO_COUNTS)),
        ("podCgroups", msgspec.Raw, msgspec.field(default=ABSENT)),
        ("namespace", Name | None, msgspec.field(default=None)),
        ("inventory", InventoryWire | msgspec.UnsetType, msgspec.field(default=msgspec.UNSET)),
    ]
    return msgspec.defstruct(name, members + lists)


BODY = msgspec.json.Decoder(body_type("Body", msgspec.Raw))
COUNTED_BODY = msgspec.json.Decoder(body_type("CountedBody", AnyObject))


def check_depth(raw: bytes | bytearray) -> None:
    """BadBodyError if arrays and objects nest deeper than 32."""
    # Whole-buffer passes: a loop over the text takes ten times as long. Two quotes side by side open and close (or
    # close and open) nothing; without them, every other piece is inside a string.
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, NOT_STRUCTURE).replace(b'""', b"")
    brackets = b"".join(plain.split(b'"')[::2]).translate(STEPS)
    depth = max(accumulate(brackets, lambda depth, step: depth + step - 1, initial=0))
    if depth > MAX_DEPTH:
        raise BadBodyError(f"JSON nests deeper than {MAX_DEPTH}")


def decode_body(decoder: msgspec.json.Decoder[Any], raw: bytes | bytearray) -> Any:  # noqa: ANN401 - defined at run time
    """The body's members."""
    try:
        return decoder.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise schema_error(error) from error


def check_size(raw: bytes | bytearray) -> None:
    """TooLargeError if the body holds more values or records than one batch may: its sender halves it."""
    # One pass that is five times as fast as counting; most bodies end here.
    if len(raw) - len(raw.translate(None, b"{[,")) <= MAX_COMMAS:
        return
    if raw.count(b"{") + raw.count(b"[") > MAX_VALUES:
        raise TooLargeError(f"body holds more than {MAX_VALUES} JSON objects and lists")
    if raw.count(b",") <= MAX_COMMAS:
        return
    lists = decode_body(COUNTED_BODY, raw)
    if sum(len(getattr(lists, key) or ()) for key in ("connectionList", "acceptedList", *INVENTORY_LISTS)) > MAX_ITEMS:
        raise TooLargeError(f"body holds more than {MAX_ITEMS} items")


def read_batch(plain: bytes | bytearray) -> ConnectionsBatch | InventoryPart:
    """The batch in a JSON body: an inventory part if it has a member `inventory`, connections otherwise."""
    raw, characters = clean_json(bytes(plain))
    check_size(raw)
    body = decode_body(BODY, raw)
    if body.schemaVersion not in (None, 1, "1"):
        raise BadBodyError("expected a batch of schema version 1", "/schemaVersion")
    rejected = Rejected({}, 0, characters)
    if body.inventory is not msgspec.UNSET:
        return read_inventory(body, rejected)
    if body.connectionList is None:
        raise BadBodyError("expected a list of connections, or an inventory", "/connectionList")
    if body.nodeName is msgspec.UNSET:
        raise BadBodyError("expected the name of the node", "/nodeName")
    if len(body.connectionList) + len(body.acceptedList or ()) > MAX_ITEMS:
        raise TooLargeError(f"body holds more than {MAX_ITEMS} items")
    cgroups, left_out = read_pod_cgroups(body.podCgroups)
    rejected.members += left_out
    return ConnectionsBatch(
        window=read_window(body.window),
        node_name=body.nodeName,
        observation=read_observation(body.observation, rejected),
        connections=pack_records(body.connectionList, "/connectionList", LISTED),
        accepted=pack_records(body.acceptedList or (), "/acceptedList", ACCEPTED),
        pod_cgroups=pack_pod_cgroups(cgroups),
        rejected=rejected,
    )


def read_window(wire: WindowWire) -> Window:
    """The window of a body; its end is after its start."""
    try:
        purpose = wire.purpose.purpose() if wire.purpose else None
        window = Window(parse_rfc3339(wire.start), parse_rfc3339(wire.end), purpose)
    except InputError as error:
        raise BadBodyError("expected RFC 3339 times such as 2026-11-24T10:15:00Z", "/window") from error
    if not all(0 <= time_ns < LATEST_NS for time_ns in (window.start_ns, window.end_ns)):
        raise BadBodyError("expected times between 1970 and 2200", "/window")
    if window.end_ns <= window.start_ns:
        raise BadBodyError("the window's end is not after its start", "/window")
    return window


def read_observation(raw: msgspec.Raw, rejected: Rejected) -> dict[str, Any]:
    """The counts of a window; other members are left out and counted."""
    text = bytes(raw)
    if len(text) > OBSERVATION_BYTES:
        raise BadBodyError(f"observation is larger than {OBSERVATION_BYTES} bytes", "/observation")
    try:
        counts = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadBodyError("observation is not valid JSON in UTF-8", "/observation") from error
    if counts is None:
        return {}
    if not isinstance(counts, dict):
        raise BadBodyError("Expected `object`", "/observation")
    kept, dropped = clean_observation(counts)
    rejected.members += dropped
    return kept


def read_object(kind: str, raw: msgspec.Raw, rejected: Rejected) -> dict[str, Any] | None:
    """One object with what does not fit left out; None, counted with its reason, if it cannot be stored."""
    reason = "malformed"
    try:
        if memoryview(raw).nbytes > OBJECT_BYTES:
            reason = "too_large"
        else:
            text = bytes(raw)
            check_depth(text)
            item = orjson.loads(text)
            reason = "no_identity"
            msgspec.convert(item.get("metadata"), RequiredIdentity)
            rejected.members += clean_object(kind, item)
            return item  # type: ignore[no-any-return]
    except (BadBodyError, orjson.JSONDecodeError, msgspec.ValidationError, AttributeError):
        pass  # counted with its reason
    rejected.objects[reason] = rejected.objects.get(reason, 0) + 1
    return None


def read_inventory(body: Any, rejected: Rejected) -> InventoryPart:  # noqa: ANN401 - defined at run time
    """The inventory part in a body; every object of it has a name and a UID."""
    head: InventoryWire = body.inventory
    if head.part > head.parts:
        raise BadBodyError(f"part {head.part} of {head.parts}", "/inventory/part")
    kinds = {kind: wire for kind, wire in list(head.kinds.items())[:MAX_KINDS] if len(kind) <= KIND}
    objects = {
        kind: [item for raw in getattr(body, key) or () if (item := read_object(kind, raw, rejected)) is not None]
        for key, kind in INVENTORY_LISTS.items()
    }
    return InventoryPart(
        window=read_window(body.window),
        namespace=body.namespace or "",
        id=head.id,
        sequence=head.sequence,
        part=head.part,
        parts=head.parts,
        complete={kind: wire.complete for kind, wire in kinds.items()},
        reasons={kind: (wire.reason or "")[:REASON] for kind, wire in kinds.items() if not wire.complete},
        objects=objects,
        rejected=rejected,
    )
