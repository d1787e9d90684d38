"""A manager that keeps a window's map as soon as the window is over and a step is taken."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from manager.history.service import History
from manager.server import serving
from manager.store.database import Store
from podsonar.settings import HistorySettings, ManagerSettings
from tests.manager.conftest import Running
from tests.manager.fresh_database import migrated

SETTINGS = HistorySettings(settle_seconds=0)
NOW_NS = 1_800_000_000_000_000_000


@dataclass(frozen=True)
class Kept:
    """A running manager, and history over the same database whose steps the test takes."""

    running: Running
    store: Store
    history: History


@pytest.fixture
def kept(database: str, tmp_path: Path) -> Iterator[Kept]:
    """A manager whose own loops leave everything alone for an hour: only the test takes steps."""
    tokens = migrated(database)
    waits = ManagerSettings(history=HistorySettings(settle_seconds=3600), retention_days=3650)
    with serving(database, settings=waits, clock=lambda: NOW_NS) as url, closing(Store(database)) as store:
        yield Kept(Running(url, database, *tokens), store, History(store, SETTINGS, lambda: NOW_NS))
