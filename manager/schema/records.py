"""What agents push of connections: the fields of a record, and lists of records cut into blocks.

A block is JSON of at most 1,000 records as they were pushed, each of them checked: readers decode the fields that they
know and skip the others, so that a member of a later version survives and nothing unknown is ever built.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple
from zlib import crc32

import msgspec
from isal import igzip_lib

from manager.schema.gunzip import BadBodyError

BLOCK_RECORDS = 1000
BLOCK_BYTES = 1 << 20
RECORD_BYTES = 64 << 10
LARGEST_COUNT = 2**53 - 1  # what every JSON reader holds exactly (RFC 8259, 6)
LARGEST_SECONDS = LARGEST_COUNT // 1_000_000  # as microseconds, 285 years

Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)]
Text = Annotated[str, msgspec.Meta(max_length=4096)]
Name = Annotated[str, msgspec.Meta(max_length=316)]
Port = Annotated[str, msgspec.Meta(min_length=1, max_length=5)]  # digits up to 65535, see `check_ports`
PortNumber = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Errno = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Time = Annotated[str, msgspec.Meta(max_length=40)]


def bounded_seconds(seconds: float) -> float:
    """A sum of durations that a microsecond count holds, whatever was pushed: from 0 to 285 years."""
    return min(max(seconds, 0.0), float(LARGEST_SECONDS))


class ObjectReference(msgspec.Struct, frozen=True, gc=False):
    """Which Kubernetes object; names may be missing if only a UID was known."""

    uid: Name
    kind: Name = ""
    namespace: Name | None = None
    name: Name | None = None


class ConnectionEnds(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The Kubernetes side of a connection: `database.ConnectionKubernetesSpec`."""

    source_pod: ObjectReference
    destination_service: ObjectReference | None = None
    destination_pod: ObjectReference | None = None


class Destination(msgspec.Struct, frozen=True, gc=False):
    """The directory's answer on the destination; `reason` if it is not a plain owner."""

    kind: Name
    reason: Text | None = None
    name: Name | None = None


class Handshake(msgspec.Struct, frozen=True, gc=False):
    """Seconds from SYN to established: of all connections together, and the longest."""

    sum: float = 0.0
    max: float = 0.0


class RoundTrips(msgspec.Struct, frozen=True, gc=False):
    """Round-trip times, one per connection; `histogram` counts them below 32 µs, then in buckets that double."""

    count: Count = 0
    sum: float = 0.0
    max: float = 0.0
    histogram: Annotated[tuple[Count, ...], msgspec.Meta(max_length=16)] = ()


class VolumeRecord(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What the connections of a record carried in the window."""

    sent_bytes: Count = 0
    received_bytes: Count = 0
    retransmitted_segments: Count = 0
    resets: Count = 0
    open_seconds: float = 0.0
    rtt_seconds: RoundTrips = RoundTrips()


class ConnectionRecord(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One flow with its pod: `database.ConnectionSpec` and the counts."""

    source_ip: Address = msgspec.field(name="sourceIP")
    destination_ip: Address = msgspec.field(name="destinationIP")
    destination_port: Port
    kubernetes: ConnectionEnds
    destination: Destination | None = None
    type: Name = "TCP"
    attempts: Count = 0
    established: Count = 0
    failed: Count = 0
    last_errno: Errno | None = None
    opened_before: bool = False
    handshake_seconds: Handshake | None = None
    volume: VolumeRecord | None = None


class ListedConnection(ConnectionRecord, frozen=True, rename="camel", gc=False):
    """A record as lists show it."""

    unfinished: Count = 0
    first_seen: Time | None = None
    last_seen: Time | None = None


class AcceptedRecord(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The other end: what one pod's listener accepted from one remote address."""

    pod: ObjectReference
    local_ip: Address = msgspec.field(name="localIP")
    local_port: PortNumber | Port
    remote_ip: Address = msgspec.field(name="remoteIP")
    accepted: Count
    opened_before: bool = False
    volume: VolumeRecord | None = None


def check_ports(ports: Sequence[str], place: str, member: str, first: int) -> None:
    """BadBodyError unless each port is the digits of a number up to 65535. A pattern takes ten times as long."""
    digits = "".join(ports)
    if not ports or (digits.isascii() and digits.isdigit() and max(map(int, ports)) <= 65535):
        return
    for number, port in enumerate(ports, first):
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise BadBodyError("expected the digits of a port", f"{place}/{number}/{member}")


class Block(NamedTuple):
    """Some records: how many, and their gzipped JSON."""

    records: int
    body: bytes


class Records(NamedTuple):
    """A list of records in blocks; `pod_index` finds those of a pod, see `positions_of`."""

    total: int = 0
    blocks: Sequence[Block] = ()
    pod_index: bytes = b""


LISTED = msgspec.json.Decoder(list[ListedConnection])
LISTED_ONE, UNREAD = msgspec.json.Decoder(ListedConnection), msgspec.json.Decoder(list[msgspec.Raw])
CONNECTIONS = msgspec.json.Decoder(list[ConnectionRecord])
ACCEPTED = msgspec.json.Decoder(list[AcceptedRecord])


def decode_records(text: bytes, decoder: msgspec.json.Decoder[Any], place: str, first: int) -> list[Any]:
    """Records of a JSON list; BadBodyError with the pointer of the bad one, of which `first` is the list's first."""
    try:
        return decoder.decode(text)  # type: ignore[no-any-return]
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise schema_error(error, place, first) from error


def schema_error(error: Exception, place: str = "", first: int = 0) -> BadBodyError:
    """The error of msgspec, with a JSON pointer and without the value."""
    if not isinstance(error, msgspec.ValidationError):
        return BadBodyError("body is not valid JSON in UTF-8, or nests too deep", place)
    text, _, path = str(error).partition(" - at `")
    parts = path.rstrip("`").removeprefix("$").replace("[", "/").replace("]", "").replace(".", "/").split("/")
    if place and len(parts) > 1 and parts[1].isdigit():
        parts[1] = str(int(parts[1]) + first)
    return BadBodyError(text, place + "/".join(parts))


def slices(raws: Sequence[msgspec.Raw], place: str) -> Iterator[tuple[int, Sequence[msgspec.Raw]]]:
    """Runs of records that make a block each, and the place of their first."""
    first = size = 0
    for number, raw in enumerate(raws):
        length = memoryview(raw).nbytes
        if length > RECORD_BYTES:
            raise BadBodyError(f"record is larger than {RECORD_BYTES} bytes", f"{place}/{number}")
        if number - first == BLOCK_RECORDS or (size + length > BLOCK_BYTES and number > first):
            yield first, raws[first:number]
            first, size = number, 0
        size += length
    if first < len(raws):
        yield first, raws[first:]


def pack_records(raws: Sequence[msgspec.Raw], place: str, decoder: msgspec.json.Decoder[Any]) -> Records:
    """A pushed list as blocks; BadBodyError if a record is not what is expected."""
    blocks: list[Block] = []
    words: list[int] = []
    for first, some in slices(raws, place):
        text = b"[" + b",".join(some) + b"]"
        records = decode_records(text, decoder, place, first)
        if decoder is ACCEPTED:
            ports = [record.local_port for record in records if isinstance(record.local_port, str)]
            check_ports(ports, place, "localPort", first)
        else:
            check_ports([record.destination_port for record in records], place, "destinationPort", first)
            words += index_words(records, first)
        blocks.append(Block(len(some), igzip_lib.compress(text, 1, igzip_lib.COMP_GZIP)))
    return Records(len(raws), blocks, array("Q", sorted(words)).tobytes())


def index_words(records: Sequence[ConnectionRecord], first: int) -> list[int]:
    """A word per end of a connection that is a pod: the CRC-32 of its UID above the record's place."""
    ends = [record.kubernetes for record in records]
    words = [crc32(one.source_pod.uid.encode()) << 32 | number for number, one in enumerate(ends, first)]
    words += [
        crc32(one.destination_pod.uid.encode()) << 32 | number
        for number, one in enumerate(ends, first)
        if one.destination_pod is not None
    ]
    return words


def positions_of(pod_uid: str, pod_index: bytes) -> list[int]:
    """Places, in order, of records that may be of a pod: all of them are there, others may be among them.

    The index is sorted words of a record's place, below the CRC-32 of a pod's UID.
    """
    words = memoryview(pod_index).cast("Q")
    low = crc32(pod_uid.encode()) << 32
    found = words[bisect_left(words, low) : bisect_left(words, low + (1 << 32))]
    if not found:
        return []
    halves = found.cast("B").cast("I")  # two to a word
    return list(dict.fromkeys(halves[0 if sys.byteorder == "little" else 1 :: 2].tolist()))


def unpack_block(body: bytes) -> bytes:
    """The JSON of a block."""
    text: bytes = igzip_lib.decompress(body, igzip_lib.DECOMP_GZIP)
    return text


def connections_in(blocks: Iterable[Block]) -> Iterator[ConnectionRecord]:
    """The records of some blocks, one block in memory at a time."""
    for block in blocks:
        yield from CONNECTIONS.decode(unpack_block(block.body))


def accepted_in(blocks: Iterable[Block]) -> Iterator[AcceptedRecord]:
    """The accepted records of some blocks, one block in memory at a time."""
    for block in blocks:
        yield from ACCEPTED.decode(unpack_block(block.body))
