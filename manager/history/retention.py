"""Deletes maps that are older than the retention, and files that no map names any more."""

from manager.history.archive import DETAILS, EDGES, NODES, SERVICES, Archive, file_name
from manager.history.edges.history import CHUNKS
from manager.store.agents import list_all_agent_ids
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, forget_details, forget_map, list_kept
from podsonar.settings import HistorySettings
from podsonar.timestamp import NS_PER_SECOND

DAY_NS = 24 * 3600 * NS_PER_SECOND


class HistoryRetention:
    """What is too old goes; a file of no map goes when it is found twice: one may be written at this moment."""

    def __init__(self, store: Store, archive: Archive, settings: HistorySettings) -> None:
        self.store, self.archive, self.settings = store, archive, settings
        self.found_before: set[tuple[str, str]] = set()

    def step(self, now_ns: int) -> dict[str, int]:
        """Delete once, and return how many maps, details and files of no map were deleted."""
        counts = {"maps": 0, "details": 0, "files": 0}
        agent_ids = list_all_agent_ids(self.store)
        self.archive.files.forget_others(agent_ids)
        unnamed: set[tuple[str, str]] = set()
        for agent_id in agent_ids:
            for kept in list_kept(self.store, agent_id, to_ns=now_ns - self.settings.retention_days * DAY_NS):
                forget_map(self.store, agent_id, kept.window_id)
                counts["maps"] += 1
            for kept in list_kept(self.store, agent_id, to_ns=now_ns - self.settings.details_days * DAY_NS):
                if kept.has_details:
                    forget_details(self.store, agent_id, kept.window_id)
                    counts["details"] += 1
            unnamed |= {(agent_id, name) for name in self.unnamed(agent_id)}
        for agent_id, name in sorted(unnamed & self.found_before):
            self.archive.files.delete(agent_id, name)
            counts["files"] += 1
        self.found_before = unnamed
        return {name: count for name, count in counts.items() if count}

    def unnamed(self, agent_id: str) -> set[str]:
        """The files of an agent that no kept map names."""
        named = {name for kept in list_kept(self.store, agent_id) for name in names_of(kept)}
        files = self.archive.files
        folders = (EDGES, DETAILS, NODES, SERVICES, CHUNKS)
        return {name for folder in folders for name in files.names(agent_id, folder)} - named


def names_of(kept: KeptMap) -> list[str]:
    """The files of a kept map."""
    own = [kept.services_file, *((kept.chunk,) if kept.chunk else ())]
    folders = (EDGES, NODES, *((DETAILS,) if kept.has_details else ()))
    return [*own, *(file_name(folder, kept.window_id, kept.revision) for folder in folders)]
