"""Log lines as they are stored: which have a position, what a chunk's ranges are, what fits into a stream."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from isal import igzip_lib

LINE_BYTES = 70 << 10
STREAM_BYTES = 64 << 20
WRITERS_PER_REQUEST = 64
NAME_LENGTH = 253  # of a Kubernetes object
COMPRESSION = 1

Line = dict[str, Any]


class Group(NamedTuple):
    """The lines of one writer in a request, in their order, and what storing them needs: made before the transaction.

    `numbered`: every `pos` is an order, 0 included. `positions` are those that are, `encoded` the lines as they are
    stored, `sha256` that of the lines as they came.
    """

    writer: str
    lines: list[Line]
    numbered: bool
    positions: list[int]
    encoded: list[bytes]
    sha256: str


def make_group(writer: str, lines: list[Line]) -> Group:
    """The group of a writer's lines."""
    numbered = counts_from_zero(lines)
    places = [line.get("pos", 0) for line in lines]
    positions = places if numbered else [pos for pos in places if pos > 0]
    return Group(writer, lines, numbered, positions, [*map(encode_line, lines)], digest_lines(lines))


def writer_groups(token_id: str, lines: Iterable[Line]) -> list[Group]:
    """The lines by the pod that wrote them; pods beyond a bound share one group."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        args = line.get("args")
        pod = pod_name(args.get("PodName", "")) if args else ""
        if pod not in found and len(found) >= WRITERS_PER_REQUEST:
            pod = ""
        found.setdefault(pod, []).append(line)
    return [make_group(f"{token_id}/{pod}" if pod else token_id, own) for pod, own in found.items()]


def pod_name(text: str) -> str:
    """The name of a pod as it is, since it stands in an index; of what cannot be one, its digest."""
    if len(text) <= NAME_LENGTH and text.isascii() and text.isprintable():
        return text
    return hashlib.sha256(text.encode()).hexdigest()


def counts_from_zero(lines: list[Line]) -> bool:
    """Whether the positions are 0, 1, 2 …, as a client sends them that numbers its lines from 0."""
    return len(lines) > 1 and all(line.get("pos", 0) == place for place, line in enumerate(lines))


def has_position(line: Line, *, numbered: bool) -> bool:
    """Whether the line's `pos` is an order: it is above 0, or all of its request are."""
    return numbered or line.get("pos", 0) > 0


def position_ranges(positions: Iterable[int]) -> list[list[int]]:
    """Sorted positions as ranges `[first, last]`."""
    ranges: list[list[int]] = []
    for pos in positions:
        if ranges and pos <= ranges[-1][1] + 1:
            ranges[-1][1] = max(pos, ranges[-1][1])
        else:
            ranges.append([pos, pos])
    return ranges


def encode_line(line: Line) -> bytes:
    """The line as JSON; one that is too long is cut, and reports how many bytes were left out."""
    text = orjson.dumps(line)
    if len(text) <= LINE_BYTES:
        return text
    kept: Line = {name: line[name] for name in ("level", "pos", "time") if name in line and len(str(line[name])) < 1024}
    room = LINE_BYTES - len(orjson.dumps(kept)) - 128
    args = line.get("args")
    if args and len(orjson.dumps(args)) < room // 4:
        kept["args"] = args
        room -= len(orjson.dumps(args))
    out = fit(str(line.get("out", "")), room)
    left_out = len(text) - len(orjson.dumps(kept | {"out": out}))
    return orjson.dumps(kept | {"out": f"{out} … {left_out} bytes left out"})


def fit(text: str, room: int) -> str:
    """The longest beginning of a text whose JSON takes no more bytes than that (within a factor for escapes)."""
    out = text[:room]
    while out and len(orjson.dumps(out)) > room:
        out = out[: max(0, len(out) * room // len(orjson.dumps(out)) - 1)]
    return out


def pack_lines(encoded: list[bytes]) -> bytes:
    """The stored body of a chunk."""
    return deflate(b"\n".join(encoded))


def unpack_lines(body: bytes) -> list[bytes]:
    """The lines of a stored body, each JSON."""
    return inflate_stored(body).split(b"\n")


def deflate(text: bytes) -> bytes:
    """A text as it is stored."""
    return bytes(igzip_lib.compress(text, COMPRESSION, flag=igzip_lib.COMP_GZIP))


def inflate_stored(body: bytes) -> bytes:
    """The text of what `deflate` gave."""
    return bytes(igzip_lib.decompress(body, flag=igzip_lib.DECOMP_GZIP))


def digest_lines(lines: list[Line]) -> str:
    """By which the same lines, sent again, are recognised."""
    return hashlib.sha256(orjson.dumps(lines, option=orjson.OPT_SORT_KEYS)).hexdigest()


def has_exact_time(line: Line) -> bool:
    """Whether the line's time has fractions of a second: an equal line is the same one, then."""
    time = line.get("time")
    return isinstance(time, str) and "." in time
