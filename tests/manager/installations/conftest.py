"""A database with an agent that the API made, and a delegate that asks."""

import itertools
import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import insert

from manager.installations.agent_values import Source
from manager.installations.handout import AskingDelegate, task_wire
from manager.installations.installations import (
    Installation,
    create_installation,
    require_installation,
    stop_installation,
)
from manager.installations.progress import sweep
from manager.installations.reports import (
    Outcome,
    ReportedAgent,
    ReportedObject,
    ReportedPod,
    StatusReport,
    store_report,
)
from manager.installations.tasks import Delegate, StoredTask, find_task, lease_tasks
from manager.metrics import ManagerMetrics
from manager.store.agents import Agent
from manager.store.database import Store, upsert
from manager.store.delegate_tables import DELEGATES
from manager.store.tables import INVENTORIES, OBSERVATIONS, WINDOWS
from manager.store.tenancy import Tenant
from manager.store.tokens.token_format import Token
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND
from tests.manager.installations.seed_agent import SEED, create_agent

SECOND = NS_PER_SECOND
NOON = 1_764_504_000 * SECOND  # 2025-11-30T12:00:00Z
TENANT = Tenant("acme", "default", "shop", "demo")
DELEGATE = Delegate("d-1", Tenant("acme"), "cluster-1", "t-1")
PODS = ReportedAgent(
    ReportedPod("podsonar-collector-x", "hce", "u1", "Running", "node-a"),
    [
        ReportedPod("podsonar-node-agent-x", "hce", "u2", "Running", "node-a"),
        ReportedPod("b", "hce", "u3", "Running", "node-b"),
    ],
)
TOKEN = Token("0" * 12, "s" * 43)
COUNTER = itertools.count(1)


@dataclass
class Desk:
    """The manager's side of installations, with a clock that the test sets."""

    store: Store
    now_ns: int = NOON
    metrics: ManagerMetrics = field(default_factory=ManagerMetrics)

    def agent(self, *, permanent: bool = True, tenant: Tenant = TENANT, **data: Any) -> Agent:
        """An agent of the tenant."""
        config = SEED | {"data": SEED["data"] | data}
        return create_agent(self.store, tenant, config, self.now_ns, permanent=permanent)

    def install(self, agent: Agent) -> Installation:
        """A new installation."""
        with self.store.writing() as connection:
            return create_installation(connection, agent, self.now_ns, secrets.token_bytes)

    def stop(self, installation: Installation) -> Installation:
        """The installation, stopped."""
        with self.store.writing() as connection:
            return stop_installation(connection, installation, self.now_ns, secrets.token_bytes)

    def ask(self) -> Delegate:
        """Another poll of the delegate, as the route registers it."""
        asked_ns = self.now_ns + next(COUNTER)
        row = DELEGATE.tenant._asdict() | {
            "id": DELEGATE.id,
            "name": "d",
            "token_id": DELEGATE.token_id,
            "cluster_uid": DELEGATE.cluster_uid,
            "cluster_version": "",
            "version": "",
            "namespaces": b"[]",
            "created_ns": NOON,
            "seen_ns": asked_ns,
        }
        with self.store.writing() as connection:
            upsert(connection, DELEGATES, [row])
        return DELEGATE._replace(asked_ns=asked_ns)

    def lease(self, delegate: Delegate = DELEGATE, running: tuple[str, ...] = ()) -> list[StoredTask]:
        """What the delegate gets now."""
        with self.store.writing() as connection:
            return lease_tasks(connection, delegate, running, self.now_ns)

    def wire(self, task: StoredTask, token: Token = TOKEN) -> dict[str, Any]:
        """The task as the delegate gets it."""
        with self.store.writing() as connection:
            asking = AskingDelegate(token, "https://manager.example", allow_insecure_http=False)
            return task_wire(connection, task, asking, Source(""), self.now_ns)

    def report(self, task: StoredTask, status: str, *, message: str = "", **results: str) -> Outcome:
        """A report with a ConfigMap per keyword and its result."""
        objects = [
            ReportedObject("v1", "ConfigMap", name, result, "hce", "" if result == "absent" else f"uid-{name}")
            for name, result in results.items()
        ]
        body = StatusReport(
            delegate_id=task.delegate_id,
            attempt=task.attempt,
            status=status,
            message=message,
            objects=objects,
            agent_details=PODS if status == "SUCCESS" and task.kind == "apply" else None,
        )
        with self.store.writing() as connection:
            return store_report(connection, DELEGATE.tenant, task.id, body, self.now_ns, secrets.token_bytes)

    def task(self, task_id: str) -> StoredTask:
        """The task as it is stored."""
        with self.store.reading() as connection:
            found = find_task(connection, task_id)
        assert found is not None
        return found

    def installation(self, installation: Installation) -> Installation:
        """The installation as it is stored."""
        with self.store.reading() as connection:
            return require_installation(connection, installation.id)

    def installation_of(self, task: StoredTask) -> Installation:
        """The installation of a task."""
        with self.store.reading() as connection:
            return require_installation(connection, str(task.installation_id))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the manager's loop come by."""
        self.now_ns += int(seconds * SECOND)
        sweep(self.store, self.now_ns, secrets.token_bytes, self.metrics.count_expired_task)

    def expired(self, kind: str) -> float | None:
        """How many tasks of that kind the manager's metrics say have expired."""
        name = "podsonar_manager_delegate_tasks_expired_total"
        return self.metrics.registry.get_sample_value(name, {"kind": kind})

    def observe(self, agent: Agent, *nodes: str, start_ns: int, inventory: bool = True) -> None:
        """Batches of a window as nodes and collector push them."""
        window = Window(start_ns, start_ns + 60 * SECOND)
        with self.store.writing() as connection:
            row = {"agent_id": agent.id, "window_id": window.id}
            connection.execute(insert(WINDOWS), row | {"start_ns": window.start_ns, "end_ns": window.end_ns})
            for node in nodes:
                batch = {
                    "batch_id": f"b-{next(COUNTER)}",
                    "node_name": node,
                    "received_ns": start_ns,
                    "observation": b"{}",
                }
                connection.execute(insert(OBSERVATIONS), row | batch | {"connection_count": 0, "pod_index": b""})
            if inventory:
                about = {"agent_id": agent.id, "inventory_id": f"i-{next(COUNTER)}", "start_ns": start_ns}
                connection.execute(insert(INVENTORIES), about | {"sequence": 1, "complete": True, "reasons": b"{}"})


@pytest.fixture
def desk(store: Store) -> Desk:
    """A desk on a fresh database of each kind."""
    return Desk(store)
