"""Deletes rows that are older than the retention, a little at a time, so that no push waits for it.

Age is the time since a batch was received, on the manager's own clock. Of inventories the newest whole one stays,
however old: an older one that comes late is recognised as stale by it.

What one transaction costs does not grow with the rows that are kept: each condition is a range of an index, with what
it asks of other tables looked up by their keys (tests/manager/store/retention/). Two are not ranges of their own: of
senders, which change with every push and are as many as spools, an agent's are read; and an installation or task that
is old but stays is looked at every time.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, exists, select

from manager.store.database import Store
from manager.store.delegate_tables import DELEGATE_TASKS, INSTALLATIONS
from manager.store.tables import (
    AGENTS,
    BATCHES,
    INVENTORIES,
    INVENTORY_PARTS,
    OBJECTS,
    OBSERVATIONS,
    RECORD_BLOCKS,
    SENDERS,
    SEQUENCE_GAPS,
    WINDOWS,
)
from podsonar.timestamp import NS_PER_SECOND

DAY_NS = 24 * 3600 * NS_PER_SECOND
ROWS = 500  # per transaction


def outdated_rows(agent_id: str, before_ns: int) -> dict[Table, ColumnElement[bool]]:
    """The condition per table for an agent's outdated rows, in the order in which they may be deleted.

    Batches and what belongs to them go before (`delete_some_of_batches`).
    """
    newest = INVENTORIES.alias()
    newest_whole = (
        select(newest.c.start_ns)
        .where(newest.c.agent_id == agent_id, newest.c.complete)
        .order_by(newest.c.start_ns.desc())
        .limit(1)
        .scalar_subquery()
    )
    of_window = (OBSERVATIONS.c.agent_id == agent_id) & (OBSERVATIONS.c.window_id == WINDOWS.c.window_id)
    seen = select(OBSERVATIONS.c.window_id).where(of_window).exists()
    later = INSTALLATIONS.alias()
    newer_installation = exists().where(later.c.agent_id == agent_id, later.c.created_ns > INSTALLATIONS.c.created_ns)
    task = DELEGATE_TASKS.alias()
    taken_away = exists().where(
        task.c.id == INSTALLATIONS.c.removal_task_id,
        task.c.agent_id == agent_id,
        task.c.kind == "delete",
        task.c.status == "SUCCESS",
    )
    kept = exists().where(INSTALLATIONS.c.id == DELEGATE_TASKS.c.installation_id, INSTALLATIONS.c.agent_id == agent_id)
    return {
        # Of what was installed and is there, the tasks are the record of what may be deleted.
        INSTALLATIONS: (INSTALLATIONS.c.created_ns < before_ns) & taken_away & newer_installation,
        DELEGATE_TASKS: (DELEGATE_TASKS.c.created_ns < before_ns) & ~kept,
        INVENTORY_PARTS: INVENTORY_PARTS.c.received_ns < before_ns,
        INVENTORIES: (INVENTORIES.c.start_ns < before_ns) & (INVENTORIES.c.start_ns < newest_whole),
        WINDOWS: (WINDOWS.c.start_ns < before_ns) & ~seen,
        OBJECTS: OBJECTS.c.removed_ns < before_ns,
        SEQUENCE_GAPS: SEQUENCE_GAPS.c.updated_ns < before_ns,
        SENDERS: SENDERS.c.updated_ns < before_ns,
    }


def delete_rows(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Delete rows by their primary keys, each looked up: SQLite reads the whole table for a list of pairs."""
    keys = list(table.primary_key)
    this = and_(*(column == bindparam(f"key_{column.name}") for column in keys))
    if rows:
        named = [{f"key_{column.name}": value for column, value in zip(keys, row, strict=True)} for row in rows]
        connection.execute(delete(table).where(this), named)


def delete_some(store: Store, table: Table, wanted: ColumnElement[bool]) -> int:
    """Delete up to ROWS rows in one transaction and return their number; fewer than ROWS: there are no more.

    Where there are none, nobody waits for a transaction.
    """
    some = select(*table.primary_key).where(wanted)
    with store.reading() as connection:
        if connection.execute(some.limit(1)).first() is None:
            return 0
    with store.writing() as connection:
        found = connection.execute(some.limit(ROWS)).all()
        delete_rows(connection, table, found)
    return len(found)


def delete_some_of_batches(store: Store, agent_id: str, before_ns: int) -> tuple[str, int]:
    """Of the ROWS oldest outdated batches delete up to ROWS rows of one table; its name and their number, 0 at the end.

    A batch goes after its observation, and that after its blocks. So no transaction looks at more batches than these.
    """
    outdated = (
        select(BATCHES.c.batch_id)
        .where(BATCHES.c.agent_id == agent_id, BATCHES.c.received_ns < before_ns)
        .order_by(BATCHES.c.received_ns)
    )
    with store.reading() as connection:
        if connection.execute(outdated.limit(1)).first() is None:
            return BATCHES.name, 0
    with store.writing() as connection:
        oldest = list(connection.execute(outdated.limit(ROWS)).scalars())
        for table in (RECORD_BLOCKS, OBSERVATIONS, BATCHES):
            these = (table.c.agent_id == agent_id) & table.c.batch_id.in_(oldest)
            found = connection.execute(select(*table.primary_key).where(these).limit(ROWS)).all()
            if found:
                delete_rows(connection, table, found)
                return table.name, len(found)
    return BATCHES.name, 0


def delete_outdated(store: Store, now_ns: int, days: int) -> dict[str, int]:
    """Delete rows older than that many days and return their number by table."""
    counts: dict[str, int] = {}
    before_ns = now_ns - days * DAY_NS
    with store.reading() as connection:
        agents = list(connection.execute(select(AGENTS.c.id)).scalars())
    for agent_id in agents:
        deleted = ROWS
        while deleted:
            name, deleted = delete_some_of_batches(store, agent_id, before_ns)
            counts[name] = counts.get(name, 0) + deleted
        for table, wanted in outdated_rows(agent_id, before_ns).items():
            deleted = ROWS
            while deleted == ROWS:
                deleted = delete_some(store, table, (table.c.agent_id == agent_id) & wanted)
                counts[table.name] = counts.get(table.name, 0) + deleted
    return {name: count for name, count in counts.items() if count}
