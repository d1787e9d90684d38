"""What is older than the manager keeps it is deleted, a little at a time, so that no push waits for it.

Age is the time since a batch was received, on the manager's own clock. Of inventories the newest whole one stays,
however old: an older one that comes late is known as stale by it.
"""

from sqlalchemy import ColumnElement, Table, delete, exists, select, tuple_

from manager.store.database import Store
from manager.store.tables import AGENTS, BATCHES, INVENTORIES, INVENTORY_PARTS, OBJECTS, OBSERVATIONS, WINDOWS
from podsonar.model import NS_PER_SECOND

DAY_NS = 24 * 3600 * NS_PER_SECOND
ROWS = 500  # a transaction


def outdated_rows(agent_id: str, before_ns: int) -> dict[Table, ColumnElement[bool]]:
    """Which rows of an agent are too old, in the order in which they may go."""
    newer = INVENTORIES.alias()
    whole = newer.c.complete & (newer.c.start_ns > INVENTORIES.c.start_ns)
    newer_whole = exists().where(newer.c.agent_id == agent_id, whole)
    seen = select(OBSERVATIONS.c.window_id).where(OBSERVATIONS.c.agent_id == agent_id)
    return {
        OBSERVATIONS: OBSERVATIONS.c.received_ns < before_ns,
        INVENTORY_PARTS: INVENTORY_PARTS.c.received_ns < before_ns,
        INVENTORIES: (INVENTORIES.c.start_ns < before_ns) & newer_whole,
        WINDOWS: (WINDOWS.c.start_ns < before_ns) & WINDOWS.c.window_id.not_in(seen),
        OBJECTS: OBJECTS.c.removed_ns < before_ns,
        BATCHES: BATCHES.c.received_ns < before_ns,
    }


def delete_some(store: Store, table: Table, wanted: ColumnElement[bool]) -> int:
    """How many rows one transaction deleted; fewer than ROWS: there are no more."""
    keys = list(table.primary_key)
    with store.writing() as connection:
        found = connection.execute(select(*keys).where(wanted).limit(ROWS)).all()
        if found:
            connection.execute(delete(table).where(tuple_(*keys).in_([tuple(row) for row in found])))
    return len(found)


def delete_outdated(store: Store, now_ns: int, days: int) -> dict[str, int]:
    """How many rows of each table were older than that many days, and are gone."""
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
