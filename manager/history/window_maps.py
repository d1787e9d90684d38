"""Maps of windows: from the archive, or computed from the batches while these are still coming.

Computing one takes memory, so that only one is computed at once. The texts of the last ones are kept in memory.
"""

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import orjson
import structlog
from starlette.exceptions import HTTPException

from manager.history.archive import Archive
from manager.history.map_json import edges_json, others_json, services_json
from manager.history.map_tables import MapTables, make_tables, of_namespace
from manager.schema.records import accepted_in, connections_in
from manager.service_map.build import NodeReport, build_map
from manager.store.agents import Agent
from manager.store.batches.queries import list_windows, read_summaries
from manager.store.batches.sequences import missing_by_node
from manager.store.batches.window_batches import iterate_counts, read_batches
from manager.store.batches.window_blocks import BlocksByBatch, iterate_blocks
from manager.store.batches.writes import ACCEPTED_SIDE, CONNECTIONS_SIDE
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, find_kept, list_states
from podsonar.errors import HistoryFileError
from podsonar.gc_pause import gc_paused
from podsonar.model import Window

CACHED_BYTES = 64 << 20
WAIT_SECONDS = 20.0
NO_WINDOW = Window(0, 0)

log = structlog.get_logger()


class MapText(NamedTuple):
    """The JSON of a map: its window, its vertices, its edges, and the other members without the opening brace.

    `version` differs whenever one of them does.
    """

    version: str
    window: bytes
    services: bytes
    edges: bytes
    others: bytes

    @property
    def size(self) -> int:
        """How many bytes."""
        return sum(map(len, self))


def map_text(version: str, tables: MapTables) -> MapText:
    """The JSON of a map's tables."""
    shown = orjson.dumps(tables.document["window"])
    return MapText(version, shown, services_json(tables.services), edges_json(tables), others_json(tables))


class WindowMaps:
    """Maps by agent, window and version."""

    def __init__(self, store: Store, archive: Archive) -> None:
        self.store, self.archive = store, archive
        self.texts: OrderedDict[tuple[str, str, str], MapText] = OrderedDict()
        self.building = threading.Lock()

    def windows(self, agent: Agent) -> list[Window]:
        """The agent's windows with connections or a kept map, newest first; if there are none, with an inventory."""
        return list_windows(self.store, agent.id)

    def text(self, agent: Agent, window: Window | None, namespace: str = "") -> MapText:
        """The map of a window as JSON; without one, of what is there now and no connections."""
        kept, version = self.version(agent, window)
        key = (agent.id, version, namespace)
        if (found := self.texts.get(key)) is not None:
            return found
        with self.turn():
            if key not in self.texts:
                tables = self.read_or_compute(agent, window, kept)
                shown = of_namespace(tables, namespace) if namespace else tables
                self.remember(key, map_text(version, shown))
            return self.texts[key]

    def tables(self, agent: Agent, window: Window) -> MapTables:
        """The map of a window as tables."""
        kept, _ = self.version(agent, window)
        with self.turn():
            return self.read_or_compute(agent, window, kept)

    def read_or_compute(self, agent: Agent, window: Window | None, kept: KeptMap | None) -> MapTables:
        """The map from the archive, or from batches; 404 where its files are gone and its batches, too."""
        if kept is not None:
            try:
                return self.archive.read(agent.id, kept)
            except HistoryFileError as error:
                log.warning("history_file_missing", agent=agent.id, error=str(error))
                if not list_states(self.store, agent.id, kept.window_id):
                    raise HTTPException(404, "the files of this window's map are gone") from error
        return make_tables(self.compute(agent, window))

    def version(self, agent: Agent, window: Window | None) -> tuple[KeptMap | None, str]:
        """The kept map, unless there is more to compute it from by now, and what names this state of the map."""
        if window is None:
            return None, f"now-{agent.revision}"
        kept = find_kept(self.store, agent.id, window.id)
        state = next(iter(list_states(self.store, agent.id, window.id)), None)
        if kept and not (state and state.is_newer_than(kept)):
            return kept, f"{window.id}-r{kept.revision}-{kept.has_details:d}"
        if state is None:
            return None, f"{window.id}-{agent.revision}"
        return None, f"{window.id}-{state.batches}-{state.received_ns}-{state.inventory_ns}-{state.missing}"

    def turn(self) -> "Turn":
        """The one place in which a map is computed or read."""
        return Turn(self.building)

    def remember(self, key: tuple[str, str, str], text: MapText) -> None:
        """Keep a text, and as many of the others as there is room for."""
        self.texts[key] = text
        while len(self.texts) > 1 and sum(one.size for one in self.texts.values()) > CACHED_BYTES:
            self.texts.popitem(last=False)

    def compute(self, agent: Agent, window: Window | None) -> dict[str, Any]:
        """The map, from the batches; records are read block by block."""
        seen = read_batches(self.store, agent.id, window.id) if window else []
        connections, accepted = (
            BlocksByBatch(iterate_blocks(self.store, agent.id, seen, side))
            for side in (CONNECTIONS_SIDE, ACCEPTED_SIDE)
        )
        reports = [
            NodeReport(batch.node_name, counts, connections_in(connections.of(batch)), accepted_in(accepted.of(batch)))
            for batch, counts in iterate_counts(self.store, agent.id, seen)
        ]
        missing = missing_by_node(self.store, agent.id, window.start_ns) if window else {}
        with gc_paused():  # a map has many objects and no cycles; looking for some takes half of the time
            summaries = read_summaries(self.store, agent.id, window)
            found = build_map(window or NO_WINDOW, summaries, reports, missing=missing)
        return found if window else found | {"window": None}


class Turn:
    """A lock that is waited for so long and no longer: 503 then."""

    def __init__(self, lock: threading.Lock) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        """Wait for the lock."""
        if not self.lock.acquire(timeout=WAIT_SECONDS):
            raise HTTPException(503, "other maps are being built", headers={"Retry-After": "5"})

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.lock.release()
