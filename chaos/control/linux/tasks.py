"""Tasks of hosts: made, handed out under a lease, reported on, ended by a result or by their deadline.

A task is handed out again only with the same `lceUID`, by which an agent injects it once at most.
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from chaos.control.linux.infras import KEY_ALPHABET, Infra
from chaos.control.linux.tables import LINUX_TASKS
from chaos.task_action import Chaos
from manager.store.tenancy import Tenant, of_tenant
from podsonar.timestamp import NS_PER_SECOND

LEASE_NS = 60 * NS_PER_SECOND
EXPIRE_NS = 600 * NS_PER_SECOND
SPARE_NS = 60 * NS_PER_SECOND
QUEUED, RUNNING, TIMEOUT = "Queued", "Running", "Timeout"
ENDED = ("Completed", "Completed_With_Probe_Failure", "Error", "Stopped")
REPORTED = (RUNNING, *ENDED)
EXPIRED = "no agent took it within ten minutes"
SILENT = "the agent is silent; the fault's deadline in the kernel has passed, so nothing is injected"


class TaskIds(NamedTuple):
    """What a new task is called by; each is an argument so that recorded samples can be made again."""

    name: str
    run_id: str
    lce_uid: str

    @property
    def stream_id(self) -> str:
        """The key of the task's log stream."""
        return f"{self.run_id}-{self.name}"


def new_task_ids(experiment: str, fault: str, now_ns: int, random_bytes: Callable[[int], bytes]) -> TaskIds:
    """`<experiment>-<Unix time>-<fault>-<5 of [a-z0-9]>`, and two UUIDs."""
    end = "".join(KEY_ALPHABET[byte % 36] for byte in random_bytes(5))
    uuids = (str(uuid.UUID(bytes=random_bytes(16), version=4)) for _ in range(2))
    return TaskIds(f"{experiment}-{now_ns // NS_PER_SECOND}-{fault}-{end}", *uuids)


def make_task(
    connection: Connection, infra: Infra, ids: TaskIds, action: dict[str, Any], chaos: Chaos, now_ns: int
) -> None:
    """Store a task for a host; nobody is notified, since agents ask."""
    longest_ns = int(chaos.longest_seconds() * NS_PER_SECOND)
    row = {"name": ids.name, **infra.tenant._asdict(), "infra_id": infra.id, "run_id": ids.run_id}
    row |= {"lce_uid": ids.lce_uid, "stream_id": ids.stream_id, "status": QUEUED, "message": "", "stop_reason": ""}
    times = {"created_ns": now_ns, "expires_ns": now_ns + EXPIRE_NS, "longest_ns": longest_ns + SPARE_NS}
    connection.execute(insert(LINUX_TASKS), row | times | {"action": orjson.dumps(action)})


def find_task(connection: Connection, name: str, infra_id: str) -> dict[str, Any] | None:
    """A host's task."""
    wanted = select(LINUX_TASKS).where(LINUX_TASKS.c.name == name, LINUX_TASKS.c.infra_id == infra_id)
    row = connection.execute(wanted.with_for_update()).mappings().first()
    return dict(row) if row else None


def find_tenant_task(connection: Connection, name: str, tenant: Tenant) -> dict[str, Any] | None:
    """A tenant's task."""
    wanted = select(LINUX_TASKS).where(LINUX_TASKS.c.name == name, of_tenant(LINUX_TASKS, tenant))
    row = connection.execute(wanted.with_for_update()).mappings().first()
    return dict(row) if row else None


def list_tasks(connection: Connection, tenant: Tenant, limit: int = 200) -> list[dict[str, Any]]:
    """The tenant's newest tasks."""
    wanted = select(LINUX_TASKS).where(of_tenant(LINUX_TASKS, tenant)).order_by(LINUX_TASKS.c.created_ns.desc())
    return [dict(row) for row in connection.execute(wanted.limit(limit)).mappings()]


def has_stream(connection: Connection, infra_id: str, stream_id: str) -> bool:
    """Whether a log stream is that of a task of the host."""
    wanted = select(LINUX_TASKS.c.name).where(LINUX_TASKS.c.infra_id == infra_id, LINUX_TASKS.c.stream_id == stream_id)
    return connection.execute(wanted).first() is not None


def hand_out(connection: Connection, infra: Infra, now_ns: int) -> tuple[dict[str, Any] | None, bool]:
    """The host's next task under a lease, and whether another one is still running on it."""
    own = LINUX_TASKS.c.infra_id == infra.id
    wanted = select(LINUX_TASKS).where(own, LINUX_TASKS.c.status.in_((QUEUED, RUNNING)))
    waiting = [
        dict(row) for row in connection.execute(wanted.order_by(LINUX_TASKS.c.created_ns).with_for_update()).mappings()
    ]
    is_running = any(task["status"] == RUNNING for task in waiting)
    leased = any(task["lease_until_ns"] and task["lease_until_ns"] > now_ns for task in waiting)
    queued = [task for task in waiting if task["status"] == QUEUED]
    if is_running or leased or not queued:
        return None, is_running
    task = queued[0]
    values = {"lease_until_ns": now_ns + LEASE_NS, "heard_ns": now_ns}
    connection.execute(update(LINUX_TASKS).where(LINUX_TASKS.c.name == task["name"]).values(values))
    return task, False


def take_status(connection: Connection, task: dict[str, Any], status: str, now_ns: int) -> bool:
    """Note a status, and return whether the agent has to stop: a stop was asked for, or the task is over."""
    values: dict[str, Any] = {"heard_ns": now_ns, "lease_until_ns": None}
    if task["status"] == QUEUED:
        values |= {"status": RUNNING, "started_ns": now_ns, "deadline_ns": now_ns + int(task["longest_ns"])}
    connection.execute(update(LINUX_TASKS).where(LINUX_TASKS.c.name == task["name"]).values(values))
    over = task["status"] not in {QUEUED, RUNNING}
    return status == RUNNING and (over or task["stop_ns"] is not None)


def take_result(connection: Connection, task: dict[str, Any], result: dict[str, Any], body: bytes, now_ns: int) -> bool:
    """Store a task's result and return whether it is taken: another one after the first is not.

    A result that comes after the deadline replaces `Timeout`.
    """
    hashed = hashlib.sha256(orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)).hexdigest()
    if task["result_sha256"] is not None:
        return bool(task["result_sha256"] == hashed)
    late = f"; the result came after {task['status']}" if task["status"] == TIMEOUT else ""
    values = {"status": result["taskStatus"], "ended_ns": now_ns, "heard_ns": now_ns, "lease_until_ns": None}
    values |= {"result": body, "result_sha256": hashed, "message": (task["message"] + late).lstrip("; ")}
    connection.execute(update(LINUX_TASKS).where(LINUX_TASKS.c.name == task["name"]).values(values))
    return True


def ask_stop(connection: Connection, task: dict[str, Any], reason: str, now_ns: int) -> None:
    """Ask for a stop: a task that was never handed out is over at once, another one when its agent has released."""
    values: dict[str, Any] = {"stop_ns": task["stop_ns"] or now_ns, "stop_reason": reason}
    if task["status"] == QUEUED and not (task["lease_until_ns"] and task["lease_until_ns"] > now_ns):
        values |= {"status": "Stopped", "ended_ns": now_ns, "message": "stopped before it was handed out"}
    elif task["status"] in {QUEUED, RUNNING}:
        values |= {"message": "stop asked for, not confirmed yet; the fault ends by itself at its deadline"}
    connection.execute(update(LINUX_TASKS).where(LINUX_TASKS.c.name == task["name"]).values(values))


def is_expired(now_ns: int) -> ColumnElement[bool]:
    """The condition for tasks that nobody took in time."""
    task = LINUX_TASKS.c
    is_free = task.lease_until_ns.is_(None) | (task.lease_until_ns < now_ns)
    return and_(task.status == QUEUED, task.expires_ns < now_ns, is_free)


def is_silent(now_ns: int) -> ColumnElement[bool]:
    """The condition for tasks whose agent is silent beyond the deadline."""
    task = LINUX_TASKS.c
    return and_(task.status == RUNNING, task.deadline_ns < now_ns, task.heard_ns < now_ns - LEASE_NS)


def has_overdue(connection: Connection, now_ns: int) -> bool:
    """Whether there is a task for `end_overdue`."""
    wanted = select(LINUX_TASKS.c.name).where(is_expired(now_ns) | is_silent(now_ns)).limit(1)
    return connection.execute(wanted).first() is not None


def end_overdue(connection: Connection, now_ns: int) -> int:
    """End tasks that nobody took in time, and those whose agent is silent beyond the deadline; how many."""
    over = {"status": TIMEOUT, "ended_ns": now_ns}
    ended = 0
    for condition, message in (
        (is_expired(now_ns), "no agent took it within ten minutes"),
        (
            is_silent(now_ns),
            "the agent is silent; the fault's deadline in the kernel has passed, so nothing is injected",
        ),
    ):
        ended += connection.execute(update(LINUX_TASKS).where(condition).values(over | {"message": message})).rowcount
    return ended


def task_wire(task: dict[str, Any]) -> dict[str, Any]:
    """A task as an agent gets it, its members in the document's order."""
    return {
        "taskName": task["name"],
        "action": orjson.loads(task["action"]),
        "lceUID": task["lce_uid"],
        "streamID": task["stream_id"],
        "accountID": task["account"],
    }
