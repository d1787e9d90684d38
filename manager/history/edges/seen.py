"""Every edge that was ever seen, with the first and the last window in which it was.

One file per agent. Two managers that write at once leave two, which the next one puts together: first and last are the
least and the greatest of all that is known, in whichever order it comes.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manager.history.edges.chunks import KEY, NS_PER_MS
from manager.history.edges.diff import EdgeKey
from manager.history.files import HistoryFiles
from manager.history.map_tables import from_parquet, to_parquet
from podsonar.errors import HistoryFileError

FOLDER = "seen"
TIME = pa.timestamp("ms", "UTC")
SEEN = pa.schema([*((name, pa.string()) for name in KEY), ("first", TIME), ("last", TIME)])


class SeenEdge(NamedTuple):
    """An edge, and the starts of the first and the last window in which it was seen."""

    key: EdgeKey
    first_ns: int
    last_ns: int


def seen_in(edges: pa.Table) -> pa.Table:
    """A window's edges as seen in that window alone."""
    columns = [edges[name].cast(pa.string()) for name in KEY]
    return pa.table([*columns, edges["window"], edges["window"]], schema=SEEN)


def merge_seen(states: Sequence[pa.Table]) -> pa.Table:
    """All edges of the states, each once."""
    if not states:
        return SEEN.empty_table()
    grouped = pa.concat_tables(states).group_by(list(KEY), use_threads=False)
    merged = grouped.aggregate([("first", "min"), ("last", "max")])
    return merged.select([*KEY, "first_min", "last_max"]).rename_columns(SEEN.names).cast(SEEN)


def without_keys(state: pa.Table, keys: Iterable[EdgeKey]) -> pa.Table:
    """The state without some edges."""
    gone = {"\0".join(key) for key in keys}
    if not gone:
        return state
    texts = pc.binary_join_element_wise(*(state[name] for name in KEY), "\0")
    return state.filter(pc.invert(pc.is_in(texts, pa.array(sorted(gone)))))


def edges_of_state(state: pa.Table) -> Iterator[SeenEdge]:
    """The rows of a state as values."""
    columns = [state[name].to_pylist() for name in KEY]
    times = [state[name].cast(pa.int64()).to_pylist() for name in ("first", "last")]
    for *key, first, last in zip(*columns, *times, strict=True):
        yield SeenEdge((key[0], key[1], key[2], key[3]), first * NS_PER_MS, last * NS_PER_MS)


def moment(at_ns: int) -> pa.Scalar:
    """A time as these tables have it, to the millisecond."""
    return pa.scalar(at_ns // NS_PER_MS, pa.int64()).cast(pa.timestamp("ms")).cast(TIME)


class EdgesSeen:
    """The edges of each agent, in files."""

    def __init__(self, files: HistoryFiles) -> None:
        self.files = files

    def read(self, agent_id: str) -> tuple[pa.Table, list[str]]:
        """The state, and the files that it was read from."""
        names = self.files.names(agent_id, FOLDER)
        states = []
        for name in names:
            try:
                states.append(from_parquet(self.files.read(agent_id, name)))
            except HistoryFileError:
                continue  # another manager has put it into a newer file, which is read next time
        return (states[0] if len(states) == 1 else merge_seen(states)), names

    def write(self, agent_id: str, state: pa.Table, instead_of: Iterable[str]) -> None:
        """Write the state, and delete the files that it takes the place of."""
        self.files.write(agent_id, f"{FOLDER}/{uuid.uuid4().hex}.parquet", to_parquet(state))
        for name in instead_of:
            self.files.delete(agent_id, name)

    def since(self, agent_id: str, since_ns: int) -> list[SeenEdge]:
        """The edges that were first or last seen in a window that starts at or after a time."""
        state, _ = self.read(agent_id)
        return list(edges_of_state(state.filter(pc.greater_equal(state["last"], moment(since_ns)))))

    def find(self, agent_id: str, key: EdgeKey) -> SeenEdge | None:
        """When an edge was seen."""
        state, _ = self.read(agent_id)
        for name, text in zip(KEY, key, strict=True):
            state = state.filter(pc.equal(state[name], text))
        return next(edges_of_state(state), None)
