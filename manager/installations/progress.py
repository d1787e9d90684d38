"""What happens to installations without a request: expiry, the first whole window, the end of transient ones, ticks."""

from collections.abc import Callable

import orjson
import structlog
from sqlalchemy import Connection, select

from manager.installations.agent_values import DEFAULT_CRON, member, repeated_windows
from manager.installations.installations import (
    Installation,
    change,
    create_installation,
    installation_of_row,
    installations_query,
    newest_installation,
    note,
    remove_objects,
)
from manager.installations.reports import fail
from manager.installations.tasks import OPEN, end_task, expired_tasks, find_task
from manager.store.agents import Agent, agent_of_row
from manager.store.database import Store
from manager.store.delegate_tables import INSTALLATIONS
from manager.store.tables import AGENTS, INVENTORIES, OBSERVATIONS, WINDOWS
from podsonar.schedule import next_window
from podsonar.timestamp import NS_PER_SECOND

# Beside two windows and the pause between them: for pods to start, and for batches to be settled and pushed.
GRACE_NS = 300 * NS_PER_SECOND

RandomBytes = Callable[[int], bytes]
CountKind = Callable[[str], None]

log = structlog.get_logger()


def sweep(store: Store, now_ns: int, random_bytes: RandomBytes, count_expired: CountKind) -> None:
    """Bring every installation to where it should be now; nothing is written where nothing has changed.

    Each task that expires is counted by its kind, once it is stored.
    """
    with store.reading() as connection:
        expired = expired_tasks(connection, now_ns)
        running = observed_now(connection)
        due = due_agents(connection, now_ns)
    for task in expired:
        with store.writing() as connection:
            has_expired = expire(connection, task.id, now_ns, random_bytes)
        if has_expired:
            count_expired(task.kind)
    for installation in running:
        with store.writing() as connection:
            advance(connection, installation, now_ns, random_bytes)
    for agent in due:
        with store.writing(exclusive=True) as connection:
            if is_due(connection, agent, now_ns):
                create_installation(connection, agent, now_ns, random_bytes, cron_triggered=True)


def expire(connection: Connection, task_id: str, now_ns: int, random_bytes: RandomBytes) -> bool:
    """End a task for which no delegate asked, and its installation; False if it is no longer there to be asked for."""
    task = find_task(connection, task_id, lock=True)
    if task is None or task.status != "PROCESSED":
        return False
    message = "no delegate asked for the task in time: is one running with a token of this account?"
    end_task(connection, task_id, "EXPIRED", message, now_ns)
    log.warning("task_expired", task=task_id, kind=task.kind)
    if task.kind == "apply" and task.installation_id is not None:
        fail(connection, require(connection, task.installation_id), message, now_ns, random_bytes)
    return True


def require(connection: Connection, installation_id: str) -> Installation:
    """The installation of that id."""
    wanted = installations_query().where(INSTALLATIONS.c.id == installation_id)
    return installation_of_row(connection.execute(wanted).mappings().one())


def observed_now(connection: Connection) -> list[Installation]:
    """Installations whose pods run, and which have not been observed for a whole window yet."""
    wanted = installations_query().where(INSTALLATIONS.c.agent_status == "RUNNING", INSTALLATIONS.c.stopped.is_(False))
    return [installation_of_row(row) for row in connection.execute(wanted).mappings()]


def advance(connection: Connection, installation: Installation, now_ns: int, random_bytes: RandomBytes) -> None:
    """End the first window of an installation, if it is over: with everything that was expected, or too late."""
    current = require(connection, installation.id)
    if current.agent_status != "RUNNING" or current.stopped or current.started_ns is None:
        return
    if has_whole_window(connection, current):
        change(connection, current.id, now_ns, agent_status="SUCCESS")
        note(connection, current, "every node has observed a whole window", now_ns)
        if current.transient:
            remove_objects(connection, current, now_ns, random_bytes)
    elif current.transient and now_ns > current.started_ns + patience_ns(connection, current):
        fail(connection, current, "no window was observed by every node in time", now_ns, random_bytes)


def patience_ns(connection: Connection, installation: Installation) -> int:
    """How long a transient installation may take until its window is in."""
    config = find_agent_config(connection, installation.agent_id)
    minutes = member(config, "data").get("collectionWindowInMin") or 2
    first = next_window(repeated_windows(minutes), minutes, installation.started_ns or 0)
    second = next_window(repeated_windows(minutes), minutes, first.start_ns + 1)
    return second.end_ns - (installation.started_ns or 0) + GRACE_NS


def find_agent_config(connection: Connection, agent_id: str) -> dict[str, object]:
    """The configuration of an agent."""
    config = connection.execute(select(AGENTS.c.config).where(AGENTS.c.id == agent_id)).scalar()
    found: dict[str, object] = orjson.loads(config) if config else {}
    return found


def has_whole_window(connection: Connection, installation: Installation) -> bool:
    """Whether a window since the start has a complete inventory, and a batch of every node that runs an agent."""
    agent_id, started_ns = installation.agent_id, installation.started_ns or 0
    inventories = select(INVENTORIES.c.start_ns).where(
        INVENTORIES.c.agent_id == agent_id, INVENTORIES.c.complete.is_(True), INVENTORIES.c.start_ns >= started_ns
    )
    if connection.execute(inventories.limit(1)).first() is None:
        return False
    nodes = {pod["node"] for pod in installation.details.get("node", []) if pod.get("node")}
    if not nodes:
        return True
    batches = (
        select(OBSERVATIONS.c.window_id, OBSERVATIONS.c.node_name)
        .join(WINDOWS, (WINDOWS.c.agent_id == agent_id) & (WINDOWS.c.window_id == OBSERVATIONS.c.window_id))
        .where(OBSERVATIONS.c.agent_id == agent_id, WINDOWS.c.start_ns >= started_ns)
    )
    seen: dict[str, set[str]] = {}
    for window_id, node in connection.execute(batches):
        seen.setdefault(window_id, set()).add(node)
    return any(nodes <= those for those in seen.values())


def due_agents(connection: Connection, now_ns: int) -> list[Agent]:
    """Transient agents whose next window is due."""
    wanted = select(AGENTS).where(
        AGENTS.c.removed_ns.is_(None), AGENTS.c.permanent.is_(False), AGENTS.c.installation_type == "CONNECTOR"
    )
    agents = [agent_of_row(row) for row in connection.execute(wanted).mappings()]
    return [agent for agent in agents if is_due(connection, agent, now_ns)]


def is_due(connection: Connection, agent: Agent, now_ns: int) -> bool:
    """Whether a tick of a transient agent's schedule has passed since its last installation, which is over.

    A person's stop holds until a person installs again.
    """
    last = newest_installation(connection, agent.id)
    if last is None or last.stopped or last.agent_status in ("PENDING", "RUNNING"):
        return False
    removal = find_task(connection, last.removal_task_id) if last.removal_task_id else None
    if removal is not None and removal.status in OPEN:
        return False
    config = orjson.loads(agent.config) if agent.config else {}
    cron = member(member(config, "data"), "cron").get("expression") or DEFAULT_CRON
    return next_window(cron, 1, last.created_ns + 1).start_ns <= now_ns
