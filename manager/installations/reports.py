"""What a delegate reports of a task, and what follows for the installation that it is of."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import orjson
from sqlalchemy import Connection, update

from manager.installations.installations import Installation, change, note, remove_objects, require_installation
from manager.installations.owned_objects import merge_reports
from manager.installations.tasks import LEASE_SECONDS, TASK, StoredTask, change_body, find_task
from manager.store.delegate_tables import DELEGATE_TASKS
from manager.store.tenancy import Tenant
from podsonar.errors import InputError
from podsonar.timestamp import NS_PER_SECOND

MESSAGE_CHARACTERS = 4000
MOST_OBJECTS = 1000  # of a task, in all its reports; lists for delegates have at most 200
MOST_NODES = 10_000

Name = Annotated[str, msgspec.Meta(max_length=512)]


class ReportedPod(msgspec.Struct, frozen=True):
    """A pod of an installed program."""

    name: Name
    namespace: Name
    uid: Name
    status: Name
    node: Name = ""


class ReportedAgent(msgspec.Struct, frozen=True):
    """The pods of an installed agent."""

    cluster: ReportedPod | None = None
    node: Annotated[list[ReportedPod], msgspec.Meta(max_length=MOST_NODES)] = []


class ReportedObject(msgspec.Struct, frozen=True, rename="camel"):
    """The state of one object."""

    api_version: Name
    kind: Name
    name: Name
    result: Literal["absent", "created", "configured", "unchanged", "deleted", "failed", "refused"]
    namespace: Name = ""
    uid: Name = ""
    managed: bool = False
    message: str = ""


class StatusReport(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `POST /v1/delegates/tasks/{id}/status`."""

    delegate_id: str = msgspec.field(name="delegateID")
    attempt: int
    status: Literal["RUNNING", "SUCCESS", "FAILED", "REFUSED"]
    message: str = ""
    objects: Annotated[list[ReportedObject], msgspec.Meta(max_length=MOST_OBJECTS)] = []
    agent_details: ReportedAgent | None = None
    injectors_gone: bool = False  # of the run whose objects were to be deleted; its runner, too


class Outcome(Enum):
    """What becomes of a report: accepted, of a lease that is another's, or of a task that is not there."""

    ACCEPTED = 200
    LOST = 409
    GONE = 404


def store_report(
    connection: Connection,
    tenant: Tenant,
    task_id: str,
    report: StatusReport,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
) -> Outcome:
    """Store a report and renew the lease; the end of a task that has ended the same way is accepted again.

    InputError for objects that are more than a task has: each of them is kept until the delegate deletes it.
    """
    task = find_task(connection, task_id, lock=True)
    if task is None or not tenant.includes(task.tenant):
        return Outcome.GONE
    if (task.delegate_id, task.attempt) != (report.delegate_id, report.attempt):
        return Outcome.LOST
    if task.status != "RUNNING":
        return Outcome.ACCEPTED if task.status == report.status else Outcome.LOST
    objects = merge_reports(task.objects, [object_wire(one) for one in report.objects])
    if len(objects) > MOST_OBJECTS:
        raise InputError(f"objects: the task would have {len(objects)}, expected at most {MOST_OBJECTS}")
    values = {
        "status": report.status,
        "message": report.message[:MESSAGE_CHARACTERS],
        "objects": orjson.dumps(objects),
        "lease_until_ns": now_ns + LEASE_SECONDS * NS_PER_SECOND,
        "updated_ns": now_ns,
    }
    connection.execute(update(DELEGATE_TASKS).where(TASK.id == task_id).values(values))
    if report.injectors_gone:
        change_body(connection, task_id, task.body | {"injectorsGone": True})
    if report.status != "RUNNING" and task.installation_id is not None:
        follow(connection, task, report, now_ns, random_bytes)
    return Outcome.ACCEPTED


def object_wire(one: ReportedObject) -> dict[str, Any]:
    """A reported object as it is kept."""
    found: dict[str, Any] = msgspec.to_builtins(one)
    return found | {"message": one.message[:MESSAGE_CHARACTERS]}


def follow(
    connection: Connection,
    task: StoredTask,
    report: StatusReport,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
) -> None:
    """Change the installation of a task that has ended."""
    installation = require_installation(connection, str(task.installation_id))
    message = report.message[:MESSAGE_CHARACTERS]
    if task.kind == "delete":
        if report.status == "SUCCESS":
            note(connection, installation, "taken away", now_ns)
        else:
            change(connection, installation.id, now_ns, message=f"not taken away: {message}")
        return
    details = details_of(report.agent_details)
    if report.status == "SUCCESS":
        values: dict[str, Any] = {"agent_status": "RUNNING", "started_ns": now_ns, "message": ""}
        change(connection, installation.id, now_ns, details=orjson.dumps(details), **values)
        return
    fail(connection, installation, message, now_ns, random_bytes, details)


def fail(
    connection: Connection,
    installation: Installation,
    message: str,
    now_ns: int,
    random_bytes: Callable[[int], bytes],
    details: dict[str, Any] | None = None,
) -> None:
    """End an installation with a reason; what a transient one left is taken away."""
    kept = orjson.dumps(installation.details if details is None else details)
    change(connection, installation.id, now_ns, agent_status="FAILED", message=message, details=kept)
    note(connection, installation, message, now_ns, "error")
    if installation.transient:
        remove_objects(connection, installation, now_ns, random_bytes)


def details_of(agent: ReportedAgent | None) -> dict[str, Any]:
    """`database.AgentDetails` without its status; `node` beside the document's members names the pod's node."""
    if agent is None:
        return {}
    found: dict[str, Any] = {}
    if agent.cluster is not None:
        found["cluster"] = msgspec.to_builtins(agent.cluster)
    if agent.node:
        found["node"] = [msgspec.to_builtins(pod) for pod in agent.node]
    return found
