"""What happens to runs of delegates without a request: told to stop, given up, ended when confirmed, taken away.

Every second the runs are read, and a transaction that writes begins only where something is to be written.
"""

import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import msgspec
import structlog
from sqlalchemy import Connection

from chaos.control.experiments.delegated.next_change import (
    LOOK_BACK_NS,
    NOTHING,
    UNCONFIRMED,
    Change,
    change_of,
    rests_until,
)
from chaos.control.experiments.delegated.run_tasks import RandomBytes, RunTasks
from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.ends import MOST_TEXT, end_run
from chaos.control.experiments.runs.store import record_of
from manager.installations.tasks import end_task
from manager.parts import PartContext
from manager.store.database import Store
from manager.store.experiments.runs import find_run_of_any_tenant, runs_of_delegates, update_run
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

TURN_SECONDS = 1.0

log = structlog.get_logger()


class DelegatedRuns:
    """Every run of a delegate that is not over; `resting`: id -> nanoseconds until when nothing is to be done for it.

    So one that is retained is read once, not every second of its last day. `on_failure` counts runs that cannot be
    followed.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        random_bytes: RandomBytes,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self.store, self.clock, self.random_bytes = store, clock, random_bytes
        self.reads, self.writes = EachRun(on_failure), EachRun(on_failure)
        self.resting: dict[str, int] = {}

    def step(self) -> None:
        """Bring every run to where it should be now."""
        changing = self.find_changing(self.clock())
        if changing:
            with self.store.writing() as connection:
                bring_on = partial(self.bring_on, connection, self.clock())
                self.writes.act(changing, bring_on, connection)

    def find_changing(self, now_ns: int) -> list[str]:
        """The ids of runs of which something is to be written; others may rest."""
        changing: list[str] = []
        with self.store.reading() as connection:
            known = runs_of_delegates(connection, now_ns - LOOK_BACK_NS)
            self.resting = {run: self.resting[run] for run in known if self.resting.get(run, 0) > now_ns}

            def look(run_id: str) -> None:
                row = find_run_of_any_tenant(connection, run_id)
                if row is None:
                    return
                tasks = RunTasks(connection, record_of(row))
                if change_of(tasks, row["heard_ns"] is not None, now_ns) == NOTHING:
                    self.resting[run_id] = rests_until(tasks, now_ns)
                else:
                    changing.append(run_id)

            self.reads.act((run for run in known if run not in self.resting), look)
        return changing

    def bring_on(self, connection: Connection, now_ns: int, run_id: str) -> None:
        """Write what is to be written of a run now, when neither its runner nor a delegate is in between."""
        row = find_run_of_any_tenant(connection, run_id, lock=True)
        if row is not None:
            tasks = RunTasks(connection, record_of(row), lock=True)
            write(connection, tasks, change_of(tasks, row["heard_ns"] is not None, now_ns), now_ns, self.random_bytes)


def write(connection: Connection, tasks: RunTasks, change: Change, now_ns: int, random_bytes: RandomBytes) -> None:
    """Write a change of a run."""
    if change.untaken:
        for task in tasks.untaken:
            end_task(connection, task.id, "ABORTED", change.untaken, now_ns)
    if change.make is not None:
        tasks.add(connection, change.make, now_ns, random_bytes)
    if change.unconfirmed:
        execution = tasks.record.execution
        text = execution.message.replace(UNCONFIRMED, f"{UNCONFIRMED} ({change.unconfirmed[:500]})", 1)
        changed = msgspec.structs.replace(execution, message=text[:MOST_TEXT])
        update_run(connection, tasks.record.run_id, execution=msgspec.json.encode(changed))
    if change.end is not None:
        phase, reason, error = change.end
        end_run(connection, tasks.record, phase, reason, now_ns, error=error)
        if not change.untaken:
            log.warning("run_given_up", run=tasks.record.run_id, phase=phase)


def delegated_loop(context: PartContext) -> Callable[[], Coroutine[Any, Any, None]]:
    """The loop, until cancelled."""
    on_failure = context.metrics.loop_failures.labels("delegated").inc
    runs = DelegatedRuns(context.store, context.clock, secrets.token_bytes, on_failure)

    async def loop() -> None:
        while True:
            await anyio.sleep(TURN_SECONDS)
            try:
                await run_in_thread(runs.step)
            except StoreError as error:
                log.warning("runs_not_followed", error=str(error))

    return loop
