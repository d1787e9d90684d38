"""Log streams read: their facts, the lines after a number, the chunks of each writer."""

import itertools
from typing import Any, NamedTuple

import orjson
from sqlalchemy import func, select

from manager.store.database import Store
from manager.store.logs.lines import unpack_lines
from manager.store.logs.streams import in_stream, this_stream
from manager.store.logs.tables import LOG_BLOBS, LOG_CHUNKS, LOG_STREAMS

CHUNKS_READ = 16
GAPS_NAMED = 100


class Chunk(NamedTuple):
    """A stored chunk without its lines."""

    first_sequence: int
    writer: str
    first_pos: int
    last_pos: int
    received_ns: int


class Passage(NamedTuple):
    """Lines in the order in which they came: the number of the first, the lines, and whether more may come."""

    first_sequence: int
    lines: list[bytes]
    is_closed: bool
    not_kept: tuple[int, int]  # lines, bytes


def find_stream(store: Store, account: str, key: str) -> dict[str, Any] | None:
    """The row of a stream."""
    with store.reading() as connection:
        row = connection.execute(select(LOG_STREAMS).where(this_stream(account, key))).mappings().first()
    return dict(row) if row else None


def list_below(store: Store, account: str, prefix: str) -> list[str]:
    """The keys of the account's open streams that begin with a prefix."""
    begins = LOG_STREAMS.c.key.startswith(prefix, autoescape=True)  # on SQLite whatever the case
    is_open = LOG_STREAMS.c.closed_ns.is_(None)
    wanted = select(LOG_STREAMS.c.key).where(LOG_STREAMS.c.account == account, begins, is_open)
    with store.reading() as connection:
        return [key for key in connection.execute(wanted).scalars() if key.startswith(prefix)]


def read_after(store: Store, account: str, key: str, sequence: int) -> Passage | None:
    """Some lines with numbers above `sequence`; none: all were read. None if there is no such stream."""
    with store.reading() as connection:
        stream = connection.execute(select(LOG_STREAMS).where(this_stream(account, key))).mappings().first()
        if stream is None:
            return None
        not_kept = (int(stream["not_kept_lines"]), int(stream["not_kept_bytes"]))
        if stream["next_sequence"] <= sequence + 1:
            return Passage(sequence + 1, [], stream["closed_ns"] is not None, not_kept)
        beginning = select(func.max(LOG_CHUNKS.c.first_sequence)).where(
            in_stream(account, key), LOG_CHUNKS.c.first_sequence <= sequence + 1
        )
        start = connection.execute(beginning).scalar() or 0
        wanted = (
            select(LOG_CHUNKS.c.first_sequence, LOG_CHUNKS.c.body)
            .where(in_stream(account, key), LOG_CHUNKS.c.first_sequence >= start)
            .order_by(LOG_CHUNKS.c.first_sequence)
            .limit(CHUNKS_READ)
        )
        rows = connection.execute(wanted).all()
    if not rows:  # outdated, and deleted already
        return Passage(sequence + 1, [], stream["closed_ns"] is not None, not_kept)
    lines = [line for row in rows for line in unpack_lines(row.body)]
    skipped = max(0, sequence + 1 - rows[0].first_sequence)
    return Passage(max(sequence + 1, rows[0].first_sequence), lines[skipped:], is_closed=False, not_kept=not_kept)


def list_chunks(store: Store, account: str, key: str) -> list[Chunk]:
    """Every chunk of a stream, in the order in which they came."""
    wanted = select(*(LOG_CHUNKS.c[name] for name in Chunk._fields)).where(in_stream(account, key))
    with store.reading() as connection:
        return [Chunk(*row) for row in connection.execute(wanted.order_by(LOG_CHUNKS.c.first_sequence))]


def read_chunk(store: Store, account: str, key: str, first_sequence: int) -> list[bytes]:
    """The lines of a chunk."""
    this = in_stream(account, key) & (LOG_CHUNKS.c.first_sequence == first_sequence)
    with store.reading() as connection:
        body = connection.execute(select(LOG_CHUNKS.c.body).where(this)).scalar()
    return unpack_lines(body) if body is not None else []


def find_gaps(store: Store, account: str, key: str) -> list[dict[str, Any]]:
    """Positions that no line has although the writer has sent later ones: `writer, first, last`, the first hundred."""
    wanted = select(LOG_CHUNKS.c.writer, LOG_CHUNKS.c.positions).where(in_stream(account, key))
    ranges: dict[str, list[list[int]]] = {}
    with store.reading() as connection:
        for row in connection.execute(wanted):
            ranges.setdefault(row.writer, []).extend(orjson.loads(row.positions))
    gaps = []
    for writer, found in ranges.items():
        merged = merge_ranges(found)
        if merged and merged[0][0] > 1:
            gaps.append({"writer": writer, "first": 1, "last": merged[0][0] - 1})
        for before, after in itertools.pairwise(merged):
            gaps.append({"writer": writer, "first": before[1] + 1, "last": after[0] - 1})
    return gaps[:GAPS_NAMED]


def merge_ranges(ranges: list[list[int]]) -> list[list[int]]:
    """Ranges in order, those that touch made one."""
    merged: list[list[int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(last, merged[-1][1])
        else:
            merged.append([first, last])
    return merged


def blob_sizes(store: Store, account: str, key: str) -> list[int]:
    """The bytes of each blob of a key as it was sent, oldest first."""
    wanted = select(LOG_BLOBS.c.bytes).where(LOG_BLOBS.c.account == account, LOG_BLOBS.c.key == key)
    with store.reading() as connection:
        return list(connection.execute(wanted.order_by(LOG_BLOBS.c.uploaded_ns, LOG_BLOBS.c.sha256)).scalars())


def read_blobs(store: Store, account: str, key: str, *, newest: bool = False) -> list[tuple[int, bytes]]:
    """The uploaded blobs of a key, oldest first, or the newest one alone: when, and the stored body."""
    wanted = select(LOG_BLOBS.c.uploaded_ns, LOG_BLOBS.c.body).where(
        LOG_BLOBS.c.account == account, LOG_BLOBS.c.key == key
    )
    wanted = wanted.order_by(LOG_BLOBS.c.uploaded_ns.desc(), LOG_BLOBS.c.sha256.desc())
    with store.reading() as connection:
        rows = connection.execute(wanted.limit(1) if newest else wanted).all()
    return [(row.uploaded_ns, row.body) for row in reversed(rows)]
