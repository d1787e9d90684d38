"""Tasks of delegates: stored, leased, handed out again when a lease ends, expired when nobody asks.

At least once is right: applying a list twice changes nothing, and deleting is by uid.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, update

from manager.installations.owned_objects import owned_objects
from manager.store.delegate_tables import DELEGATE_TASKS, DELEGATES
from manager.store.tenancy import Tenant
from podsonar.timestamp import NS_PER_SECOND

LEASE_SECONDS = 60
EXPIRE_NS = 600 * NS_PER_SECOND
TASKS_PER_POLL = 4
OPEN = ("PROCESSED", "RUNNING")
TASK = DELEGATE_TASKS.c

TaskKind = Literal["apply", "delete"]


class Delegate(NamedTuple):
    """A delegate that asks now; `asked_ns`: when this poll began."""

    id: str
    tenant: Tenant
    cluster_uid: str
    token_id: str
    asked_ns: int = 0


class StoredTask(NamedTuple):
    """A row of `delegate_tasks`."""

    id: str
    tenant: Tenant
    kind: str
    status: str
    message: str
    delegate_id: str
    cluster_uid: str
    attempt: int
    lease_until_ns: int
    expires_ns: int
    body: dict[str, Any]
    objects: list[dict[str, Any]]
    log_key: str
    agent_id: str | None
    installation_id: str | None
    run_id: str | None
    created_ns: int
    updated_ns: int


def task_of_row(row: Any) -> StoredTask:  # noqa: ANN401 - a row mapping
    """The task in a row."""
    made: dict[str, Any] = {"tenant": Tenant(*(row[name] for name in Tenant._fields))}
    made |= {name: orjson.loads(row[name]) for name in ("body", "objects")}
    return StoredTask._make(made[name] if name in made else row[name] for name in StoredTask._fields)


def create_task(
    connection: Connection,
    tenant: Tenant,
    kind: TaskKind,
    body: dict[str, Any],
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    *,
    log_key: str,
    agent_id: str | None = None,
    installation_id: str | None = None,
    run_id: str | None = None,
    cluster_uid: str = "",
) -> str:
    """Store a task that waits for a delegate, and return its id; it is newer than every other of the agent or run."""
    related = TASK.run_id == run_id if run_id else TASK.agent_id == agent_id
    newest = connection.execute(select(func.max(TASK.created_ns)).where(related)).scalar() or 0
    task_id = base64.urlsafe_b64encode(random_bytes(16)).decode().rstrip("=") + "-DEL"
    row = {
        "id": task_id,
        **tenant._asdict(),
        "kind": kind,
        "status": "PROCESSED",
        "cluster_uid": cluster_uid,
        "attempt": 0,
        "lease_until_ns": 0,
        "expires_ns": now_ns + EXPIRE_NS,
        "body": orjson.dumps(body),
        "objects": b"[]",
        "log_key": log_key,
        "agent_id": agent_id,
        "installation_id": installation_id,
        "run_id": run_id,
        "created_ns": max(now_ns, newest + 1),
        "updated_ns": now_ns,
    }
    connection.execute(insert(DELEGATE_TASKS), row)
    return task_id


def for_delegate(delegate: Delegate, running: Sequence[str], now_ns: int) -> ColumnElement[bool]:
    """The condition for tasks that a delegate may take now.

    One that it holds and does not name as running it has lost: it ended in between. Only its latest poll knows that:
    an earlier one may still be held for a process that is gone. Tasks of one agent, and of one run, come one after the
    other, so that nothing is deleted while it is being applied.
    """
    inside = [TASK[name] == value for name, value in delegate.tenant._asdict().items() if value]
    waits = (TASK.status == "PROCESSED") & (TASK.expires_ns > now_ns)
    later = exists().where(DELEGATES.c.id == delegate.id, DELEGATES.c.seen_ns != delegate.asked_ns)
    lost = (TASK.delegate_id == delegate.id) & TASK.id.not_in(list(running)) & ~later
    again = (TASK.status == "RUNNING") & ((TASK.lease_until_ns <= now_ns) | lost)
    earlier = DELEGATE_TASKS.alias()
    before = (earlier.c.created_ns < TASK.created_ns) | (
        (earlier.c.created_ns == TASK.created_ns) & (earlier.c.id < TASK.id)
    )
    related = (earlier.c.agent_id == TASK.agent_id) | (earlier.c.run_id == TASK.run_id)
    blocked = exists().where(related, earlier.c.status.in_(OPEN), before)
    return and_(*inside, TASK.cluster_uid.in_(("", delegate.cluster_uid)), or_(waits, again), ~blocked)


def has_tasks(connection: Connection, delegate: Delegate, running: Sequence[str], now_ns: int) -> bool:
    """Whether there is a task for the delegate."""
    return (
        connection.execute(select(TASK.id).where(for_delegate(delegate, running, now_ns)).limit(1)).first() is not None
    )


def lease_tasks(connection: Connection, delegate: Delegate, running: Sequence[str], now_ns: int) -> list[StoredTask]:
    """Lease what waits for the delegate, oldest first; each hand-out is another attempt."""
    wanted = (
        select(DELEGATE_TASKS)
        .where(for_delegate(delegate, running, now_ns))
        .order_by(TASK.created_ns, TASK.id)
        .limit(TASKS_PER_POLL)
        .with_for_update(skip_locked=True)
    )
    leased = []
    for row in connection.execute(wanted).mappings().all():
        changed = {
            "status": "RUNNING",
            "delegate_id": delegate.id,
            "cluster_uid": delegate.cluster_uid,
            "attempt": row["attempt"] + 1,
            "lease_until_ns": now_ns + LEASE_SECONDS * NS_PER_SECOND,
            "updated_ns": now_ns,
        }
        connection.execute(update(DELEGATE_TASKS).where(TASK.id == row["id"]).values(changed))
        leased.append(task_of_row({**row, **changed}))
    return leased


def find_task(connection: Connection, task_id: str, *, lock: bool = False) -> StoredTask | None:
    """The task of that id."""
    wanted = select(DELEGATE_TASKS).where(TASK.id == task_id)
    row = connection.execute(wanted.with_for_update() if lock else wanted).mappings().first()
    return task_of_row(row) if row else None


def end_task(connection: Connection, task_id: str, status: str, message: str, now_ns: int) -> None:
    """End a task whose delegate did not; reports about it are refused from now on."""
    values = {"status": status, "message": message, "updated_ns": now_ns}
    connection.execute(update(DELEGATE_TASKS).where(TASK.id == task_id, TASK.status.in_(OPEN)).values(values))


def tasks_of_agent(connection: Connection, agent_id: str) -> list[StoredTask]:
    """The agent's tasks, oldest first."""
    wanted = select(DELEGATE_TASKS).where(TASK.agent_id == agent_id).order_by(TASK.created_ns, TASK.id)
    return [task_of_row(row) for row in connection.execute(wanted).mappings()]


def tasks_of_run(connection: Connection, run_id: str) -> list[StoredTask]:
    """The tasks of an experiment's run, oldest first."""
    wanted = select(DELEGATE_TASKS).where(TASK.run_id == run_id).order_by(TASK.created_ns, TASK.id)
    return [task_of_row(row) for row in connection.execute(wanted).mappings()]


def lock_untaken(connection: Connection, run_id: str) -> set[str]:
    """The ids of the run's tasks that no delegate has taken, nor can until the transaction is over.

    One that a delegate takes at this moment is not waited for: that transaction may wait for the run.
    """
    wanted = select(TASK.id).where(TASK.run_id == run_id, TASK.status == "PROCESSED")
    return set(connection.execute(wanted.with_for_update(skip_locked=True)).scalars())


def change_body(connection: Connection, task_id: str, body: dict[str, Any]) -> None:
    """Change what is to be done."""
    connection.execute(update(DELEGATE_TASKS).where(TASK.id == task_id).values(body=orjson.dumps(body)))


def owned_by_agent(connection: Connection, agent_id: str) -> tuple[str, list[dict[str, Any]]]:
    """The cluster that an agent is installed in, if any, and the objects that a delegate created for it there."""
    tasks = [task for task in tasks_of_agent(connection, agent_id) if task.attempt]
    cluster = tasks[-1].cluster_uid if tasks else ""
    return cluster, owned_objects((task.kind, task.objects) for task in tasks if task.cluster_uid == cluster)


def expired_tasks(connection: Connection, now_ns: int) -> list[StoredTask]:
    """Tasks for which nobody asked in time."""
    wanted = select(DELEGATE_TASKS).where(TASK.status == "PROCESSED", TASK.expires_ns <= now_ns)
    return [task_of_row(row) for row in connection.execute(wanted).mappings()]
