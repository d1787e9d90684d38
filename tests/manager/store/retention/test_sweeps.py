"""What the manager's other loops look for, they find by an index too: maps that are too old, installations, tasks."""

import secrets

from manager.history.archive import Archive
from manager.history.files import DatabaseFiles
from manager.history.retention import HistoryRetention
from manager.installations.progress import sweep
from manager.store.database import Store
from manager.store.retention import DAY_NS
from manager.store.tables import HISTORY_FILES, WINDOW_MAPS, WINDOW_TAGS
from podsonar.settings import HistorySettings
from tests.manager.fresh_database import agent_of
from tests.manager.store.retention.aged_rows import insert_rows, random_rows, seeded
from tests.manager.store.retention.query_plans import watch_plans

NOW_NS = 500 * DAY_NS
MAPS = 23


def test_no_statement_about_maps_that_are_too_old_reads_a_whole_table(sqlite: Store) -> None:
    """Maps, their details, names and files, here in the database, go by the agent and the window."""
    agent = {"agent_id": agent_of(sqlite)}
    counts = {"revision": 1, "batches": 1, "received_ns": 1, "inventory_ns": 1, "missing": 0, "computed_ns": 1}
    rest = {"digest": "", "services_file": "", "has_details": True, "seen": True, "chunk": None, "document": b"{}"}
    maps = [{"window_id": f"w-{n}", "start_ns": n * DAY_NS, "end_ns": n * DAY_NS + 1} for n in range(MAPS)]
    late = [{"window_id": f"l-{n}", "start_ns": n * DAY_NS, "end_ns": n * DAY_NS + 1} for n in range(400, 400 + MAPS)]
    rows = {
        WINDOW_MAPS: [agent | counts | rest | one for one in maps + late],
        WINDOW_TAGS: [agent | {"name": "old", "window_id": "w-1", "tagged_ns": 1}],
        HISTORY_FILES: [agent | {"name": f"edges/w-{n}.1.parquet", "body": b""} for n in range(MAPS)],
    }
    insert_rows(sqlite, rows)
    retention = HistoryRetention(sqlite, Archive(sqlite, DatabaseFiles(sqlite)), HistorySettings())
    plans = watch_plans(sqlite)
    assert retention.step(NOW_NS) == {"maps": MAPS, "details": MAPS}
    assert retention.step(NOW_NS) == {"files": MAPS}
    assert plans.deleted_from == {"window_maps", "window_tags", "history_files"}
    assert {step.partition(" USING ")[0] for step in plans.scans()} == {"SCAN agents"}


def test_no_statement_of_the_sweep_of_installations_reads_a_whole_table(sqlite: Store) -> None:
    """Tasks and installations are found by their state, whatever there was before."""
    rows = random_rows(seeded(7), agent_of(sqlite), range(1, 100), 50)
    insert_rows(sqlite, rows)
    plans = watch_plans(sqlite)
    sweep(sqlite, NOW_NS, secrets.token_bytes, lambda _kind: None)
    assert any("delegate_tasks" in step for step in plans.read)
    assert any("installations" in step for step in plans.read)
    assert {step.partition(" USING ")[0] for step in plans.scans()} <= {"SCAN agents"}
