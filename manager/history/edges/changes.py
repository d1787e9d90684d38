"""What a window brought: edges never seen before, edges that are gone, edges that fail."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manager.history.archive import EDGES, Archive
from manager.history.edges.chunks import KEY, NS_PER_MS
from manager.history.edges.diff import EdgeKey, absence_of, key_of, why_uncertain
from manager.history.edges.history import read_history
from manager.history.edges.seen import (
    SEEN,
    TIME,
    EdgesSeen,
    SeenEdge,
    merge_seen,
    moment,
    seen_in,
    without_keys,
)
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, list_kept, mark_seen


class Brought(NamedTuple):
    """How many edges a window brought that no window before had, and how many failed or were gone."""

    new: int
    failed: int
    gone: int


def gone_edges(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[EdgeKey]:
    """The edges of the window before that are not in this one and would have been seen."""
    there = {key_of(edge) for edge in now["edges"]}
    absence = absence_of(now)
    missing = (key_of(edge) for edge in before["edges"] if key_of(edge) not in there)
    return [key for key in missing if not why_uncertain(absence, key)]


class SeenKeeper:
    """Adds the edges of kept maps to those that were ever seen."""

    def __init__(self, store: Store, archive: Archive) -> None:
        self.store, self.archive = store, archive
        self.seen = EdgesSeen(archive.files)

    def step(self, agent_id: str) -> list[tuple[KeptMap, int]]:
        """Add what is missing, oldest window first; return each window with its number of new edges.

        The first window of an agent brings nothing new, and neither does one that is older than one added before.
        """
        waiting = [one for one in reversed(list_kept(self.store, agent_id)) if not one.seen]
        if not waiting:
            return []
        state, names = self.seen.read(agent_id)
        added = []
        for kept in waiting:
            edges = self.archive.read_part(agent_id, kept, EDGES)
            state = self.without_withdrawn(agent_id, state, kept, edges)
            newest = pc.max(state["last"]).as_py() if state.num_rows else None
            in_order = newest is not None and moment(kept.start_ns).as_py() > newest
            rows_before = state.num_rows
            state = merge_seen([state, seen_in(edges)])
            added.append((kept, state.num_rows - rows_before if in_order else 0))
        self.seen.write(agent_id, state, names)
        for kept, _ in added:
            mark_seen(self.store, agent_id, kept)
        return added

    def without_withdrawn(self, agent_id: str, state: pa.Table, kept: KeptMap, edges: pa.Table) -> pa.Table:
        """The state without what an earlier revision of the window had and this one has not, as other windows say."""
        if kept.revision == 1 or not state.num_rows:
            return state
        start = moment(kept.start_ns)
        at_window = state.filter(pc.or_(pc.equal(state["first"], start), pc.equal(state["last"], start)))
        there = set(zip(*(edges[name].cast(pa.string()).to_pylist() for name in KEY), strict=True))
        named = zip(*(at_window[name].to_pylist() for name in KEY), strict=True)
        withdrawn = [key for key in named if key not in there]
        if not withdrawn:
            return state
        others = [one for one in list_kept(self.store, agent_id) if one.window_id != kept.window_id and one.seen]
        still = [seen_elsewhere(self.archive, agent_id, others, key) for key in withdrawn]
        return merge_seen([without_keys(state, withdrawn), state_of([one for one in still if one])])


def seen_elsewhere(archive: Archive, agent_id: str, windows: list[KeptMap], key: EdgeKey) -> SeenEdge | None:
    """When an edge was seen, by some windows."""
    starts = read_history(archive, agent_id, windows, key).keys()
    return SeenEdge(key, min(starts), max(starts)) if starts else None


def state_of(edges: list[SeenEdge]) -> pa.Table:
    """Seen edges as a state."""
    columns = [pa.array([one.key[place] for one in edges], pa.string()) for place in range(len(KEY))]
    times = ([one.first_ns for one in edges], [one.last_ns for one in edges])
    times_ms = (pa.array([at // NS_PER_MS for at in some], pa.int64()) for some in times)
    columns += [some.cast(pa.timestamp("ms")).cast(TIME) for some in times_ms]
    return pa.table(columns, schema=SEEN)
