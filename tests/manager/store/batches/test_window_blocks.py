"""Blocks of many batches: each once and in order, in bounded memory, and what goes meanwhile is left out."""

import random
import tracemalloc
from array import array
from collections.abc import Iterator
from zlib import crc32

import pytest
from sqlalchemy import delete, insert

from manager.schema.records import ACCEPTED, CONNECTIONS, unpack_block
from manager.store.batches.bounded_groups import BYTES_AT_ONCE
from manager.store.batches.window_batches import (
    Observation,
    WantedRecords,
    iterate_batches,
    iterate_counts,
    iterate_pod_places,
    read_batches,
)
from manager.store.batches.window_blocks import BlocksByBatch, iterate_blocks, iterate_wanted_blocks
from manager.store.batches.writes import ACCEPTED_SIDE, CONNECTIONS_SIDE
from manager.store.database import Store
from manager.store.tables import OBSERVATIONS, RECORD_BLOCKS
from tests.manager.fresh_database import agent_of
from tests.manager.store.batches.filled_windows import FilledWindow, fill_window

SIZES = [0, 3, 1500, 0, 2, 2100, 1, 0]
HOUR = 499_000
MIB = 1 << 20


@pytest.fixture
def window(store: Store) -> FilledWindow:
    """A window of a few batches, some without connections, some of several blocks."""
    return fill_window(store, HOUR, SIZES, random.Random(5))  # noqa: S311 - a repeatable sequence is what is wanted


def numbers_read(store: Store, wanted: Iterator[WantedRecords]) -> Iterator[tuple[str, int]]:
    """The batch and number of each connection that was wanted and read."""
    for stored, numbers, body in iterate_wanted_blocks(store, agent_of(store), wanted):
        records = CONNECTIONS.decode(unpack_block(body))
        assert len(records) == stored.records
        for number in numbers:
            assert records[number - stored.first].attempts == number
            yield stored.batch.batch_id, number


def test_batches_hand_out_their_own_blocks_one_after_the_other(store: Store, window: FilledWindow) -> None:
    """Each side of each batch is what was pushed, also where batches around it have nothing."""
    agent = agent_of(store)
    batches = read_batches(store, agent, window.window.id)
    assert [one.batch_id for one in batches] == [one.batch_id for one in window.pushed]
    for side, decoder, name in (
        (CONNECTIONS_SIDE, CONNECTIONS, "connectionList"),
        (ACCEPTED_SIDE, ACCEPTED, "acceptedList"),
    ):
        blocks = BlocksByBatch(iterate_blocks(store, agent, iter(batches), side))
        found = [[len(decoder.decode(unpack_block(one.body))) for one in blocks.of(batch)] for batch in batches]
        assert [sum(sizes) for sizes in found] == [len(one.body[name]) for one in window.pushed]
        assert (max(len(sizes) for sizes in found) > 2) == (side == CONNECTIONS_SIDE)


def test_batch_that_is_deleted_while_a_list_is_read_is_left_out(store: Store, window: FilledWindow) -> None:
    """A batch without its counts, one without blocks, one without its first block: the others come whole."""
    agent = agent_of(store)
    batches = list(iterate_batches(store, agent, window.window.id))
    gone, half = (next(one for one in batches if one.connection_count == size) for size in (1500, 2100))
    with store.writing() as connection:
        for table in (OBSERVATIONS, RECORD_BLOCKS):
            connection.execute(delete(table).where(table.c.batch_id == gone.batch_id))
        first = (RECORD_BLOCKS.c.batch_id == half.batch_id) & (RECORD_BLOCKS.c.block == 0)
        connection.execute(delete(RECORD_BLOCKS).where(first))
    wanted = (WantedRecords(one, range(one.connection_count)) for one in batches)
    left = [one for one in batches if one not in (gone, half)]
    every = [(one.batch_id, number) for one in left for number in range(one.connection_count)]
    assert list(numbers_read(store, wanted)) == every
    counts = dict(iterate_counts(store, agent, batches))
    assert counts[gone] == {}
    assert counts[half]["attempts"] == sum(range(2100))


def test_batches_deleted_between_two_groups_end_no_list(store: Store) -> None:
    """Of 1,200 batches the last ones go while the first ones are read; order and the rest stay."""
    window = fill_window(store, HOUR, [1] * 1200, random.Random(6))  # noqa: S311 - repeatable
    agent, last = agent_of(store), window.pushed[1100:]
    batches = iterate_batches(store, agent, window.window.id)
    found = numbers_read(store, (WantedRecords(one, range(1)) for one in batches))
    first = next(found)
    with store.writing() as connection:
        for one in last:
            for table in (OBSERVATIONS, RECORD_BLOCKS):
                connection.execute(delete(table).where(table.c.batch_id == one.batch_id))
    assert [first, *found] == [(one.batch_id, 0) for one in window.pushed[:1100]]


def add_batch(store: Store, name: str, pod_index: bytes, bodies: list[bytes]) -> Observation:
    """Store a batch with such an index and such blocks, of a record each."""
    agent = agent_of(store)
    row = {"agent_id": agent, "batch_id": name, "window_id": "w", "node_name": "n", "received_ns": 1}
    row |= {"observation": b"{}", "connection_count": len(bodies), "pod_index": pod_index}
    blocks = [
        {"agent_id": agent, "batch_id": name, "side": CONNECTIONS_SIDE, "block": block, "records": 1, "body": body}
        for block, body in enumerate(bodies)
    ]
    with store.writing() as connection:
        connection.execute(insert(OBSERVATIONS).values(row))
        if blocks:
            connection.execute(insert(RECORD_BLOCKS), blocks)
    return Observation(name, "n", 1, len(bodies))


def test_indexes_and_bodies_are_held_for_a_few_batches_at_once(store: Store) -> None:
    """Of 48 MiB of indexes and as many of blocks never more than two groups, however they lie in the batches."""
    word = crc32(b"uid-a") << 32
    agent = agent_of(store)
    for number in range(32):
        index = array("Q", [word + 1, *[2**64 - 1] * (3 * MIB // 16)]).tobytes()
        add_batch(store, f"b-{number:02}", index, [bytes(MIB // 2)] * 3)
    batches = read_batches(store, agent, "w")
    tracemalloc.start()
    try:
        places = list(iterate_pod_places(store, agent, iterate_batches(store, agent, "w"), "uid-a"))
        _, of_indexes = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        wanted = (WantedRecords(one, range(3)) for one in batches)
        size = sum(len(body) for _, _, body in iterate_wanted_blocks(store, agent, wanted))
        _, of_blocks = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert places == [WantedRecords(one, [1]) for one in batches]
    assert size == 48 * MIB
    assert max(of_indexes, of_blocks) < 3 * BYTES_AT_ONCE
