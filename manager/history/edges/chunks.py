"""Counts of edges over many windows: those of a chunk are sorted by edge, so that one edge is found in few rows. Pure.

A chunk has the counts of up to 24 windows, which the windows' own files have as well: 1.6 bytes more per edge and
window, since what repeats stands together. `unfinished` is attempts - established - failed; it is below zero for
connections that were open before the window.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manager.history.edges.diff import EdgeKey

NS_PER_MS = 1_000_000
CHUNK_WINDOWS = 24
GROUP_ROWS = 8192
KEY = ("source", "destination", "port", "protocol")
COLUMNS = [*KEY, "window", "attempts", "failed", "unfinished"]


class EdgeCount(NamedTuple):
    """The counts of an edge in one window, by the window's start."""

    start_ns: int
    attempts: int
    established: int
    failed: int


def count_columns(edges: pa.Table) -> pa.Table:
    """What a chunk has of a window's edges."""
    unfinished = pc.subtract(pc.subtract(edges["attempts"], edges["established"]), edges["failed"])
    return edges.append_column("unfinished", unfinished).select(COLUMNS)


def make_chunk(windows: Iterable[pa.Table]) -> bytes:
    """The windows' edges as one Parquet file, sorted by edge and window."""
    whole = pa.concat_tables([count_columns(edges) for edges in windows]).unify_dictionaries().combine_chunks()
    ranks = {name: ranked(whole[name].combine_chunks()) for name in KEY}
    ranks["window"] = whole["window"]
    order = pc.sort_indices(pa.table(ranks), [(name, "ascending") for name in ranks])
    sink = pa.BufferOutputStream()
    sorted_rows = whole.take(order)
    for place, name in enumerate(KEY):  # as plain texts: the whole dictionary would be written with every row group
        sorted_rows = sorted_rows.set_column(place, name, sorted_rows[name].cast(pa.string()))
    pq.write_table(
        sorted_rows,
        sink,
        compression="zstd",
        compression_level=6,
        row_group_size=GROUP_ROWS,
        write_statistics=list(KEY[:2]),
    )
    body: bytes = sink.getvalue().to_pybytes()
    return body


def ranked(column: pa.DictionaryArray) -> pa.Array:
    """The place of each text among the dictionary's texts: numbers sort ten times as fast."""
    ranks = pc.rank(column.dictionary, sort_keys="ascending", tiebreaker="dense")
    return ranks.take(column.indices)


def rows_of(table: pa.Table, key: EdgeKey) -> pa.Table:
    """The rows of an edge."""
    for name, text in zip(KEY, key, strict=True):
        table = table.filter(pc.equal(table[name], text))
    return table


def edge_in_chunk(body: bytes, key: EdgeKey) -> Iterator[EdgeCount]:
    """The counts of an edge in a chunk, oldest window first."""
    file = pq.ParquetFile(pa.BufferReader(body))
    groups = [number for number in range(file.num_row_groups) if may_hold(file, number, key)]
    for number in groups:
        rows = rows_of(file.read_row_group(number, columns=COLUMNS, use_threads=False), key)
        yield from counts_of_rows(rows)


def may_hold(file: pq.ParquetFile, number: int, key: EdgeKey) -> bool:
    """Whether a row group may have rows of an edge, by its smallest and largest source and destination."""
    group = file.metadata.row_group(number)
    sources = group.column(0).statistics
    if sources is None or not sources.has_min_max:
        return True
    if not sources.min <= key[0] <= sources.max:
        return False
    destinations = group.column(1).statistics
    one_source = sources.min == sources.max and destinations is not None and destinations.has_min_max
    return not one_source or destinations.min <= key[1] <= destinations.max


def counts_of_rows(rows: pa.Table) -> Iterator[EdgeCount]:
    """Rows of a chunk as values."""
    columns = (rows[name].to_pylist() for name in ("attempts", "failed", "unfinished"))
    starts = rows["window"].cast(pa.int64()).to_pylist()
    for start, attempts, failed, unfinished in zip(starts, *columns, strict=True):
        yield EdgeCount(start * NS_PER_MS, attempts, attempts - failed - unfinished, failed)


def edge_in_window(edges: pa.Table, key: EdgeKey) -> Sequence[EdgeCount]:
    """The counts of an edge in a window's own table: one, or none."""
    return list(counts_of_rows(count_columns(rows_of(edges, key))))
