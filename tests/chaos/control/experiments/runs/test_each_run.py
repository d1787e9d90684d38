"""The manager's loops over runs, of which one cannot be read: the others are ended, followed and watched."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from chaos.control.experiments.delegated.progress import DelegatedRuns
from chaos.control.experiments.delegated.run_tasks import make_task
from chaos.control.experiments.map.watch import MapWatch
from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.ends import end_overdue
from chaos.control.experiments.runs.new_run import Ordered, make_run
from chaos.control.experiments.runs.store import request_stop
from manager.history.service import History
from manager.metrics import ManagerMetrics
from manager.parts import PartContext
from manager.store.database import Store
from manager.store.experiments.runs import find_run, open_runs, update_run
from manager.store.logs.tables import LOG_STREAMS
from manager.store.tenancy import Tenant
from podsonar.errors import StoreError
from podsonar.settings import ManagerSettings
from tests.chaos.conftest import KINDS
from tests.chaos.control.experiments.delegated.run_desk import NOON, SECONDS
from tests.chaos.control.experiments.test_kserver import MANIFEST
from tests.manager.conftest import database_of

TENANTS = (Tenant("acc", "org", "pro", "env"), Tenant("evil", "org", "pro", "env"), Tenant("late", "org", "pro", "env"))
UNREADABLE = b'{"nodes":{}}'


class Runs:
    """A run of each tenant, of which that of the second cannot be read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ids: list[str] = []
        with store.writing() as connection:
            for tenant in TENANTS:
                made = make_run(
                    connection, tenant, Ordered("prod", MANIFEST, {}, {}, {}), NOON, "a", secrets.token_bytes
                )
                make_task(connection, tenant, made.run_id, "run", "cluster-1", NOON, secrets.token_bytes)
                request_stop(connection, tenant, made.run_id, "", NOON)
                self.ids.append(made.run_id)
            update_run(connection, self.ids[1], execution=UNREADABLE)

    def completed(self) -> list[bool]:
        """Whether each has ended."""
        with self.store.reading() as connection:
            rows = [find_run(connection, *of) for of in zip(TENANTS, self.ids, strict=True)]
        return [bool(row and row["completed"]) for row in rows]


class NotingWatch(MapWatch):
    """Notes which runs it looks at."""

    def __init__(self, context: PartContext) -> None:
        super().__init__(context)
        self.looked: list[str] = []

    def look_at(self, record: RunRecord) -> None:
        """Note a run that could be read."""
        self.looked.append(record.run_id)


@pytest.fixture(params=KINDS)
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runs]:
    """They are stopped, and no delegate has taken them."""
    with database_of(request, tmp_path) as database, closing(Store(database)) as store:
        store.migrate()
        yield Runs(store)


def test_deadline_ends_every_run_that_can_be_read(runs: Runs) -> None:
    """A run of one tenant that cannot be read keeps no fault of another tenant open in the books."""
    failures: list[int] = []
    each = EachRun(lambda: failures.append(1))
    for turn in (1, 2):
        with runs.store.writing() as connection:
            deadline_ns = max(row["deadline_ns"] for row in open_runs(connection))
            end_overdue(connection, deadline_ns, each)
        assert len(failures) == turn
    assert runs.completed() == [True, False, True]
    assert list(each.failed) == [runs.ids[1]]


def test_delegates_runs_are_followed_beside_one_that_cannot_be_read(runs: Runs) -> None:
    """The stop of the others is carried out, and the failure is counted."""
    failures: list[int] = []
    DelegatedRuns(runs.store, lambda: NOON + SECONDS, secrets.token_bytes, lambda: failures.append(1)).step()
    assert runs.completed() == [True, False, True]
    assert len(failures) == 1


def test_map_watches_the_runs_beside_one_that_cannot_be_read(runs: Runs) -> None:
    """Every other run is looked at, and the failure is counted."""
    with runs.store.writing() as connection:
        for run_id in runs.ids:
            update_run(connection, run_id, stop_ns=None)
    metrics = ManagerMetrics()
    history = History(runs.store, ManagerSettings().history, lambda: NOON)
    watch = NotingWatch(PartContext(runs.store, metrics, lambda: NOON, 30, history.maps))
    watch.step()
    assert sorted(watch.looked) == sorted((runs.ids[0], runs.ids[2]))
    assert 'podsonar_manager_loop_failures_total{loop="edges"} 1.0' in metrics.exposition().decode()


def test_what_a_failed_run_has_written_is_taken_back(runs: Runs) -> None:
    """Nothing is stored by halves; what was stored of the others stays."""

    def write(run_id: str) -> None:
        times = {"opened_ns": 1, "touched_ns": 1}
        connection.execute(insert(LOG_STREAMS), {"account": "a", "key": run_id, **times})
        if run_id == "b":
            raise ValueError(run_id)

    with runs.store.writing() as connection:
        EachRun().act("abc", write, connection)
    with runs.store.reading() as connection:
        keys = connection.exec_driver_sql("SELECT key FROM log_streams WHERE account = 'a'").scalars()
        assert sorted(keys) == ["a", "c"]


@pytest.mark.parametrize("error", [OperationalError("", None, Exception()), StoreError("away")])
def test_database_that_fails_is_no_fault_of_a_run(error: Exception) -> None:
    """The turn ends, and is tried again whole."""
    seen: list[str] = []

    def act(run_id: str) -> None:
        seen.append(run_id)
        raise error

    with pytest.raises(type(error)):
        EachRun().act("ab", act)
    assert seen == ["a"]
