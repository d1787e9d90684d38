"""History as the manager runs it: its parts put together, and the loop that keeps maps."""

from collections.abc import Callable

import anyio
import structlog

from manager.history.archive import Archive
from manager.history.edges.changes import Brought, SeenKeeper, gone_edges
from manager.history.edges.history import write_chunks
from manager.history.files import open_files
from manager.history.keeper import HistoryKeeper
from manager.history.map_json import map_of
from manager.history.retention import HistoryRetention
from manager.history.window_maps import WindowMaps
from manager.store.agents import Agent, list_agents
from manager.store.database import Store
from manager.store.maps.windows import newest_kept
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError
from podsonar.model import Window
from podsonar.settings import HistorySettings

STEP_SECONDS = 5
RETAIN_SECONDS = 3600

log = structlog.get_logger()


def ignore_window(_brought: Brought) -> None:
    """Discard what a window brought."""


class History:
    """The maps of all windows, and what keeps them."""

    def __init__(self, store: Store, settings: HistorySettings, clock: Callable[[], int]) -> None:
        self.store, self.clock = store, clock
        self.archive = Archive(store, open_files(store, settings.folder))
        self.maps = WindowMaps(store, self.archive)
        self.keeper = HistoryKeeper(store, self.archive, self.compute, settings.settle_seconds)
        self.seen_keeper = SeenKeeper(store, self.archive)
        self.on_window: Callable[[Brought], object] = ignore_window
        self.indexed: set[str] = set()
        self.retention = HistoryRetention(store, self.archive, settings)

    def compute(self, agent: Agent, window: Window) -> dict[str, object]:
        """A map from its batches, in turn with those that requests ask for."""
        with self.maps.turn():
            return self.maps.compute(agent, window)

    def keep_due(self) -> int:
        """Compute the maps that are due, add them to what spans many windows, and return how many there were."""
        made = self.keeper.step(self.clock())
        touched = {agent.id for agent, _ in made}
        for agent in list_agents(self.store):
            # Once after the start as well: the manager may have ended between the two.
            if agent.id in touched or agent.id not in self.indexed:
                self.index(agent)
                self.indexed.add(agent.id)
        return len(made)

    def index(self, agent: Agent) -> None:
        """Add an agent's kept maps to the edges that were seen and to chunks."""
        for kept, new in self.seen_keeper.step(agent.id):
            before = newest_kept(self.store, agent.id, to_ns=kept.start_ns)
            newest = newest_kept(self.store, agent.id)
            if before is None or newest is None or newest.window_id != kept.window_id or kept.window.purpose:
                continue
            maps = (map_of(self.archive.read(agent.id, one)) for one in (before, kept))
            failed = int(kept.document["totals"]["failedEdges"])
            self.on_window(Brought(new, failed, len(gone_edges(*maps))))
        write_chunks(self.store, self.archive, agent.id)

    async def keep_loop(self) -> None:
        """Compute maps as their batches come in, until cancelled."""
        while True:
            made = 0
            try:
                made = await run_in_thread(self.keep_due)
            except StoreError as error:
                log.warning("maps_not_kept", error=str(error))
            if not made:
                await anyio.sleep(STEP_SECONDS)

    async def retain_loop(self) -> None:
        """Delete what is too old, once an hour, until cancelled."""
        while True:
            await anyio.sleep(RETAIN_SECONDS)
            try:
                counts = await run_in_thread(self.retention.step, self.clock())
                if counts:
                    log.info("history_deleted", **counts)
            except StoreError as error:
                log.warning("history_not_deleted", error=str(error))
