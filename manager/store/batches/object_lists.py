"""Lists of current Kubernetes objects: counted and paged by the database, never more than 4 MiB of bodies at once."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Select, func, select, tuple_

from manager.store.batches.bounded_groups import BYTES_AT_ONCE, KEYS_AT_ONCE, bounded_groups
from manager.store.database import Store
from manager.store.tables import OBJECTS


class ObjectFilter(NamedTuple):
    """A filter of current objects: a kind, optionally a namespace and a text in the name."""

    agent_id: str
    kind: str
    namespace: str = ""
    name: str = ""


class ObjectRow(NamedTuple):
    """An object as a list shows it."""

    body: dict[str, Any]
    first_ns: int
    updated_ns: int


def like_pattern(text: str) -> str:
    """A LIKE pattern for "contains `text`", its own wildcards taken literally."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def filter_objects(wanted: Select[Any], by: ObjectFilter) -> Select[Any]:
    """The query for those objects."""
    current = OBJECTS.c.removed_ns.is_(None)
    wanted = wanted.where(OBJECTS.c.agent_id == by.agent_id, OBJECTS.c.kind == by.kind, current)
    if by.namespace:
        wanted = wanted.where(OBJECTS.c.namespace == by.namespace)
    if by.name:
        wanted = wanted.where(func.lower(OBJECTS.c.name).like(like_pattern(by.name), escape="\\"))
    return wanted


def count_objects(store: Store, by: ObjectFilter) -> int:
    """How many there are."""
    with store.reading() as connection:
        return int(connection.execute(filter_objects(select(func.count()), by)).scalar_one())


def iterate_objects(
    store: Store, by: ObjectFilter, *, limit: int | None = None, offset: int = 0
) -> Iterator[ObjectRow]:
    """One page of objects by namespace, name and UID, or all of them; no transaction lasts from one row to the next."""
    order = (OBJECTS.c.namespace, OBJECTS.c.name, OBJECTS.c.uid)
    wanted = filter_objects(select(*order, func.length(OBJECTS.c.body)), by).order_by(*order)
    left, last = limit, None
    while left is None or left > 0:
        page = wanted.where(tuple_(*order) > last) if last else wanted.offset(offset)
        with store.reading() as connection:
            keys = connection.execute(page.limit(KEYS_AT_ONCE if left is None else min(left, KEYS_AT_ONCE))).all()
        if not keys:
            return
        yield from read_rows(store, by, [(uid, size) for _, _, uid, size in keys])
        last = tuple(keys[-1][:3])
        left = None if left is None else left - len(keys)


def read_rows(store: Store, by: ObjectFilter, sizes: list[tuple[str, int]]) -> Iterator[ObjectRow]:
    """The objects of some UIDs, in their order; one that has been deleted meanwhile is left out."""
    columns = (OBJECTS.c.uid, OBJECTS.c.body, OBJECTS.c.first_ns, OBJECTS.c.updated_ns)
    of_kind = select(*columns).where(OBJECTS.c.agent_id == by.agent_id, OBJECTS.c.kind == by.kind)
    for uids in bounded_groups(sizes, BYTES_AT_ONCE):
        with store.reading() as connection:
            rows = {row[0]: row[1:] for row in connection.execute(of_kind.where(OBJECTS.c.uid.in_(uids)))}
        for uid in uids:
            if uid in rows:
                body, first_ns, updated_ns = rows.pop(uid)
                yield ObjectRow(orjson.loads(body), first_ns, updated_ns)


def find_object(store: Store, agent_id: str, kind: str, uid: str) -> ObjectRow | None:
    """The current object of that kind and UID."""
    return find_objects(store, agent_id, kind, [uid]).get(uid)


def find_objects(store: Store, agent_id: str, kind: str, uids: Sequence[str]) -> dict[str, ObjectRow]:
    """The current objects of that kind by UID."""
    columns = (OBJECTS.c.uid, OBJECTS.c.body, OBJECTS.c.first_ns, OBJECTS.c.updated_ns)
    of_kind = select(*columns).where(OBJECTS.c.agent_id == agent_id, OBJECTS.c.kind == kind)
    current = of_kind.where(OBJECTS.c.removed_ns.is_(None))
    found: dict[str, ObjectRow] = {}
    for place in range(0, len(uids), KEYS_AT_ONCE):
        with store.reading() as connection:
            for uid, body, first_ns, updated_ns in connection.execute(
                current.where(OBJECTS.c.uid.in_(uids[place : place + KEYS_AT_ONCE]))
            ):
                found[uid] = ObjectRow(orjson.loads(body), first_ns, updated_ns)
    return found
