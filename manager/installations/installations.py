"""Installations of agents: made with a task, listed, stopped; each call is part of its caller's transaction."""

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from manager.installations.agent_values import check_config
from manager.installations.log_access import open_log, write_log
from manager.installations.tasks import OPEN, create_task, end_task, find_task, owned_by_agent
from manager.store.agents import Agent, find_agent
from manager.store.database import Store
from manager.store.delegate_tables import DELEGATE_TASKS, INSTALLATIONS
from manager.store.object_ids import new_object_id
from manager.store.tables import AGENTS
from manager.store.tenancy import Tenant
from podsonar.timestamp import rfc3339_milliseconds

ROW = INSTALLATIONS.c
ENDED = ("FAILED", "STOPPED")
RandomBytes = Callable[[int], bytes]


class Installation(NamedTuple):
    """A row of `installations`, with the state of its task."""

    id: str
    tenant: Tenant
    agent_id: str
    task_id: str
    removal_task_id: str | None
    agent_status: str
    details: dict[str, Any]
    message: str
    log_stream_id: str
    transient: bool
    cron_triggered: bool
    stopped: bool
    created_ns: int
    updated_ns: int | None
    started_ns: int | None
    object_id: str
    delegate_id: str
    task_status: str


def installation_of_row(row: RowMapping) -> Installation:
    """The installation in a joined row."""
    made = {"tenant": Tenant(*(row[name] for name in Tenant._fields)), "details": orjson.loads(row["details"])}
    return Installation(*(made[name] if name in made else row[name] for name in Installation._fields))


def installations_query() -> Select[Any]:
    """Installations with what their tasks and agents say, newest first."""
    return (
        select(
            INSTALLATIONS,
            AGENTS.c.object_id,
            DELEGATE_TASKS.c.delegate_id,
            DELEGATE_TASKS.c.status.label("task_status"),
        )
        .join(AGENTS, AGENTS.c.id == ROW.agent_id)
        .join(DELEGATE_TASKS, DELEGATE_TASKS.c.id == ROW.task_id)
        .order_by(ROW.created_ns.desc(), ROW.id.desc())
    )


def create_installation(
    connection: Connection,
    agent: Agent,
    now_ns: int,
    random_bytes: RandomBytes,
    *,
    installation_id: str = "",
    cron_triggered: bool = False,
) -> Installation:
    """Store an installation and the task that a delegate will take; ConfigRefusedError for what cannot be installed.

    An earlier one of the agent that still waits is aborted; one that is up is applied over, and stopped in name.
    """
    config = orjson.loads(agent.config) if agent.config else {"data": {}}
    check_config(config)
    cluster, _owned = owned_by_agent(connection, agent.id)
    supersede(connection, agent.id, now_ns)
    stream = str(uuid.UUID(bytes=random_bytes(16), version=4))
    made = installation_id or new_object_id(now_ns, random_bytes)
    body = {"config": config, "permanent": agent.permanent}
    task_id = create_task(
        connection,
        agent.tenant,
        "apply",
        body,
        now_ns,
        random_bytes,
        log_key=stream,
        agent_id=agent.id,
        installation_id=made,
        cluster_uid=cluster,
    )
    row = {
        "id": made,
        **agent.tenant._asdict(),
        "agent_id": agent.id,
        "task_id": task_id,
        "agent_status": "PENDING",
        "details": b"{}",
        "log_stream_id": stream,
        "transient": not agent.permanent,
        "cron_triggered": cron_triggered,
        "stopped": False,
        "created_ns": now_ns,
    }
    connection.execute(insert(INSTALLATIONS), row)
    open_log(connection, agent.tenant, stream, now_ns)
    write_log(connection, agent.tenant, stream, "waiting for a delegate", now_ns)
    return require_installation(connection, made)


def supersede(connection: Connection, agent_id: str, now_ns: int) -> None:
    """End the agent's earlier installations in favour of a new one."""
    for earlier in unended(connection, agent_id):
        end_task(connection, earlier.task_id, "ABORTED", "another installation took its place", now_ns)
        change(connection, earlier.id, now_ns, agent_status="STOPPED", stopped=True)


def note(connection: Connection, installation: Installation, text: str, now_ns: int, level: str = "info") -> None:
    """Add a line to an installation's log."""
    write_log(connection, installation.tenant, installation.log_stream_id, text, now_ns, level)


def unended(connection: Connection, agent_id: str) -> list[Installation]:
    """The agent's installations that are neither stopped nor gone."""
    wanted = installations_query().where(
        ROW.agent_id == agent_id, ROW.stopped.is_(False), ROW.removal_task_id.is_(None)
    )
    return [installation_of_row(row) for row in connection.execute(wanted).mappings()]


def change(connection: Connection, installation_id: str, now_ns: int, **values: Any) -> None:  # noqa: ANN401
    """Change columns of an installation."""
    connection.execute(update(INSTALLATIONS).where(ROW.id == installation_id).values(updated_ns=now_ns, **values))


def require_installation(connection: Connection, installation_id: str) -> Installation:
    """The installation of that id, which is there."""
    return installation_of_row(
        connection.execute(installations_query().where(ROW.id == installation_id)).mappings().one()
    )


def find_installation(connection: Connection, agent_id: str, installation_id: str) -> Installation | None:
    """The agent's installation of that id."""
    wanted = installations_query().where(ROW.agent_id == agent_id, ROW.id == installation_id)
    row = connection.execute(wanted).mappings().first()
    return installation_of_row(row) if row else None


def newest_installation(connection: Connection, agent_id: str) -> Installation | None:
    """The agent's newest installation."""
    row = connection.execute(installations_query().where(ROW.agent_id == agent_id).limit(1)).mappings().first()
    return installation_of_row(row) if row else None


def list_installations(
    connection: Connection, agent_id: str, limit: int | None, offset: int
) -> tuple[list[Installation], int]:
    """A page of the agent's installations, newest first, and how many there are."""
    wanted = installations_query().where(ROW.agent_id == agent_id).limit(limit).offset(offset)
    total = connection.execute(select(func.count()).where(ROW.agent_id == agent_id)).scalar_one()
    return [installation_of_row(row) for row in connection.execute(wanted).mappings()], total


def stop_installation(
    connection: Connection, installation: Installation, now_ns: int, random_bytes: RandomBytes
) -> Installation:
    """Take an installation away: its task ends, and what a delegate created for it is deleted.

    Again: no change, but for what a removal that failed or expired has left, while the agent is not installed anew.
    """
    if not installation.stopped:
        end_task(connection, installation.task_id, "ABORTED", "stopped", now_ns)
        remove_objects(connection, installation, now_ns, random_bytes)
        status = installation.agent_status if installation.agent_status == "FAILED" else "STOPPED"
        change(connection, installation.id, now_ns, stopped=True, agent_status=status)
        note(connection, installation, "stopped: it is being taken away", now_ns)
    elif not unended(connection, installation.agent_id):
        remove_objects(connection, installation, now_ns, random_bytes)
    return require_installation(connection, installation.id)


def remove_objects(
    connection: Connection, installation: Installation, now_ns: int, random_bytes: RandomBytes
) -> str | None:
    """Make the task that deletes what a delegate created for the agent; None where it created nothing."""
    removal = find_task(connection, installation.removal_task_id) if installation.removal_task_id else None
    if removal is not None and removal.status in (*OPEN, "SUCCESS"):
        return removal.id
    cluster, owned = owned_by_agent(connection, installation.agent_id)
    if not owned:
        return None
    task_id = create_task(
        connection,
        installation.tenant,
        "delete",
        {},
        now_ns,
        random_bytes,
        log_key=installation.log_stream_id,
        agent_id=installation.agent_id,
        installation_id=installation.id,
        cluster_uid=cluster,
    )
    change(connection, installation.id, now_ns, removal_task_id=task_id)
    return task_id


def remove_installations(connection: Connection, agent_id: str, now_ns: int, random_bytes: RandomBytes) -> None:
    """Stop all installations of an agent that is being removed."""
    for installation in unended(connection, agent_id):
        stop_installation(connection, installation, now_ns, random_bytes)


def take_away(store: Store, identity: str, tenant: Tenant, now_ns: int, random_bytes: RandomBytes) -> int:
    """Stop all installations of the tenant's agent; how many objects a delegate has still to delete."""
    agent = find_agent(store, identity, tenant)
    if agent is None:
        return 0
    with store.writing() as connection:
        remove_installations(connection, agent.id, now_ns, random_bytes)
        return len(owned_by_agent(connection, agent.id)[1])


def installation_wire(installation: Installation) -> dict[str, Any]:
    """`database.InstallationCollection`, in the order of the API document's sample."""
    tenant = installation.tenant
    found = {
        "id": installation.id,
        "accountIdentifier": tenant.account,
        "organizationIdentifier": tenant.organization,
        "projectIdentifier": tenant.project,
        "environmentIdentifier": tenant.environment,
        "agentID": installation.object_id,
        "delegateTaskID": installation.task_id,
        "delegateID": installation.delegate_id,
        "delegateTaskStatus": installation.task_status,
        "agentDetails": {"status": installation.agent_status} | installation.details,
        "isCronTriggered": installation.cron_triggered,
        "logStreamID": installation.log_stream_id,
        "logStreamCreatedAt": rfc3339_milliseconds(installation.created_ns),
        "stopped": installation.stopped,
        "createdAt": rfc3339_milliseconds(installation.created_ns),
        "createdBy": "",
    }
    if installation.updated_ns is not None:
        found["updatedAt"] = rfc3339_milliseconds(installation.updated_ns)
    return found | {"updatedBy": "", "removed": False}
