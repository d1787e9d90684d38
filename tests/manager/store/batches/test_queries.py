"""Which windows an agent has: those with connections, those whose map is kept, and else those with an inventory."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, insert

from manager.store.batches.queries import list_windows
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, keep_map
from manager.store.tables import OBSERVATIONS, WINDOWS
from manager.store.tokens.issued import create_token
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND
from tests.manager.fresh_database import agent_of

HOUR_NS = 3600 * NS_PER_SECOND


def hour(number: int) -> Window:
    """The window of one hour."""
    return Window(number * HOUR_NS, (number + 1) * HOUR_NS)


def add_window(store: Store, window: Window, batches: int) -> None:
    """Store a window that has so many batches."""
    agent = agent_of(store)
    empty = {"node_name": "n", "received_ns": 1, "observation": b"", "connection_count": 0, "pod_index": b""}
    with store.writing() as connection:
        row = {"agent_id": agent, "window_id": window.id, "start_ns": window.start_ns, "end_ns": window.end_ns}
        connection.execute(insert(WINDOWS).values(row))
        for number in range(batches):
            batch = {"agent_id": agent, "batch_id": f"{window.id}-{number}", "window_id": window.id}
            connection.execute(insert(OBSERVATIONS).values(batch | empty))


def keep(store: Store, window: Window) -> None:
    """Keep a map of a window."""
    kept = KeptMap(window.id, window.start_ns, window.end_ns, 1, 1, 1, 0, 0, 1, "", "", False, True, None, {})
    keep_map(store, agent_of(store), kept)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database with one agent."""
    with closing(Store(f"sqlite:///{tmp_path / 'manager.db'}")) as made:
        made.migrate()
        create_token(made, "ingest", "lab", 1, secrets.token_bytes)
        yield made


def test_windows_with_batches_or_a_kept_map_come_once_newest_first(store: Store) -> None:
    """One of both comes once, and one with neither does not come."""
    for number, batches in ((3, 1), (1, 2), (5, 0), (2, 1)):
        add_window(store, hour(number), batches)
    for number in (2, 4, 0):
        keep(store, hour(number))
    assert list_windows(store, agent_of(store)) == [hour(number) for number in (4, 3, 2, 1, 0)]


def test_windows_with_an_inventory_come_where_nothing_was_observed(store: Store) -> None:
    """Without batches and maps, every window there is."""
    for number in (1, 3, 2):
        add_window(store, hour(number), 0)
    assert list_windows(store, agent_of(store)) == [hour(number) for number in (3, 2, 1)]


def test_windows_are_found_by_indexes_alone(store: Store) -> None:
    """No batch is read for the list of windows, and no document of a map."""
    add_window(store, hour(1), 1)
    statements: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: tuple[object, ...], *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    list_windows(store, agent_of(store))
    event.remove(store.engine, "before_cursor_execute", note)
    (statement, parameters), *_ = [one for one in statements if "window_maps" in one[0]]
    assert "document" not in statement
    with store.reading() as connection:
        rows = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
    plan = [row[3] for row in rows]
    assert any("observations USING COVERING INDEX observations_window" in step for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan
