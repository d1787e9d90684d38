"""Lines of a stream in the order to read them in: by position within a writer, by time between writers. Pure.

Whatever was written, a bounded number of lines is in memory: chunks are opened when their first position is due, and
of a stream whose chunks overlap without end the lines that are due come as far as they are known. Writers beyond 64 are
read as one.
"""

import heapq
import itertools
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b

import orjson

from manager.store.logs.reads import Chunk
from podsonar.json_bounds import find_beyond, is_shallow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_OPEN = 50_000  # lines in memory, beyond which only what is due next is opened
MOST_WRITERS = 64
SORTED_AT_ONCE = 1 << 16
OTHERS = ""  # no writer has this name


def line_seconds(line: dict[str, object], otherwise: float) -> float:
    """The line's time in seconds since 1970, or another one where it has none that can be read."""
    text = line.get("time")
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        when = None
    if when is None:
        return otherwise
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - EPOCH).total_seconds()


class OpenLines:
    """How many lines of a stream are in memory."""

    def __init__(self) -> None:
        self.number = 0


def writer_lines(
    chunks: list[Chunk], read: Callable[[int], list[bytes]], opened: OpenLines
) -> Iterator[tuple[float, bytes]]:
    """`time, line` of one writer's chunks by position; a chunk is read when its first position is due.

    Times never go back, so that the lines keep this order among those of other writers.
    """
    waiting = sorted(chunks, key=lambda chunk: (chunk.first_pos, chunk.first_sequence), reverse=True)
    due: list[tuple[int, int, float, bytes]] = []
    last = 0.0
    while waiting or due:
        while waiting and (
            not due or (opened.number < MOST_OPEN and (waiting[-1].first_pos, waiting[-1].first_sequence) <= due[0][:2])
        ):
            chunk = waiting.pop()
            for place, text in enumerate(read(chunk.first_sequence)):
                line = orjson.loads(text)
                pos = min(max(line.get("pos", 0), chunk.first_pos), chunk.last_pos)
                seconds = line_seconds(line, chunk.received_ns / 1e9)
                heapq.heappush(due, (pos, chunk.first_sequence + place, seconds, text))
                opened.number += 1
        if due:
            _pos, _sequence, seconds, text = heapq.heappop(due)
            opened.number -= 1
            last = max(last, seconds)
            yield last, text


def merged_lines(chunks: Iterable[Chunk], read: Callable[[int], list[bytes]]) -> Iterator[bytes]:
    """Every line of every writer."""
    by_writer: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        known = chunk.writer in by_writer or len(by_writer) < MOST_WRITERS
        by_writer.setdefault(chunk.writer if known else OTHERS, []).append(chunk)
    opened = OpenLines()
    sources = [writer_lines(own, read, opened) for own in by_writer.values()]
    for _seconds, text in heapq.merge(*sources, key=lambda item: item[0]):
        yield text


def blob_lines(body: bytes, uploaded_ns: int) -> Iterator[bytes]:
    """The lines of an uploaded blob: those that are JSON objects as they are, any other as the text of a line."""
    when = datetime.fromtimestamp(uploaded_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for row in rows_of(body):
        try:
            line = orjson.loads(row)
        except orjson.JSONDecodeError:
            line = None
        if isinstance(line, dict) and (is_shallow(row) or not find_beyond(line, allows_nul=True)):
            yield row.strip()
        else:
            text = row.decode("utf-8", "backslashreplace")
            yield orjson.dumps({"level": "info", "pos": 0, "out": text, "time": when})


def rows_of(body: bytes) -> Iterator[bytes]:
    """The lines of a text that are not blank."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        row = body[start:end]
        if row.strip():
            yield row
        start = end + 1


def digest(line: bytes) -> int:
    """64 bits of the line with its members in order, by which two are compared."""
    members = orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(members, digest_size=8).digest())


def in_order(digests: "array[int]") -> Iterator[int]:
    """The digests in order: sorted by pieces, since a list of numbers takes five times their room."""
    pieces = (digests[start : start + SORTED_AT_ONCE] for start in range(0, len(digests), SORTED_AT_ONCE))
    return heapq.merge(*(array("Q", sorted(piece)) for piece in pieces))


class Uploaded:
    """The blobs of a stream, oldest first, and which of their lines were not streamed and are in no blob before."""

    def __init__(self, blobs: Sequence[tuple[int, bytes]], streamed: Iterable[bytes]) -> None:
        self.blobs = blobs
        digests = [array("Q", map(digest, blob_lines(body, when))) for when, body in blobs]
        known = array("Q", in_order(array("Q", itertools.chain(*digests))))
        counts = array("I", bytes(4 * len(known)))
        for line in streamed:
            place = bisect_left(known, wanted := digest(line))
            if place < len(known) and known[place] == wanted:
                counts[place] += 1
        self.new = [bytes(self.marks(known, counts, own)) for own in digests]

    @staticmethod
    def marks(known: "array[int]", counts: "array[int]", own: "array[int]") -> Iterator[int]:
        """1 for each line of a blob that is new, which counts for the blobs behind; else 0."""
        left = counts[:]
        for wanted in own:
            place = bisect_left(known, wanted)
            if left[place]:
                left[place] -= 1
                yield 0
            else:
                counts[place] += 1
                yield 1

    def lines(self) -> list[Iterator[tuple[float, bytes]]]:
        """`time, line` of each blob's new lines; times never go back."""
        return [
            timed(itertools.compress(blob_lines(body, when), new), when / 1e9)
            for (when, body), new in zip(self.blobs, self.new, strict=True)
        ]


def union(streamed: Callable[[], Iterable[bytes]], blobs: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    """The streamed lines and, of the uploaded ones, those that were not streamed, each once, by time.

    `streamed` gives them anew each time: they are read twice, since none of them is kept.
    """
    if not blobs:
        yield from streamed()
        return
    sources = [timed(streamed(), blobs[0][0] / 1e9), *Uploaded(blobs, streamed()).lines()]
    for _seconds, text in heapq.merge(*sources, key=lambda item: item[0]):
        yield text


def timed(lines: Iterable[bytes], otherwise: float) -> Iterator[tuple[float, bytes]]:
    """Lines with times that never go back."""
    last = 0.0
    for text in lines:
        last = max(last, line_seconds(orjson.loads(text), otherwise))
        yield last, text
