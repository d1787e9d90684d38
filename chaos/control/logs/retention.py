"""Deletes streams that nobody has written to for the manager's retention, a few rows at a time."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import structlog
from sqlalchemy import ColumnElement, Table, select, tuple_

from manager.parts import PartContext
from manager.store.database import Store
from manager.store.logs.tables import LOG_BLOBS, LOG_CHUNKS, LOG_STREAMS, LOG_TOKENS
from manager.store.retention import DAY_NS, ROWS, delete_some
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

RETAIN_SECONDS = 3600

log = structlog.get_logger()


def outdated_rows(before_ns: int) -> dict[Table, ColumnElement[bool]]:
    """The condition per table, in the order in which rows may be deleted: lines before the stream that counts them."""
    old = select(LOG_STREAMS.c.account, LOG_STREAMS.c.key).where(LOG_STREAMS.c.touched_ns < before_ns)
    return {
        LOG_CHUNKS: tuple_(LOG_CHUNKS.c.account, LOG_CHUNKS.c.key).in_(old),
        LOG_BLOBS: LOG_BLOBS.c.uploaded_ns < before_ns,
        LOG_STREAMS: LOG_STREAMS.c.touched_ns < before_ns,
        LOG_TOKENS: LOG_TOKENS.c.expires_ns < before_ns,
    }


def delete_outdated_logs(store: Store, now_ns: int, days: int) -> dict[str, int]:
    """Delete what is older than that many days and return the number of rows by table."""
    counts: dict[str, int] = {}
    for table, wanted in outdated_rows(now_ns - days * DAY_NS).items():
        deleted = ROWS
        while deleted == ROWS:
            deleted = delete_some(store, table, wanted)
            counts[table.name] = counts.get(table.name, 0) + deleted
    return {name: count for name, count in counts.items() if count}


def retention_loop(context: PartContext) -> Callable[[], Coroutine[Any, Any, None]]:
    """A loop that deletes once an hour, until cancelled."""

    async def loop() -> None:
        while True:
            try:
                counts = await run_in_thread(
                    delete_outdated_logs, context.store, context.clock(), context.retention_days
                )
                if counts:
                    log.info("outdated_logs_deleted", days=context.retention_days, **counts)
            except StoreError as error:
                log.warning("outdated_not_deleted", error=str(error))
            await anyio.sleep(RETAIN_SECONDS)

    return loop
