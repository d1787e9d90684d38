"""Lines of a stream in the order to read them in: by position within a writer, by time between writers. Pure."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import orjson

from manager.store.logs.reads import Chunk
from podsonar.json_bounds import find_beyond, is_shallow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def writer_lines(chunks: list[Chunk], read: Callable[[int], list[bytes]]) -> Iterator[tuple[float, bytes]]:
    """`time, line` of one writer's chunks by position; a chunk is read when its first position is due.

    Times never go back, so that the lines keep this order among those of other writers.
    """
    waiting = sorted(chunks, key=lambda chunk: (chunk.first_pos, chunk.first_sequence), reverse=True)
    opened: list[tuple[int, int, float, bytes]] = []
    last = 0.0
    while waiting or opened:
        while waiting and (not opened or waiting[-1].first_pos <= opened[0][0]):
            chunk = waiting.pop()
            for place, text in enumerate(read(chunk.first_sequence)):
                line = orjson.loads(text)
                pos = min(max(line.get("pos", 0), chunk.first_pos), chunk.last_pos)
                seconds = line_seconds(line, chunk.received_ns / 1e9)
                heapq.heappush(opened, (pos, chunk.first_sequence + place, seconds, text))
        if opened:
            _pos, _sequence, seconds, text = heapq.heappop(opened)
            last = max(last, seconds)
            yield last, text


def merged_lines(chunks: Iterable[Chunk], read: Callable[[int], list[bytes]]) -> Iterator[bytes]:
    """Every line of every writer."""
    by_writer: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_writer.setdefault(chunk.writer, []).append(chunk)
    sources = [writer_lines(own, read) for own in by_writer.values()]
    for _seconds, text in heapq.merge(*sources, key=lambda item: item[0]):
        yield text


def blob_lines(body: bytes, uploaded_ns: int) -> list[bytes]:
    """The lines of an uploaded blob: those that are JSON objects as they are, any other as the text of a line."""
    when = datetime.fromtimestamp(uploaded_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = []
    for row in body.split(b"\n"):
        if not row.strip():
            continue
        try:
            line = orjson.loads(row)
        except orjson.JSONDecodeError:
            line = None
        if isinstance(line, dict) and (is_shallow(row) or not find_beyond(line, allows_nul=True)):
            found.append(row.strip())
        else:
            text = row.decode("utf-8", "backslashreplace")
            found.append(orjson.dumps({"level": "info", "pos": 0, "out": text, "time": when}))
    return found


def canonical(line: bytes) -> bytes:
    """The line with its members in order, by which two are compared."""
    return orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)


def union(streamed: Iterable[bytes], uploaded: list[bytes], uploaded_ns: int) -> Iterator[bytes]:
    """The streamed lines and, of the uploaded ones, those that were not streamed, each once, by time."""
    if not uploaded:
        yield from streamed
        return
    in_order = list(streamed)
    known = Counter(map(canonical, in_order))
    left = []
    for text in uploaded:
        same = canonical(text)
        if known[same]:
            known[same] -= 1
        else:
            left.append(text)
    otherwise = uploaded_ns / 1e9
    sources = (timed(in_order, otherwise), timed(left, otherwise))
    for _seconds, text in heapq.merge(*sources, key=lambda item: item[0]):
        yield text


def timed(lines: Iterable[bytes], otherwise: float) -> Iterator[tuple[float, bytes]]:
    """Lines with times that never go back."""
    last = 0.0
    for text in lines:
        last = max(last, line_seconds(orjson.loads(text), otherwise))
        yield last, text
