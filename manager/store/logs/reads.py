"""Log streams read: their facts, the lines after a number, the chunks of each writer."""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from sqlalchemy import func, select

from manager.store.database import Store
from manager.store.logs.lines import unpack_lines
from manager.store.logs.streams import in_stream, this_stream
from manager.store.logs.tables import LOG_BLOBS, LOG_CHUNKS, LOG_STREAMS

CHUNKS_READ = 16
GAPS_NAMED = 100
RANGES_WAITING = 50_000


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
    """Positions that no line has although the writer has sent later ones: `writer, first, last`, the first hundred.

    Chunks come by their first positions, so that what is missing before it is certain; where a stream's chunks overlap
    so much that too many ranges wait, no more is looked at.
    """
    columns = (LOG_CHUNKS.c.writer, LOG_CHUNKS.c.first_pos, LOG_CHUNKS.c.positions)
    wanted = select(*columns).where(in_stream(account, key)).order_by(*columns[:2], LOG_CHUNKS.c.first_sequence)
    with store.reading() as connection:
        rows = connection.execution_options(yield_per=CHUNKS_READ).execute(wanted)
        writers = itertools.groupby(rows, key=lambda row: str(row.writer))
        gaps = (gap for writer, own in writers for gap in gaps_of(writer, own))
        return list(itertools.islice(gaps, GAPS_NAMED))


def gaps_of(writer: str, chunks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The gaps of one writer; chunks by their first positions."""
    waiting: list[list[int]] = []
    covered = 0
    for due, positions in itertools.chain(((row.first_pos, row.positions) for row in chunks), [(None, b"[]")]):
        while waiting and (due is None or waiting[0][0] <= due):
            first, last = heapq.heappop(waiting)
            if first > covered + 1:
                yield {"writer": writer, "first": covered + 1, "last": first - 1}
            covered = max(covered, last)
        for found in orjson.loads(positions):
            heapq.heappush(waiting, found)
        if len(waiting) > RANGES_WAITING:
            return


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
