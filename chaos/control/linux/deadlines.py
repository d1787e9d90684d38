"""Ends tasks that nobody took and tasks whose agent is silent beyond their deadline."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import structlog

from chaos.control.linux.metrics import LinuxMetrics
from chaos.control.linux.tasks import TIMEOUT, end_overdue, has_overdue
from manager.parts import PartContext
from manager.store.database import Store
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

LOOK_SECONDS = 10

log = structlog.get_logger()


def end_overdue_tasks(store: Store, now_ns: int) -> int:
    """End what is overdue, and return how many tasks; a transaction that writes begins only where something is."""
    with store.reading() as connection:
        if not has_overdue(connection, now_ns):
            return 0
    with store.writing() as connection:
        return end_overdue(connection, now_ns)


def deadline_loop(context: PartContext, metrics: LinuxMetrics) -> Callable[[], Coroutine[Any, Any, None]]:
    """A loop that looks every ten seconds, until cancelled."""

    async def loop() -> None:
        while True:
            try:
                ended = await run_in_thread(end_overdue_tasks, context.store, context.clock())
                metrics.ended.labels(TIMEOUT).inc(ended)
                if ended:
                    log.warning("linux_tasks_timed_out", tasks=ended)
            except StoreError as error:
                log.warning("linux_tasks_not_looked_at", error=str(error))
            await anyio.sleep(LOOK_SECONDS)

    return loop
