"""One window's map, written to the files of history and read from them."""

import hashlib
from typing import Any

from manager.history.files import HistoryFiles
from manager.history.map_tables import MapTables, from_parquet, make_tables, to_parquet
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, WindowState, find_kept, keep_map

EDGES, DETAILS, NODES, SERVICES = "edges", "details", "nodes", "services"


def file_name(folder: str, window_id: str, revision: int) -> str:
    """The name of a window's file; without colons, which some file systems do not take."""
    return f"{folder}/{window_id.replace('-', '').replace(':', '')}-r{revision}.parquet"


class Archive:
    """Maps of windows as files, with a row of the database each; a file that is named by a row never changes.

    Files of earlier revisions stay until retention deletes them: somebody may be about to read one.
    """

    def __init__(self, store: Store, files: HistoryFiles) -> None:
        self.store, self.files = store, files

    def keep(self, agent_id: str, state: WindowState, found: dict[str, Any], now_ns: int) -> KeptMap:
        """Keep the map of a window; a new revision only if it differs from the one that is kept."""
        tables = make_tables(found)
        services, *bodies = (to_parquet(one) for one in (tables.services, tables.edges, tables.details, tables.nodes))
        digest = hashlib.sha256(services)
        services_file = f"{SERVICES}/{digest.hexdigest()[:32]}.parquet"
        for body in bodies:
            digest.update(hashlib.sha256(body).digest())
        window = state.window
        earlier = find_kept(self.store, agent_id, window.id)
        same = earlier is not None and earlier.digest == digest.hexdigest()
        kept = KeptMap(
            window.id,
            window.start_ns,
            window.end_ns,
            revision=(earlier.revision if earlier else 0) + (0 if same else 1),
            batches=state.batches,
            received_ns=state.received_ns,
            inventory_ns=state.inventory_ns,
            missing=state.missing,
            computed_ns=earlier.computed_ns if same and earlier else now_ns,
            digest=digest.hexdigest(),
            services_file=services_file,
            has_details=True,
            seen=same and earlier is not None and earlier.seen,
            chunk=earlier.chunk if same and earlier else None,
            document=tables.document,
        )
        if not same:
            self.files.write(agent_id, services_file, services)
            for folder, body in zip((EDGES, DETAILS, NODES), bodies, strict=True):
                self.files.write(agent_id, file_name(folder, window.id, kept.revision), body)
        keep_map(self.store, agent_id, kept)
        return kept

    def read(self, agent_id: str, kept: KeptMap) -> MapTables:
        """The tables of a kept map."""
        services = from_parquet(self.files.read(agent_id, kept.services_file))
        details = self.read_part(agent_id, kept, DETAILS) if kept.has_details else None
        edges, nodes = (self.read_part(agent_id, kept, folder) for folder in (EDGES, NODES))
        return MapTables(edges, details, services, nodes, kept.document)

    def read_part(self, agent_id: str, kept: KeptMap, folder: str) -> Any:  # noqa: ANN401 - a table of pyarrow
        """One table of a kept map."""
        return from_parquet(self.files.read(agent_id, file_name(folder, kept.window_id, kept.revision)))
