"""Connections of windows of many batches: any page, and whole lists, byte for byte, in a few queries."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from manager.api.resources.connection_wire import connection_wire
from manager.history.service import History
from manager.schema.records import LISTED_ONE
from manager.server import serving
from manager.store.agents import Agent, find_agent
from manager.store.database import Store
from podsonar.settings import HistorySettings, ManagerSettings
from tests.manager.conftest import CLIENT, Running, database_of
from tests.manager.fresh_database import migrated
from tests.manager.shop import inventory
from tests.manager.store.batches.filled_windows import HOUR_NS, PODS, FilledWindow, fill_window

FIRST_HOUR = 499_000  # in December 2026, when the shop's pods are there
NOW_NS = (FIRST_HOUR + 100) * HOUR_NS
# Its own loops leave everything alone: what is counted are the queries of a request.
QUIET = ManagerSettings(history=HistorySettings(settle_seconds=86_400_000), retention_days=3650)
FEW, MANY = 5, 4
Row = dict[str, Any]


@dataclass(frozen=True)
class Filled:
    """A manager over a database with windows of many batches."""

    running: Running
    agent: Agent
    windows: list[FilledWindow]
    known: dict[tuple[int, str | None], list[Row | None]] = field(default_factory=dict)

    def rows(self, place: int, pod_uid: str | None) -> list[Row | None]:
        """The items of a window's list; None for one that the index takes for the pod's, which is not shown."""
        if (place, pod_uid) not in self.known:
            self.known[place, pod_uid] = list(rows_of(self.agent, self.windows[place], pod_uid))
        return self.known[place, pod_uid]


def shapes(dice: random.Random) -> list[list[int]]:
    """How many connections the batches of each window have."""
    return [
        [0, 0],
        [dice.randrange(4) for _ in range(1000)],
        [dice.randrange(3) for _ in range(1001)],
        [2500, 0, 1, 1000, 1001, 0, 999, 3],
        [dice.randrange(5) for _ in range(2300)],
        [dice.randrange(5) for _ in range(7)],
    ]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Six windows on each database, the same ones each time."""
    dice = random.Random(23)  # noqa: S311 - a repeatable sequence is what is wanted
    with database_of(request, tmp_path_factory.mktemp("filled")) as database:
        tokens = migrated(database)
        with closing(Store(database)) as store:
            agent = find_agent(store, "lab")
            assert agent is not None
            windows = [fill_window(store, FIRST_HOUR + place, sizes, dice) for place, sizes in enumerate(shapes(dice))]
        with serving(database, clock=lambda: NOW_NS, settings=QUIET) as url:
            running = Running(url, database, *tokens)
            assert running.push(inventory()).status_code == 201
            yield Filled(running, agent, windows)


def rows_of(agent: Agent, filled_window: FilledWindow, pod_uid: str | None) -> Iterator[Row | None]:
    """The items of a window's list in order; None for one that the index takes for the pod's and that is not shown."""
    for one in filled_window.pushed:
        for number, record in enumerate(one.body["connectionList"]):
            ends = record["kubernetes"]
            uids = {ends["sourcePod"]["uid"], ends.get("destinationPod", ends["sourcePod"])["uid"]}
            if pod_uid is not None and crc32(pod_uid.encode()) not in {crc32(uid.encode()) for uid in uids}:
                continue
            if pod_uid is not None and pod_uid not in uids:
                yield None
                continue
            spec = msgspec.to_builtins(LISTED_ONE.decode(orjson.dumps(record)))
            yield connection_wire(agent, f"{one.batch_id}.{number}", one.node_name, one.received_ns, spec)


def expected(filled: Filled, place: int, pod_uid: str | None, query: dict[str, str]) -> bytes:
    """The answer to a request, from what was pushed."""
    rows = filled.rows(place, pod_uid)
    page, limit = int(query.get("page", "0")), min(int(query.get("limit", "10")), 1000)
    if not {"page", "limit"} & set(query):
        shown, pages = rows, {}
    else:
        shown = rows[page * limit : (page + 1) * limit]
        of = {"all": False, "index": page, "limit": limit, "totalItems": len(rows)}
        pages = {"page": of | {"totalPages": -(-len(rows) // limit)}}
    return orjson.dumps({"correlationID": "c", "items": [row for row in shown if row is not None]} | pages)


def ask(filled: Filled, place: int, path: str, query: dict[str, str]) -> bytes:
    """The answer to a request about a window."""
    about = query | {"window": filled.windows[place].window.id, "correlationID": "c"}
    url, headers = f"{filled.running.url}/api/v1/agents/lab/{path}", {"X-API-Key": filled.running.key}
    answer = CLIENT.get(url, params=about, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.content


def path_of(pod_uid: str | None) -> str:
    """The path of a list."""
    return "connections" if pod_uid is None else f"pods/{pod_uid}/connections"


PAGES = st.one_of(st.integers(0, 12), st.integers(0, 700), st.just(999_999_999))
LIMITS = st.one_of(st.integers(1, 12), st.sampled_from([97, 999, 1000, 1001, 999_999_999]))
QUERIES = st.fixed_dictionaries({}, optional={"page": PAGES.map(str), "limit": LIMITS.map(str)})


@given(st.integers(0, 5), st.sampled_from([None, *PODS, "uid-nobody"]), QUERIES)
def test_any_page_of_any_window_is_what_was_pushed(
    filled: Filled, place: int, pod_uid: str | None, query: dict[str, str]
) -> None:
    """Of all connections or a pod's: order, fields, ids and totals, wherever the page begins; and whole lists."""
    assert ask(filled, place, path_of(pod_uid), query) == expected(filled, place, pod_uid, query)


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("pod_uid", [None, "plumless"])
def test_pages_side_by_side_are_the_whole_list(filled: Filled, pod_uid: str | None, limit: int) -> None:
    """Nothing comes twice, nothing is passed over, at the borders of batches, blocks and groups."""
    for place in (3, 5) if limit < 1000 else (3, 4):
        whole = orjson.loads(ask(filled, place, path_of(pod_uid), {}))["items"]
        found: list[Any] = []
        pages = range(2, 9) if limit < 1000 and place == 3 else range(len(whole) // limit + 2)
        for page in pages:
            query = {"page": str(page), "limit": str(limit)}
            found += orjson.loads(ask(filled, place, path_of(pod_uid), query))["items"]
        rows = filled.rows(place, pod_uid)
        assert whole == [row for row in rows if row is not None]
        asked = rows[pages.start * limit : pages.stop * limit]
        assert found == [row for row in asked if row is not None]


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """The queries about batches and blocks that are sent in the block, to whatever database."""
    seen: list[str] = []
    lock = threading.Lock()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and ("FROM observations" in statement or "FROM record_blocks" in statement):
            with lock:
                seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def queries_of(filled: Filled, place: int, path: str, query: dict[str, str]) -> int:
    """How many queries about batches and blocks a request sends; that a window exists is one of them."""
    with counted_queries() as seen:
        ask(filled, place, path, query)
    return len(seen)


def test_page_takes_as_many_queries_behind_2300_batches_as_behind_none(filled: Filled) -> None:
    """First, middle and last page, of any window; a page of 1,000 from hundreds of batches, too."""
    few = queries_of(filled, FEW, "connections", {"page": "0", "limit": "5"})
    assert few <= 6
    total = len(filled.rows(MANY, None))
    for page in (0, total // 10, total // 5 - 1):
        assert queries_of(filled, MANY, "connections", {"page": str(page), "limit": "5"}) == few
    assert queries_of(filled, MANY, "connections", {"page": "2", "limit": "1000"}) <= few + 2


def test_lists_of_2300_batches_take_a_few_queries(filled: Filled) -> None:
    """Whole lists, pages of a pod, of a pod that is unknown: three groups of batches, not one by one."""
    assert len(filled.windows[MANY].pushed) == 2300
    page = {"page": "1", "limit": "100"}
    for path, query in (("connections", {}), *((path_of(pod), q) for pod in (PODS[0], "no") for q in ({}, page))):
        assert queries_of(filled, MANY, path, query) <= 30, path


def test_map_of_2300_batches_is_computed_in_a_few_queries(filled: Filled) -> None:
    """Counts, connections and accepted ones; the map has all of them."""
    many = filled.windows[MANY]
    with closing(Store(filled.running.database)) as store, counted_queries() as seen:
        found = History(store, HistorySettings(), lambda: NOW_NS).maps.compute(filled.agent, many.window)
    assert len(seen) <= 40
    bodies = [one.body for one in many.pushed]
    attempts = sum(one["attempts"] for body in bodies for one in body["connectionList"])
    assert sum(edge["attempts"] for edge in found["edges"]) == attempts
    assert sum(one["attempts"] for one in found["observation"].values()) == attempts
    assert found["recall"]["accepted"] + sum(found["recall"]["notComparable"].values()) > 0


def test_explanation_of_an_edge_among_2300_batches_takes_a_few_queries(filled: Filled) -> None:
    """The records of the edge, each with its node, in the order of lists."""
    query = {"source": "shop/load-1", "destination": "shop/cart-1"}
    ask(filled, MANY, "map", {})
    with counted_queries() as seen:
        found = orjson.loads(ask(filled, MANY, "explain", query))
    assert len(seen) <= 60  # the map is computed, too
    assert found["edges"]
    assert found["records"]
    ends = ("uid-load-1", ("uid-cart-1", "uid-cart-2"))
    wanted = [
        (one.node_name, record["destinationIP"])
        for one in filled.windows[MANY].pushed
        for record in one.body["connectionList"]
        if record["kubernetes"]["sourcePod"]["uid"] == ends[0]
        and record["kubernetes"].get("destinationPod", {}).get("uid") in ends[1]
    ]
    assert [(one["node"], one["destinationIP"]) for one in found["records"]] == wanted[:100]
    assert len(found["records"]) + found["moreRecords"] == len(wanted)
