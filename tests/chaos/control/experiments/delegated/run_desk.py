"""The manager's side of a run that a delegate brings, with a clock that the test sets."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select, update

from chaos.control.experiments.delegated.progress import DelegatedRuns
from chaos.control.experiments.delegated.run_tasks import RunTasks, make_task
from chaos.control.experiments.delegated.runner_list import task_of_run
from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.ends import end_overdue
from chaos.control.experiments.runs.new_run import MadeRun, Ordered, make_run
from chaos.control.experiments.runs.store import record_of, request_stop
from manager.installations.agent_values import Source
from manager.installations.handout import AskedDirectory, AskingDelegate, task_wire
from manager.installations.reports import Outcome, ReportedObject, StatusReport, store_report
from manager.installations.tasks import Delegate, StoredTask, lease_tasks
from manager.store.database import Store
from manager.store.experiments.runs import find_run
from manager.store.experiments.tables import EXPERIMENT_REVISIONS
from manager.store.logs.tables import LOG_TOKENS
from manager.store.tenancy import Tenant
from manager.store.tokens.token_format import Token
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.conftest import KINDS
from tests.chaos.control.experiments.test_kserver import MANIFEST
from tests.manager.conftest import database_of

TENANT = Tenant("acc", "org", "pro", "env")
DELEGATE = Delegate("d-1", Tenant("acc"), "cluster-1", "t-1")
FIRST, SECOND = Token("0" * 12, "a" * 43), Token("1" * 12, "b" * 43)
SOURCE = Source("", tag="9.9")
SECONDS = NS_PER_SECOND
NOON = 1_764_504_000 * SECONDS


def log_tokens(store: Store, run_id: str) -> int:
    """How many tokens write the logs of a run's steps."""
    with store.reading() as connection:
        wanted = select(func.count()).select_from(LOG_TOKENS).where(LOG_TOKENS.c.key_prefix == run_id)
        return int(connection.execute(wanted).scalar_one())


@dataclass
class Desk:
    """The manager's side of one run, with a clock that the test sets."""

    store: Store
    made: MadeRun
    now_ns: int = NOON

    def __post_init__(self) -> None:
        self.runs = DelegatedRuns(self.store, lambda: self.now_ns, secrets.token_bytes)

    @property
    def record(self) -> RunRecord:
        """The run as it is now."""
        with self.store.reading() as connection:
            row = find_run(connection, TENANT, self.made.run_id)
        assert row is not None
        return record_of(row)

    def task(self, action: Any) -> StoredTask | None:
        """A task of the run."""
        with self.store.reading() as connection:
            return RunTasks(connection, self.record).get(action)

    def lease(self) -> list[StoredTask]:
        """What the delegate gets now."""
        with self.store.writing() as connection:
            return lease_tasks(connection, DELEGATE, (), self.now_ns)

    def wire(
        self, task: StoredTask, token: Token = FIRST, settings: Source = SOURCE, directory: AskedDirectory | None = None
    ) -> dict[str, Any]:
        """The task as the delegate gets it."""
        with self.store.writing() as connection:
            asking = AskingDelegate(token, "https://manager.example/", allow_insecure_http=False, directory=directory)
            return task_wire(connection, task, asking, settings, self.now_ns, task_of_run)

    def report(self, task: StoredTask, status: Any, *, gone: bool = False, message: str = "", result: Any = "") -> None:
        """A report of the delegate, which is accepted; `result`: of the runner's Deployment."""
        name = f"podsonar-run-{self.made.run_id[:8]}"
        found = [ReportedObject("apps/v1", "Deployment", name, result, "v2", "uid-1")] if result else []
        sent = StatusReport("d-1", task.attempt, status, message, found, injectors_gone=gone)
        with self.store.writing() as connection:
            outcome = store_report(connection, DELEGATE.tenant, task.id, sent, self.now_ns, secrets.token_bytes)
        assert outcome is Outcome.ACCEPTED

    def bring(self) -> None:
        """The delegate applies the runner's list."""
        (task,) = self.lease()
        self.wire(task)
        self.report(task, "SUCCESS", result="created")

    def end_by_deadline(self, *, retained: bool = False) -> None:
        """Nobody says a word until the run's deadline; its experiment may retain the runner."""
        if retained:
            spec = MANIFEST["spec"] | {"cleanupPolicy": "retain"}
            kept = orjson.dumps(MANIFEST | {"spec": spec})
            with self.store.writing() as connection:
                connection.execute(update(EXPERIMENT_REVISIONS).values(manifest=kept))
        with self.store.writing() as connection:
            end_overdue(connection, self.record.deadline_ns)

    def stop(self) -> None:
        """Somebody asks for the end, and the delegate applies the abort."""
        with self.store.writing() as connection:
            request_stop(connection, TENANT, self.made.run_id, "enough", self.now_ns)
        self.follow()

    def follow(self, seconds: float = 0.0) -> None:
        """Time passes, and the manager looks at its runs."""
        self.now_ns += int(seconds * SECONDS)
        self.runs.step()


@contextmanager
def desk_of(database: str, **spec: Any) -> Iterator[Desk]:
    """A run that waits for its delegate; `spec`: more of its experiment's."""
    with closing(Store(database)) as store:
        store.migrate()
        with store.writing() as connection:
            order = Ordered("prod", MANIFEST | {"spec": MANIFEST["spec"] | spec}, {}, {}, {})
            made = make_run(connection, TENANT, order, NOON, "ada", secrets.token_bytes)
            make_task(connection, TENANT, made.run_id, "run", "cluster-1", NOON, secrets.token_bytes, "PEM")
        yield Desk(store, made)


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A run that waits for its delegate, on each kind of database."""
    with database_of(request, tmp_path) as database, desk_of(database) as found:
        yield found


@pytest.fixture(params=KINDS)
def windows_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """The same of an experiment that wants windows of its own."""
    with database_of(request, tmp_path) as database, desk_of(database, windows={}) as found:
        yield found
