"""The batches of a window in the order of lists: all of them, those that hold a page, and what came with them.

A query answers for 1,000 batches or 4 MiB, and ends before its result is used; no more is held at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import BigInteger, ColumnElement, func, select, tuple_

from manager.schema.pod_cgroups import PodCgroups, unpack_pod_cgroups
from manager.schema.records import positions_of
from manager.store.batches.bounded_groups import BYTES_AT_ONCE, KEYS_AT_ONCE, bounded_groups
from manager.store.database import Store
from manager.store.tables import OBSERVATIONS

ORDER = (OBSERVATIONS.c.node_name, OBSERVATIONS.c.batch_id)


class Observation(NamedTuple):
    """One pushed connections batch without its records."""

    batch_id: str
    node_name: str
    received_ns: int
    connection_count: int


class WantedRecords(NamedTuple):
    """Connections of a batch, by their numbers in order."""

    batch: Observation
    numbers: Sequence[int]


COLUMNS = [OBSERVATIONS.c[name] for name in Observation._fields]


def of_window(agent_id: str, window_id: str) -> ColumnElement[bool]:
    """The condition for the batches of a window."""
    return (OBSERVATIONS.c.agent_id == agent_id) & (OBSERVATIONS.c.window_id == window_id)


def iterate_batches(store: Store, agent_id: str, window_id: str) -> Iterator[Observation]:
    """The batches of a window; one that comes meanwhile may be among them."""
    wanted = select(*COLUMNS).where(of_window(agent_id, window_id)).order_by(*ORDER).limit(KEYS_AT_ONCE)
    last: Observation | None = None
    while True:
        page = wanted.where(tuple_(*ORDER) > (last.node_name, last.batch_id)) if last else wanted
        with store.reading() as connection:
            found = [Observation(*row) for row in connection.execute(page)]
        yield from found
        if len(found) < KEYS_AT_ONCE:
            return
        last = found[-1]


def read_batches(store: Store, agent_id: str, window_id: str) -> list[Observation]:
    """All batches of a window."""
    return list(iterate_batches(store, agent_id, window_id))


def page_of_window(
    store: Store, agent_id: str, window_id: str, offset: int, limit: int
) -> tuple[list[WantedRecords], int]:
    """The connections of a page, and how many the window has; the database passes over the batches before it."""
    count, here = OBSERVATIONS.c.connection_count, of_window(agent_id, window_id)
    end = func.sum(count, type_=BigInteger).over(order_by=ORDER, rows=(None, 0))
    every = select(*COLUMNS, end.label("end")).where(here).subquery()
    of_page = (every.c.end > offset) & (every.c.end - every.c.connection_count < offset + limit)
    held = select(every).where(of_page, every.c.connection_count > 0).order_by(every.c.end)
    with store.reading() as connection:
        total = int(connection.execute(select(func.coalesce(func.sum(count), 0)).where(here)).scalar_one())
        rows = connection.execute(held).all()
    wanted = []
    for *columns, up_to in rows:
        batch = Observation(*columns)
        first = int(up_to) - batch.connection_count
        numbers = range(max(0, offset - first), min(batch.connection_count, offset + limit - first))
        wanted.append(WantedRecords(batch, numbers))
    return wanted, total


def iterate_column(store: Store, agent_id: str, batches: Iterable[Observation], name: str) -> Iterator[Any]:
    """What a column of `observations` holds of each batch; None of one that has been deleted meanwhile."""
    column = OBSERVATIONS.c[name]
    for some in bounded_groups(((batch, 0) for batch in batches), BYTES_AT_ONCE):
        sizes = read_by_batch(store, agent_id, some, func.length(column))
        sized = ((batch, sizes.get(batch.batch_id) or 0) for batch in some)
        for group in bounded_groups(sized, BYTES_AT_ONCE):
            found = read_by_batch(store, agent_id, group, column)
            for batch in group:
                yield batch, found.pop(batch.batch_id, None)


def read_by_batch(
    store: Store, agent_id: str, batches: Sequence[Observation], what: ColumnElement[Any]
) -> dict[str, Any]:
    """A value of each batch by its id."""
    these = OBSERVATIONS.c.batch_id.in_([batch.batch_id for batch in batches])
    with store.reading() as connection:
        rows = connection.execute(
            select(OBSERVATIONS.c.batch_id, what).where(OBSERVATIONS.c.agent_id == agent_id, these)
        )
        return {row[0]: row[1] for row in rows}


def iterate_counts(
    store: Store, agent_id: str, batches: Iterable[Observation]
) -> Iterator[tuple[Observation, dict[str, Any]]]:
    """Each batch with its counts; empty if it has been deleted meanwhile."""
    for batch, text in iterate_column(store, agent_id, batches, "observation"):
        yield batch, orjson.loads(text) if text is not None else {}


def iterate_pod_places(
    store: Store, agent_id: str, batches: Iterable[Observation], pod_uid: str
) -> Iterator[WantedRecords]:
    """The connections that may be of a pod, of each batch that has some."""
    for batch, index in iterate_column(store, agent_id, batches, "pod_index"):
        if index and (numbers := positions_of(pod_uid, index)):
            yield WantedRecords(batch, numbers)


def iterate_pod_cgroups(
    store: Store, agent_id: str, batches: Iterable[Observation]
) -> Iterator[tuple[Observation, dict[str, PodCgroups]]]:
    """Each batch that brought cgroups, with these by pod UID."""
    for batch, packed in iterate_column(store, agent_id, batches, "pod_cgroups"):
        if packed is not None:
            yield batch, unpack_pod_cgroups(packed)
