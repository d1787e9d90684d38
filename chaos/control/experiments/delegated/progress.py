"""What happens to runs of delegates without a request: told to stop, given up, ended when confirmed, taken away.

A stop that nobody confirms within seconds is given up: its runner is dead. The delegate then deletes the runner and its
injectors by UID; only when all of them are gone, or the deadline has passed, the run is `Stopped`.
"""

import secrets
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import anyio
import msgspec
import structlog
from anyio import to_thread
from sqlalchemy import Connection, RowMapping

from chaos.control.experiments.delegated.run_tasks import RandomBytes, RunTasks
from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.ends import MOST_TEXT, end_run
from chaos.control.experiments.runs.store import record_of
from manager.installations.tasks import OPEN, StoredTask, end_task, find_task
from manager.parts import PartContext
from manager.store.experiments.runs import find_run_of_any_tenant, runs_of_delegates, update_run
from podsonar.errors import StoreError
from podsonar.timestamp import NS_PER_SECOND

TURN_SECONDS = 1.0
STOP_NS = 10 * NS_PER_SECOND  # for a runner to stop by itself, and to say so
AGAIN_NS = 600 * NS_PER_SECOND  # after a removal that failed, or that no delegate asked for
LOOK_BACK_NS = 86_400 * NS_PER_SECOND  # a run that is kept (`retain`), or cannot be taken away, is looked at no longer
UNCONFIRMED = "not confirmed"

log = structlog.get_logger()


class GivenUp(NamedTuple):
    """How a run will end without its runner, and why."""

    phase: str
    reason: str


def follow_runs(connection: Connection, now_ns: int, random_bytes: RandomBytes, each: EachRun | None = None) -> None:
    """Bring every run of a delegate to where it should be now; nothing is written where nothing has changed."""

    def follow(run_id: str) -> None:
        row = find_run_of_any_tenant(connection, run_id, lock=True)
        if row is None:
            return
        tasks = RunTasks(connection, record_of(row))
        if tasks.record.completed:
            take_away(connection, tasks, now_ns, random_bytes)
        else:
            follow_run(connection, row, tasks, now_ns, random_bytes)

    (each or EachRun()).act(runs_of_delegates(connection, now_ns - LOOK_BACK_NS), follow, connection)


def follow_run(
    connection: Connection, row: RowMapping, tasks: RunTasks, now_ns: int, random_bytes: RandomBytes
) -> None:
    """Bring on a run that has not completed."""
    record, brought, abort = tasks.record, tasks.get("run"), tasks.get("abort")
    if brought is None:
        return
    if record.stop_ns and is_untaken(connection, brought):
        end_task(connection, brought.id, "ABORTED", "stopped before a delegate took it", now_ns)
        end_run(connection, record, "Skipped", "stopped before a delegate took it: nothing was applied", now_ns)
        return
    if record.stop_ns and abort is None:
        tasks.add(connection, "abort", now_ns, random_bytes)
        return
    given_up = given_up_of(row, brought, abort, now_ns)
    if given_up is not None:
        end_given_up(connection, tasks, given_up, now_ns, random_bytes)


def is_untaken(connection: Connection, task: StoredTask) -> bool:
    """Whether no delegate has taken a task, nor can until the transaction is over."""
    if task.status != "PROCESSED":
        return False
    locked = find_task(connection, task.id, lock=True)
    return locked is not None and locked.status == "PROCESSED"


def given_up_of(row: RowMapping, brought: StoredTask, abort: StoredTask | None, now_ns: int) -> GivenUp | None:
    """Why a run goes on without its runner; None for one that still may be heard of."""
    if brought.status not in (*OPEN, "SUCCESS") and row["heard_ns"] is None:
        phase = "Timeout" if brought.status == "EXPIRED" else "Error"
        return GivenUp(phase, f"the delegate brought no runner: {brought.message}")
    if abort is not None and abort.status not in OPEN and now_ns >= row["stop_ns"] + STOP_NS:
        return GivenUp("Stopped", "released; confirmed by the delegate: the runner and its injectors are gone")
    return None


def end_given_up(
    connection: Connection, tasks: RunTasks, given_up: GivenUp, now_ns: int, random_bytes: RandomBytes
) -> None:
    """Have the runner and its injectors deleted, and end the run once they are gone; until then it is not confirmed."""
    removal = tasks.get("remove")
    if (removal is None and (tasks.owned or given_up.phase == "Stopped")) or is_due_again(removal, now_ns):
        tasks.add(connection, "remove", now_ns, random_bytes)
    elif removal is None or (removal.status == "SUCCESS" and removal.body.get("injectorsGone")):
        error = "" if given_up.phase == "Stopped" else given_up.reason
        end_run(connection, tasks.record, given_up.phase, given_up.reason, now_ns, error=error)
        log.warning("run_given_up", run=tasks.record.run_id, phase=given_up.phase)
    elif removal.status not in OPEN and UNCONFIRMED in tasks.record.execution.message:
        say_why(connection, tasks, removal.message or "the delegate did not say that its injectors are gone")


def is_due_again(removal: StoredTask | None, now_ns: int) -> bool:
    """Whether a removal has failed so long ago that a delegate may be able to do it now."""
    return removal is not None and removal.status not in (*OPEN, "SUCCESS") and now_ns >= removal.updated_ns + AGAIN_NS


def say_why(connection: Connection, tasks: RunTasks, reason: str) -> None:
    """Add to the message of a stop why it is not confirmed, once."""
    execution = tasks.record.execution
    text = execution.message.replace(UNCONFIRMED, f"{UNCONFIRMED} ({reason[:500]})", 1)
    if f"{UNCONFIRMED} (" not in execution.message:
        changed = msgspec.structs.replace(execution, message=text[:MOST_TEXT])
        update_run(connection, tasks.record.run_id, execution=msgspec.json.encode(changed))


def take_away(connection: Connection, tasks: RunTasks, now_ns: int, random_bytes: RandomBytes) -> None:
    """Have what is left of a run's runner deleted, unless the experiment retains it."""
    removal = tasks.get("remove")
    if removal is not None and not is_due_again(removal, now_ns):
        return
    for task in tasks.all:
        if is_untaken(connection, task):
            end_task(connection, task.id, "ABORTED", "the run is over", now_ns)
    retained = tasks.record.manifest["spec"].get("cleanupPolicy") == "retain"
    if not retained and tasks.owned and not any(task.status == "RUNNING" for task in tasks.all):
        tasks.add(connection, "remove", now_ns, random_bytes)


def delegated_loop(context: PartContext) -> Callable[[], Coroutine[Any, Any, None]]:
    """The loop, until cancelled."""
    each = EachRun(context.metrics.loop_failures.labels("delegated").inc)

    def turn() -> None:
        with context.store.reading() as connection:
            if not runs_of_delegates(connection, context.clock() - LOOK_BACK_NS):
                return
        with context.store.writing() as connection:
            follow_runs(connection, context.clock(), secrets.token_bytes, each)

    async def loop() -> None:
        while True:
            await anyio.sleep(TURN_SECONDS)
            try:
                await to_thread.run_sync(turn)
            except StoreError as error:
                log.warning("runs_not_followed", error=str(error))

    return loop
