"""Several managers over one database: each batch once, one map, one schema, whatever arrives at the same moment."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from sqlalchemy import text

from manager.schema.push_schema import read_batch
from manager.server import serving
from manager.store import engine
from manager.store.batches.object_lists import ObjectFilter, count_objects, iterate_objects
from manager.store.batches.queries import list_windows, read_summaries
from manager.store.batches.window_batches import read_batches
from manager.store.batches.writes import store_batch
from manager.store.database import Store
from manager.store.retention import DAY_NS, ROWS, delete_outdated
from manager.store.tables import BATCHES, METADATA
from manager.store.tokens.import_file import HashedToken, import_tokens
from podsonar.errors import StoreError
from tests.manager.conftest import Running
from tests.manager.fresh_database import agent_of
from tests.manager.shop import NODE_A, NODE_B, WINDOW_ID, inventory, node, pod

PUSHES = 20
AT_ONCE = 8


@pytest.fixture
def both(running: Running) -> Iterator[tuple[Running, Running]]:
    """Two managers over one database."""
    with serving(running.database) as url:
        yield running, Running(url, running.database, running.token, running.key)


def test_same_batch_at_the_same_moment_at_two_managers_is_stored_once(both: tuple[Running, Running]) -> None:
    """Of twenty pushes of one batch one is stored, nineteen are duplicates, and none is an error."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda place: both[place % 2].push(NODE_A, "b-1"), range(PUSHES)))
    assert [answer.status_code for answer in answers] == [201] * PUSHES
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * (PUSHES - 1)
    store = Store(both[0].database)
    assert len(read_batches(store, agent_of(store), WINDOW_ID)) == 1
    store.close()


def test_parts_of_an_inventory_at_the_same_moment_at_two_managers_complete_it(both: tuple[Running, Running]) -> None:
    """Two parts that arrive together see each other: every inventory becomes whole, and the last one is current."""
    rounds = 10
    with ThreadPoolExecutor(2) as threads:
        for number in range(1, rounds + 1):
            head = {"id": f"inv-{number}", "sequence": number, "parts": 2}
            pods = {"podList": [pod(f"round-{number}", "10.1.1.9", "node-a", "x")]}
            bodies = (inventory(pods, part=1, **head), inventory({}, part=2, **head))
            pushed = [threads.submit(both[p].push, bodies[p], f"b-{number}-{p}") for p in (0, 1)]
            assert [one.result().json()["stored"] for one in pushed] == [True, True]
            assert both[0].get("/agents/lab")["inventory"]["waitingParts"] == 0
            assert [one["name"] for one in both[1].get("/agents/lab/pods")["items"]] == [f"round-{number}"]


def test_map_is_the_same_from_both_managers(both: tuple[Running, Running]) -> None:
    """What one manager stored the other shows at once, also where it has shown an older map before."""
    for place, body in enumerate((inventory(), NODE_A)):
        assert both[0].push(body, f"b-{place}").status_code == 201
    assert both[1].get("/agents/lab/map") == both[0].get("/agents/lab/map")
    assert both[1].push(NODE_B, "b-2").status_code == 201
    first, second = (manager.get("/agents/lab/map") for manager in both)
    assert first == second
    assert len(first["edges"]) == 5


def test_row_39_managers_that_start_together_on_nothing_make_one_schema_and_take_each_token_in_once(
    database: str,
) -> None:
    """Migrations and the tokens of the installation run one after the other; a second run changes nothing."""
    found = [HashedToken(id=f"{n:012d}", scope="ingest", name="lab", secret_sha256="0" * 64) for n in range(3)]

    def start(_number: int) -> int:
        own = Store(database)
        own.migrate()
        new = import_tokens(own, found, 1, secrets.token_bytes)
        own.close()
        return len(new)

    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(start, range(4)))
    assert sorted(taken) == [0, 0, 0, 3]
    store = Store(database)
    store.migrate()
    with store.reading() as connection:
        counts = {t.name: connection.execute(t.select()).all() for t in METADATA.sorted_tables}
    assert {name: len(rows) for name, rows in counts.items() if rows} == {"agents": 1, "tokens": 3}
    store.close()


def test_row_39_manager_that_starts_while_another_one_migrates_waits_for_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes, beyond what a write waits for another: it goes on with the other one's schema."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 50)
    migrating, waiting = Store(database), Store(database)
    with ThreadPoolExecutor(1) as threads:
        with migrating.writing(exclusive=True, checks_references=False):
            started = threads.submit(waiting.migrate)
            with pytest.raises(TimeoutError):
                started.result(1.0)
        started.result(60)
    migrating.migrate()
    for store in (migrating, waiting):
        assert list_windows(store, "nobody") == []
        store.close()


def test_row_39_schema_of_a_newer_manager_is_refused_in_one_sentence(store: Store) -> None:
    """A manager that does not know the schema touches nothing and names the one that it needs."""
    with store.writing() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StoreError, match=r"has schema 9999, this manager knows up to \d+: a newer manager has used it"):
        store.migrate()


def test_names_sort_alike_on_both_databases(store: Store) -> None:
    """Order is by bytes, whatever the database's locale: a locale would put `a-b` after `ab` and `B` beside `b`."""
    names = ["B", "a", "a-b", "a-c", "ab", "b"]
    pods = {"podList": [pod(name, "10.1.1.1", "node-a", "x") for name in reversed(names)]}
    store_batch(store, agent_of(store), "b-0", read_batch(orjson.dumps(inventory(pods))), 1)
    assert [
        row.body["metadata"]["name"] for row in iterate_objects(store, ObjectFilter(agent_of(store), "Pod"))
    ] == names
    assert [one["name"] for one in read_summaries(store, agent_of(store), None)["Pod"]] == names


def test_what_is_older_than_it_is_kept_is_gone_and_the_rest_stays(store: Store) -> None:
    """Batches, windows and objects go by age; what is there now, and the newest whole inventory, stay however old."""
    agent = agent_of(store)
    later = {"start": "2026-11-24T11:15:00Z", "end": "2026-11-24T11:16:00Z"}
    rest = inventory({"podList": [pod("db-1", "10.1.2.30", "node-b", "db")]}, id="inv-2", sequence=2)
    bodies = [inventory(), NODE_A, NODE_B | {"window": later}, rest | {"window": later}]
    now_ns = 1_795_605_600 * 10**9  # a day after them
    for place, body in enumerate(bodies):
        received_ns = now_ns - (60 - 40 * (place >= 2)) * DAY_NS
        store_batch(store, agent, f"b-{place}", read_batch(orjson.dumps(body)), received_ns)
    for _ in range(2):
        assert sum(len(read_batches(store, agent, w.id)) for w in list_windows(store, agent)) == 2
        assert delete_outdated(store, now_ns, 61) == {}
    gone = delete_outdated(store, now_ns, 30)
    assert gone == {"record_blocks": 2, "observations": 1, "batches": 2}
    assert [window.id for window in list_windows(store, agent)] == ["2026-11-24T11:15:00Z"]
    assert count_objects(store, ObjectFilter(agent, "Pod")) == 1
    gone = delete_outdated(store, now_ns + 60 * DAY_NS, 30)
    assert gone == {"record_blocks": 2, "observations": 1, "inventories": 1, "windows": 2, "objects": 16, "batches": 2}
    assert count_objects(store, ObjectFilter(agent, "Pod")) == 1
    answer = store_batch(store, agent, "b-9", read_batch(orjson.dumps(inventory())), now_ns)
    assert answer.stale


def test_more_rows_than_one_transaction_deletes_all_go(store: Store) -> None:
    """A long list of old batches is deleted to its end, in steps."""
    agent = agent_of(store)
    with store.writing() as connection:
        rows = [{"agent_id": agent, "batch_id": f"b-{n}", "kind": "connections", "received_ns": n} for n in range(1201)]
        connection.execute(BATCHES.insert(), rows)
    assert ROWS < 1201
    assert delete_outdated(store, 100 * DAY_NS, 30) == {"batches": 1201}


def test_many_objects_that_are_gone_are_removed_together(store: Store) -> None:
    """An inventory without 1,201 nodes of the one before it removes each of them."""
    agent = agent_of(store)
    nodes = {"nodeList": [node(f"node-{n}", "192.0.2.1", "10.1.1.0/24") for n in range(1201)]}
    store_batch(store, agent, "b-0", read_batch(orjson.dumps(inventory(nodes))), 1)
    assert count_objects(store, ObjectFilter(agent, "Node")) == 1201
    store_batch(store, agent, "b-1", read_batch(orjson.dumps(inventory(id="inv-2", sequence=2))), 1)
    assert count_objects(store, ObjectFilter(agent, "Node")) == 2
