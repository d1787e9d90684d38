"""Positions that no line of a writer has: the same by chunks in their order as by all positions at once."""

from typing import NamedTuple

import orjson
from hypothesis import given
from hypothesis import strategies as st

from manager.store.logs.lines import position_ranges
from manager.store.logs.reads import RANGES_WAITING, gaps_of


class Row(NamedTuple):
    """What is stored of a chunk."""

    first_pos: int
    positions: bytes


def row_of(positions: set[int]) -> Row:
    """A chunk with these positions."""
    return Row(min(positions), orjson.dumps(position_ranges(sorted(positions))))


@given(st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=12), max_size=8))
def test_gaps_are_those_of_all_positions(chunks: list[set[int]]) -> None:
    """However chunks overlap."""
    rows = sorted(map(row_of, chunks), key=lambda row: row.first_pos)
    taken = set().union(*chunks) if chunks else set()
    missing = sorted(set(range(1, max(taken, default=0))) - taken)
    found = [(one["first"], one["last"]) for one in gaps_of("w", rows)]
    assert found == [tuple(one) for one in position_ranges(missing)]


def test_chunks_that_overlap_without_end_are_looked_at_as_far_as_there_is_room() -> None:
    """What was found until then is certain."""
    rows = [row_of({3 * number + 2, *range(10**6 + number % 7, 10**6 + 4000, 2)}) for number in range(60)]
    found = list(gaps_of("w", rows))
    assert 0 < len(found) < 60
    assert found[:2] == [{"writer": "w", "first": 1, "last": 1}, {"writer": "w", "first": 3, "last": 4}]
    assert sum(len(orjson.loads(row.positions)) for row in rows) > RANGES_WAITING
