"""Maps of windows, computed one at a time and kept as JSON until their agent sends something new."""

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import orjson
from starlette.exceptions import HTTPException

from manager.schema.records import accepted_in, connections_in
from manager.service_map.build import NodeReport, build_map
from manager.store.batches import ACCEPTED_SIDE, CONNECTIONS_SIDE
from manager.store.database import Store
from manager.store.queries import iterate_blocks, read_counts, read_observations, read_summaries
from manager.store.tokens import Agent
from podsonar.gc_pause import gc_paused
from podsonar.model import Window

CACHED_BYTES = 64 << 20
WAIT_SECONDS = 20.0
NO_WINDOW = Window(0, 0)


class MapText(NamedTuple):
    """The JSON of a map: its window, its vertices, its edges, and the other members without the opening brace."""

    window: bytes
    services: bytes
    edges: bytes
    others: bytes

    @property
    def size(self) -> int:
        """How many bytes."""
        return sum(map(len, self))


class MapCache:
    """Maps by agent, revision, window and namespace. Building one takes memory, so that only one is built at once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.maps: OrderedDict[tuple[str, int, str, str], MapText] = OrderedDict()
        self.building = threading.Lock()

    def get(self, agent: Agent, window: Window | None, namespace: str) -> MapText:
        """The map of a window; without one, of what is there now and no connections. 503 while others are built."""
        key = (agent.id, agent.revision, window.id if window else "", namespace)
        if (found := self.maps.get(key)) is not None:
            return found
        if not self.building.acquire(timeout=WAIT_SECONDS):
            raise HTTPException(503, "other maps are being built", headers={"Retry-After": "5"})
        try:
            if key not in self.maps:
                self.maps[key] = self.build(agent, window, namespace)
                while len(self.maps) > 1 and sum(one.size for one in self.maps.values()) > CACHED_BYTES:
                    self.maps.popitem(last=False)
            return self.maps[key]
        finally:
            self.building.release()

    def build(self, agent: Agent, window: Window | None, namespace: str) -> MapText:
        """The map, from the store; records are read block by block."""
        seen = read_observations(self.store, agent.id, window.id) if window else []
        reports = [
            NodeReport(
                batch.node_name,
                read_counts(self.store, agent.id, batch.batch_id),
                connections_in(iterate_blocks(self.store, agent.id, batch.batch_id, CONNECTIONS_SIDE)),
                accepted_in(iterate_blocks(self.store, agent.id, batch.batch_id, ACCEPTED_SIDE)),
            )
            for batch in seen
        ]
        with gc_paused():  # a map has many objects and no cycles; looking for some takes half of the time
            found: dict[str, Any] = build_map(
                window or NO_WINDOW, read_summaries(self.store, agent.id, window), reports, namespace
            )
            if window is None:
                found["window"] = None
            shown, services, edges = (orjson.dumps(found.pop(part)) for part in ("window", "services", "edges"))
            return MapText(shown, services, edges, orjson.dumps(found)[1:])
