"""Kept maps of windows, their names, and what there is to compute them from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import delete, func, select, update

from manager.store.batches.queries import purpose_of
from manager.store.batches.sequences import list_gaps, missing_in, named_ns
from manager.store.database import Store, upsert
from manager.store.tables import HISTORY_FILES, INVENTORIES, OBSERVATIONS, WINDOW_MAPS, WINDOW_TAGS, WINDOWS
from podsonar.model import Purpose, Window

MOST_ORDERED_IN_A_ROW = 1000  # windows that are looked through for one of the schedule


class WindowState(NamedTuple):
    """What a window's map can be computed from now: its batches, and the inventory that lists what was there.

    `inventory_ns` is the start of the first whole inventory after the window, or else of the newest one; `missing` is
    how many batches are known not to have come.
    """

    window: Window
    batches: int
    received_ns: int
    inventory_ns: int
    missing: int

    def is_newer_than(self, kept: "KeptMap") -> bool:
        """Whether a map computed now may differ. Batches that retention has deleted make none better."""
        later = self.received_ns > kept.received_ns or self.batches > kept.batches
        return later or self.missing != kept.missing or kept.inventory_ns < min(self.inventory_ns, self.window.end_ns)


class KeptMap(NamedTuple):
    """A kept map without its files."""

    window_id: str
    start_ns: int
    end_ns: int
    revision: int
    batches: int
    received_ns: int
    inventory_ns: int
    missing: int
    computed_ns: int
    digest: str
    services_file: str
    has_details: bool
    seen: bool
    chunk: str | None
    document: dict[str, Any]

    @property
    def window(self) -> Window:
        """Its window."""
        purpose = (self.document.get("window") or {}).get("purpose")
        return Window(self.start_ns, self.end_ns, Purpose(**purpose) if purpose else None)


def kept_map(row: Any) -> KeptMap:  # noqa: ANN401 - a row of the database
    """A row as a value."""
    *plain, document = row
    return KeptMap(**dict(zip(KeptMap._fields, [*plain, orjson.loads(document)], strict=True)))


COLUMNS = [WINDOW_MAPS.c[name] for name in KeptMap._fields]


def list_kept(
    store: Store, agent_id: str, *, from_ns: int = 0, to_ns: int | None = None, limit: int | None = None
) -> list[KeptMap]:
    """The kept maps of windows that start in `[from_ns, to_ns)`, newest first."""
    wanted = select(*COLUMNS).where(WINDOW_MAPS.c.agent_id == agent_id, WINDOW_MAPS.c.start_ns >= from_ns)
    if to_ns is not None:
        wanted = wanted.where(WINDOW_MAPS.c.start_ns < to_ns)
    with store.reading() as connection:
        rows = connection.execute(wanted.order_by(WINDOW_MAPS.c.start_ns.desc()).limit(limit))
        return [kept_map(row) for row in rows]


def newest_kept(store: Store, agent_id: str, *, to_ns: int | None = None) -> KeptMap | None:
    """The newest kept map of a window that starts before `to_ns`, of those of the schedule if there is one.

    A window that was ordered shows seconds of an experiment, not the cluster as it is.
    """
    newest: list[KeptMap] = []
    for limit in (1, MOST_ORDERED_IN_A_ROW):
        newest = list_kept(store, agent_id, to_ns=to_ns, limit=limit)
        if found := next((one for one in newest if one.window.purpose is None), None):
            return found
    return newest[0] if newest else None


def find_kept(store: Store, agent_id: str, window_id: str) -> KeptMap | None:
    """The kept map of a window."""
    this = (WINDOW_MAPS.c.agent_id == agent_id) & (WINDOW_MAPS.c.window_id == window_id)
    with store.reading() as connection:
        row = connection.execute(select(*COLUMNS).where(this)).first()
    return kept_map(row) if row else None


def keep_map(store: Store, agent_id: str, kept: KeptMap) -> None:
    """Store a kept map, in place of an earlier revision."""
    row = {"agent_id": agent_id, **kept._asdict(), "document": orjson.dumps(kept.document)}
    with store.writing() as connection:
        upsert(connection, WINDOW_MAPS, [row])


def mark_seen(store: Store, agent_id: str, kept: KeptMap) -> None:
    """Note that the edges of this revision are among those that were ever seen."""
    mark(store, agent_id, [kept], seen=True)


def mark_chunk(store: Store, agent_id: str, kept: Sequence[KeptMap], chunk: str) -> None:
    """Note in which chunk the counts of these revisions are."""
    mark(store, agent_id, kept, chunk=chunk)


def mark(store: Store, agent_id: str, kept: Sequence[KeptMap], **values: bool | str) -> None:
    """Set columns of kept maps, unless there is another revision by now."""
    with store.writing() as connection:
        for one in kept:
            this = (WINDOW_MAPS.c.agent_id == agent_id) & (WINDOW_MAPS.c.window_id == one.window_id)
            connection.execute(update(WINDOW_MAPS).where(this, WINDOW_MAPS.c.revision == one.revision).values(**values))


def forget_details(store: Store, agent_id: str, window_id: str) -> None:
    """Note that a window's details are not kept any more."""
    this = (WINDOW_MAPS.c.agent_id == agent_id) & (WINDOW_MAPS.c.window_id == window_id)
    with store.writing() as connection:
        connection.execute(update(WINDOW_MAPS).where(this).values(has_details=False))


def forget_map(store: Store, agent_id: str, window_id: str) -> None:
    """Delete a kept map and the names of its window."""
    with store.writing() as connection:
        for table in (WINDOW_MAPS, WINDOW_TAGS):
            connection.execute(delete(table).where(table.c.agent_id == agent_id, table.c.window_id == window_id))


def list_states(store: Store, agent_id: str, window_id: str | None = None) -> list[WindowState]:
    """The state of every window that has batches, newest first; or of one."""
    counted = (
        select(
            WINDOWS.c.start_ns,
            WINDOWS.c.end_ns,
            WINDOWS.c.purpose,
            func.count().label("batches"),
            func.max(OBSERVATIONS.c.received_ns).label("received_ns"),
        )
        .join(
            OBSERVATIONS,
            (OBSERVATIONS.c.agent_id == WINDOWS.c.agent_id) & (OBSERVATIONS.c.window_id == WINDOWS.c.window_id),
        )
        .where(WINDOWS.c.agent_id == agent_id)
        .group_by(WINDOWS.c.start_ns, WINDOWS.c.end_ns, WINDOWS.c.purpose)
        .order_by(WINDOWS.c.start_ns.desc())
    )
    if window_id is not None:
        counted = counted.where(WINDOWS.c.window_id == window_id)
    whole = select(INVENTORIES.c.start_ns).where(INVENTORIES.c.agent_id == agent_id, INVENTORIES.c.complete.is_(True))
    with store.reading() as connection:
        rows = connection.execute(counted).all()
        starts = sorted(connection.execute(whole).scalars())
        gaps = list_gaps(connection, agent_id)
    return [
        WindowState(
            Window(start_ns, end_ns, purpose_of(purpose)),
            batches,
            received_ns,
            next((one for one in starts if one >= end_ns), starts[-1] if starts else 0),
            missing=sum(missing_in(gap, named_ns(start_ns)) for gap in gaps),
        )
        for start_ns, end_ns, purpose, batches, received_ns in rows
    ]


def list_tags(store: Store, agent_id: str) -> dict[str, str]:
    """Window id by name."""
    wanted = select(WINDOW_TAGS.c.name, WINDOW_TAGS.c.window_id).where(WINDOW_TAGS.c.agent_id == agent_id)
    with store.reading() as connection:
        return {row.name: row.window_id for row in connection.execute(wanted.order_by(WINDOW_TAGS.c.name))}


def tag_window(store: Store, agent_id: str, name: str, window_id: str | None, now_ns: int) -> None:
    """Give a window a name, which another window may have had; None takes the name away."""
    this = (WINDOW_TAGS.c.agent_id == agent_id) & (WINDOW_TAGS.c.name == name)
    with store.writing() as connection:
        if window_id is None:
            connection.execute(delete(WINDOW_TAGS).where(this))
            return
        row = {"agent_id": agent_id, "name": name, "window_id": window_id, "tagged_ns": now_ns}
        upsert(connection, WINDOW_TAGS, [row])


def read_file(store: Store, agent_id: str, name: str) -> bytes | None:
    """A file of history that is kept in the database."""
    this = (HISTORY_FILES.c.agent_id == agent_id) & (HISTORY_FILES.c.name == name)
    with store.reading() as connection:
        body: bytes | None = connection.execute(select(HISTORY_FILES.c.body).where(this)).scalar()
    return body


def write_file(store: Store, agent_id: str, name: str, body: bytes) -> None:
    """Keep a file of history in the database."""
    with store.writing() as connection:
        upsert(connection, HISTORY_FILES, [{"agent_id": agent_id, "name": name, "body": body}])


def delete_file(store: Store, agent_id: str, name: str) -> None:
    """Delete a file of history."""
    this = (HISTORY_FILES.c.agent_id == agent_id) & (HISTORY_FILES.c.name == name)
    with store.writing() as connection:
        connection.execute(delete(HISTORY_FILES).where(this))


def list_files(store: Store, agent_id: str, folder: str) -> list[str]:
    """The names of the files of history below a folder."""
    names = select(HISTORY_FILES.c.name).where(
        HISTORY_FILES.c.agent_id == agent_id, HISTORY_FILES.c.name.startswith(f"{folder}/", autoescape=True)
    )
    with store.reading() as connection:
        return sorted(connection.execute(names).scalars())
