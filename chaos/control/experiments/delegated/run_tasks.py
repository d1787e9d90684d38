"""The tasks of a run: bring its runner, tell it to stop, take everything away. Each is made once."""

from collections.abc import Callable
from typing import Any, Literal

from sqlalchemy import Connection

from chaos.control.experiments.runner_manifests import TENANT_OF_RUNNER
from chaos.control.experiments.runs.document import RunRecord
from chaos.runner.environment import check_authority
from manager.installations.log_access import open_log, write_log
from manager.installations.owned_objects import owned_objects
from manager.installations.tasks import OPEN, StoredTask, create_task, lock_untaken, tasks_of_run
from manager.store.tenancy import Tenant
from podsonar.errors import InputError, SettingsError

# How long a runner's pod may take until it runs. Meanwhile the delegate does nothing else.
RUNNER_SECONDS = 60.0
RandomBytes = Callable[[int], bytes]
Action = Literal["run", "abort", "remove"]


def check_delegated(tenant: Tenant, authority: str) -> None:
    """InputError for a run whose runner would not start."""
    missing = [name for name in TENANT_OF_RUNNER if not getattr(tenant, name)]
    if missing:
        raise InputError(f"a runner has a place of its own: expected {' and '.join(missing)}")
    if authority:
        try:
            check_authority(authority)
        except SettingsError as error:
            raise InputError("authority holds no certificate: expected PEM") from error


def log_key(run_id: str) -> str:
    """The log stream of a run's tasks."""
    return f"{run_id}-delegate"


def make_task(
    connection: Connection,
    tenant: Tenant,
    run_id: str,
    action: Action,
    cluster_uid: str,
    now_ns: int,
    random_bytes: RandomBytes,
    authority: str = "",
) -> str:
    """Store a task of a run for the delegate of a cluster, and return its id.

    `authority`: the PEM by which the runner verifies the manager; empty for those of its image.
    """
    body: dict[str, Any] = {"action": action, "awaitSeconds": RUNNER_SECONDS if action == "run" else 0.0}
    body |= {"authority": authority} if authority else {}
    kind: Literal["apply", "delete"] = "delete" if action == "remove" else "apply"
    task_id = create_task(
        connection,
        tenant,
        kind,
        body,
        now_ns,
        random_bytes,
        log_key=log_key(run_id),
        run_id=run_id,
        cluster_uid=cluster_uid,
    )
    open_log(connection, tenant, log_key(run_id), now_ns)
    write_log(connection, tenant, log_key(run_id), f"{action}: waiting for the delegate", now_ns)
    return task_id


class RunTasks:
    """The tasks of one run as they are now; with `lock` no delegate takes one of `untaken` in this transaction."""

    def __init__(self, connection: Connection, record: RunRecord, *, lock: bool = False) -> None:
        self.record = record
        locked = lock_untaken(connection, record.run_id) if lock else None
        self.all = tasks_of_run(connection, record.run_id)
        self.by_action: dict[str, StoredTask] = {str(task.body.get("action")): task for task in self.all}
        self.open = [task for task in self.all if task.status in OPEN]
        self.untaken = [one for one in self.open if one.status == "PROCESSED" and (locked is None or one.id in locked)]

    def get(self, action: Action) -> StoredTask | None:
        """The task of an action, if it was made."""
        return self.by_action.get(action)

    @property
    def owned(self) -> list[dict[str, Any]]:
        """The objects that a delegate has created for the run, and not deleted."""
        return owned_objects((task.kind, task.objects) for task in self.all)

    def add(self, connection: Connection, action: Action, now_ns: int, random_bytes: RandomBytes) -> None:
        """Make a task in the cluster of the first."""
        cluster = self.all[0].cluster_uid
        make_task(connection, self.record.tenant, self.record.run_id, action, cluster, now_ns, random_bytes)
