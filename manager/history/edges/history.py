"""The counts of an edge over many windows: from chunks, and from the windows that are in none yet."""

from collections.abc import Iterable

from manager.history.archive import EDGES, Archive
from manager.history.edges.chunks import CHUNK_WINDOWS, EdgeCount, edge_in_chunk, edge_in_window, make_chunk
from manager.history.edges.diff import EdgeKey
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, list_kept, mark_chunk

CHUNKS = "chunks"
OPEN_WINDOWS = 2  # the newest are left out of chunks: the next inventory may still change them


def read_history(archive: Archive, agent_id: str, windows: Iterable[KeptMap], key: EdgeKey) -> dict[int, EdgeCount]:
    """The counts of an edge by the start of the window, of those windows in which it was."""
    found: dict[int, EdgeCount] = {}
    in_chunk: dict[str, set[int]] = {}
    for kept in windows:
        if kept.chunk is not None:
            in_chunk.setdefault(kept.chunk, set()).add(kept.start_ns)
        else:
            found |= {one.start_ns: one for one in edge_in_window(archive.read_part(agent_id, kept, EDGES), key)}
    for name, starts in in_chunk.items():
        counts = edge_in_chunk(archive.files.read(agent_id, name), key)
        found |= {one.start_ns: one for one in counts if one.start_ns in starts}
    return found


def chunk_due(kept: Iterable[KeptMap]) -> list[KeptMap]:
    """The windows that make up the next chunk, oldest first; empty until there are enough."""
    waiting = sorted((one for one in kept if one.chunk is None), key=lambda one: one.start_ns)
    return waiting[:CHUNK_WINDOWS] if len(waiting) >= CHUNK_WINDOWS + OPEN_WINDOWS else []


def write_chunks(store: Store, archive: Archive, agent_id: str) -> int:
    """Put windows into chunks while there are enough, and return how many chunks were written."""
    written = 0
    while windows := chunk_due(list_kept(store, agent_id)):
        first, last = (one.window_id.replace("-", "").replace(":", "") for one in (windows[0], windows[-1]))
        revisions = sum(one.revision for one in windows)
        name = f"{CHUNKS}/{first}-{last}-r{revisions}.parquet"
        archive.files.write(agent_id, name, make_chunk(archive.read_part(agent_id, one, EDGES) for one in windows))
        mark_chunk(store, agent_id, windows, name)
        written += 1
    return written
