"""The records of many batches, block by block in the order of lists; a query answers for 1,000 blocks or 4 MiB.

Each query ends before its result is used. What has been deleted meanwhile is left out.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import func, select, union_all

from manager.schema.records import Block
from manager.store.batches.bounded_groups import BYTES_AT_ONCE, bounded_groups
from manager.store.batches.window_batches import Observation, WantedRecords
from manager.store.batches.writes import CONNECTIONS_SIDE
from manager.store.database import Store
from manager.store.tables import RECORD_BLOCKS

RECORDS_AT_ONCE = 200_000  # of batches whose blocks are looked up together


class StoredBlock(NamedTuple):
    """A block without its body: the number of its first record in the batch, how many they are, and its bytes."""

    batch: Observation
    block: int
    first: int
    records: int
    size: int


def iterate_blocks(
    store: Store, agent_id: str, batches: Iterable[Observation], side: int
) -> Iterator[tuple[Observation, Block]]:
    """The blocks of a side of some batches."""
    for some in bounded_groups(((batch, batch.connection_count) for batch in batches), RECORDS_AT_ONCE):
        for stored, body in iterate_bodies(store, agent_id, side, list_blocks(store, agent_id, some, side)):
            yield stored.batch, Block(stored.records, body)


def iterate_wanted_blocks(
    store: Store, agent_id: str, wanted: Iterable[WantedRecords]
) -> Iterator[tuple[StoredBlock, Sequence[int], bytes]]:
    """The blocks that hold wanted connections, with the numbers of these and the body."""
    for some in bounded_groups(((one, one.batch.connection_count) for one in wanted), RECORDS_AT_ONCE):
        numbers = {one.batch: one.numbers for one in some}
        held = {
            stored: within
            for stored in list_blocks(store, agent_id, list(numbers), CONNECTIONS_SIDE)
            if (within := numbers_within(numbers[stored.batch], stored.first, stored.records))
        }
        for stored, body in iterate_bodies(store, agent_id, CONNECTIONS_SIDE, held):
            yield stored, held[stored], body


def numbers_within(numbers: Sequence[int], first: int, records: int) -> Sequence[int]:
    """Those of some numbers in order that are of a block."""
    return numbers[bisect_left(numbers, first) : bisect_left(numbers, first + records)]


def list_blocks(store: Store, agent_id: str, batches: Sequence[Observation], side: int) -> list[StoredBlock]:
    """The blocks of a side of some batches, without bodies."""
    blocks = RECORD_BLOCKS.c
    wanted = select(blocks.batch_id, blocks.block, blocks.records, func.length(blocks.body)).where(
        blocks.agent_id == agent_id, blocks.side == side, blocks.batch_id.in_([batch.batch_id for batch in batches])
    )
    by_batch: dict[str, list[tuple[int, int, int]]] = {}
    with store.reading() as connection:
        for batch_id, *about in connection.execute(wanted.order_by(blocks.batch_id, blocks.block)):
            by_batch.setdefault(batch_id, []).append(tuple(about))
    found = []
    for batch in batches:
        first = 0
        for place, (block, records, size) in enumerate(by_batch.get(batch.batch_id, ())):
            if block != place:
                break  # the batch is being deleted: the numbers of what is left are not known
            found.append(StoredBlock(batch, block, first, records, size))
            first += records
    return found


def iterate_bodies(
    store: Store, agent_id: str, side: int, blocks: Iterable[StoredBlock]
) -> Iterator[tuple[StoredBlock, bytes]]:
    """Each block with its body, as it is stored."""
    for group in bounded_groups(((stored, stored.size) for stored in blocks), BYTES_AT_ONCE):
        bodies = read_bodies(store, agent_id, side, group)
        for stored in group:
            if (body := bodies.pop((stored.batch.batch_id, stored.block), None)) is not None:
                yield stored, body


def read_bodies(store: Store, agent_id: str, side: int, blocks: Sequence[StoredBlock]) -> dict[tuple[str, int], bytes]:
    """The bodies of some blocks, by batch and number."""
    by_number: dict[int, list[str]] = {}
    for stored in blocks:
        by_number.setdefault(stored.block, []).append(stored.batch.batch_id)
    # Not as pairs in one condition: SQLite would read the index of every block of the agent for that.
    these = RECORD_BLOCKS.c
    of_side = select(these.batch_id, these.block, these.body).where(these.agent_id == agent_id, these.side == side)
    parts = (of_side.where(these.block == number, these.batch_id.in_(ids)) for number, ids in by_number.items())
    with store.reading() as connection:
        return {(batch_id, block): body for batch_id, block, body in connection.execute(union_all(*parts))}


class BlocksByBatch:
    """Blocks that are read for many batches at once, for one reader that takes them batch by batch in their order."""

    def __init__(self, blocks: Iterator[tuple[Observation, Block]]) -> None:
        self.blocks = blocks
        self.ahead: tuple[Observation, Block] | None = None

    def of(self, batch: Observation) -> Iterator[Block]:
        """The blocks of the batch, read when they are asked for; those of all batches before it have been taken."""
        while True:
            self.ahead = self.ahead or next(self.blocks, None)
            if self.ahead is None or self.ahead[0] != batch:
                return
            block, self.ahead = self.ahead[1], None
            yield block
