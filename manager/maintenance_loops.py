"""Maintenance of the manager beside its requests: what one loop raises ends neither that loop nor another one."""

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import anyio
import structlog

from podsonar.supervised import Backoff, place_of

LOOPS = ("delegated", "edges", "history", "installations", "linux", "logs", "maps", "outdated", "runs", "token_use")
STEADY_SECONDS = 60.0  # a loop that ran for so long begins again with the first pause

MaintenanceLoop = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


async def keep_going(
    name: str,
    loop: MaintenanceLoop,
    on_failure: Callable[[str], object],
    backoff: Backoff | None = None,
) -> None:
    """Run an endless loop until cancelled; after an error of any type call `on_failure`, pause, and begin it again."""
    pace = backoff or Backoff()
    while True:
        began = time.monotonic()
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - the one place that keeps the loop alive
            on_failure(name)
            log.error("loop_failed", loop=name, error=type(error).__name__, place=place_of(error))  # noqa: TRY400
        if time.monotonic() - began > STEADY_SECONDS:
            pace.reset()
        await anyio.sleep(pace.next_seconds())


async def run_loops(loops: Mapping[str, MaintenanceLoop], on_failure: Callable[[str], object]) -> None:
    """Run every loop side by side until cancelled."""
    async with anyio.create_task_group() as tasks:
        for name, loop in loops.items():
            tasks.start_soon(keep_going, name, loop, on_failure)
