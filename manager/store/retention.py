"""Deletes rows that are older than the retention, a little at a time, so that no push waits for it.

Age is the time since a batch was received, on the manager's own clock. Of inventories the newest whole one stays,
however old: an older one that comes late is recognised as stale by it.
"""

from sqlalchemy import ColumnElement, Table, delete, exists, select, tuple_

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
    """The condition per table for an agent's outdated rows, in the order in which they may be deleted."""
    newer = INVENTORIES.alias()
    whole = newer.c.complete & (newer.c.start_ns > INVENTORIES.c.start_ns)
    newer_whole = exists().where(newer.c.agent_id == agent_id, whole)
    seen = select(OBSERVATIONS.c.window_id).where(OBSERVATIONS.c.agent_id == agent_id)
    outdated_batches = select(OBSERVATIONS.c.batch_id).where(
        OBSERVATIONS.c.agent_id == agent_id, OBSERVATIONS.c.received_ns < before_ns
    )
    later = INSTALLATIONS.alias()
    newer_installation = exists().where(later.c.agent_id == agent_id, later.c.created_ns > INSTALLATIONS.c.created_ns)
    taken_away = select(DELEGATE_TASKS.c.id).where(
        DELEGATE_TASKS.c.agent_id == agent_id, DELEGATE_TASKS.c.kind == "delete", DELEGATE_TASKS.c.status == "SUCCESS"
    )
    kept = select(INSTALLATIONS.c.id).where(INSTALLATIONS.c.agent_id == agent_id)
    return {
        # Of what was installed and is there, the tasks are the record of what may be deleted.
        INSTALLATIONS: (INSTALLATIONS.c.created_ns < before_ns)
        & INSTALLATIONS.c.removal_task_id.in_(taken_away)
        & newer_installation,
        DELEGATE_TASKS: (DELEGATE_TASKS.c.created_ns < before_ns) & DELEGATE_TASKS.c.installation_id.not_in(kept),
        RECORD_BLOCKS: RECORD_BLOCKS.c.batch_id.in_(outdated_batches),
        OBSERVATIONS: OBSERVATIONS.c.received_ns < before_ns,
        INVENTORY_PARTS: INVENTORY_PARTS.c.received_ns < before_ns,
        INVENTORIES: (INVENTORIES.c.start_ns < before_ns) & newer_whole,
        WINDOWS: (WINDOWS.c.start_ns < before_ns) & WINDOWS.c.window_id.not_in(seen),
        OBJECTS: OBJECTS.c.removed_ns < before_ns,
        BATCHES: BATCHES.c.received_ns < before_ns,
        SEQUENCE_GAPS: SEQUENCE_GAPS.c.updated_ns < before_ns,
        SENDERS: SENDERS.c.updated_ns < before_ns,
    }


def delete_some(store: Store, table: Table, wanted: ColumnElement[bool]) -> int:
    """Delete up to ROWS rows in one transaction and return their number; fewer than ROWS: there are no more."""
    keys = list(table.primary_key)
    with store.writing() as connection:
        found = connection.execute(select(*keys).where(wanted).limit(ROWS)).all()
        if found:
            connection.execute(delete(table).where(tuple_(*keys).in_([tuple(row) for row in found])))
    return len(found)


def delete_outdated(store: Store, now_ns: int, days: int) -> dict[str, int]:
    """Delete rows older than that many days and return their number by table."""
    counts: dict[str, int] = {}
    with store.reading() as connection:
        agents = list(connection.execute(select(AGENTS.c.id)).scalars())
    for agent_id in agents:
        for table, wanted in outdated_rows(agent_id, now_ns - days * DAY_NS).items():
            deleted = ROWS
            while deleted == ROWS:
                deleted = delete_some(store, table, (table.c.agent_id == agent_id) & wanted)
                counts[table.name] = counts.get(table.name, 0) + deleted
    return {name: count for name, count in counts.items() if count}
