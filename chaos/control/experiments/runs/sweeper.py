"""Ends runs whose deadline has passed: no run stays Running for ever."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import structlog

from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.ends import end_overdue
from manager.parts import PartContext
from manager.store.database import Store
from manager.store.experiments.runs import overdue_runs
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

SWEEP_SECONDS = 5.0

log = structlog.get_logger()


def sweep(store: Store, clock: Callable[[], int], each: EachRun) -> list[str]:
    """End what is overdue, and return the ids; a transaction that writes begins only where something is."""
    with store.reading() as connection:
        if not overdue_runs(connection, clock()):
            return []
    with store.writing() as connection:
        return end_overdue(connection, clock(), each)


def sweeping_loop(context: PartContext) -> Callable[[], Coroutine[Any, Any, None]]:
    """The loop, until cancelled."""
    each = EachRun(context.metrics.loop_failures.labels("runs").inc)

    async def loop() -> None:
        while True:
            await anyio.sleep(SWEEP_SECONDS)
            try:
                ended = await run_in_thread(sweep, context.store, context.clock, each)
            except StoreError as error:
                log.warning("runs_not_swept", error=str(error))
                continue
            for run_id in ended:
                log.warning("run_overdue", run=run_id)

    return loop
