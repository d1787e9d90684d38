"""manager/store/batches/writes.py: what inventories do to what is known, and that a restart changes nothing."""

import gzip
import secrets
import time
from contextlib import closing
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from manager.schema.push_schema import read_batch
from manager.schema.records import accepted_in, connections_in
from manager.server import serving
from manager.store.batches.object_lists import ObjectFilter, count_objects
from manager.store.batches.queries import newest_inventory
from manager.store.batches.window_batches import iterate_counts, read_batches
from manager.store.batches.window_blocks import iterate_blocks
from manager.store.batches.writes import ACCEPTED_SIDE, CONNECTIONS_SIDE, store_batch
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.manager.conftest import CLIENT, Running
from tests.manager.fresh_database import agent_of
from tests.manager.shop import LISTS, NODE_A, NODE_B, WINDOW, WINDOW_ID, inventory, pod

WINDOW_START_NS = parse_rfc3339(WINDOW["start"])
LATER = {"start": "2026-11-24T10:20:00.000000Z", "end": "2026-11-24T10:21:00.000000Z"}
ONLY_DB = {"podList": [pod("db-1", "10.1.2.30", "node-b", "db")]}


def names(running: Running, path: str = "pods") -> list[str]:
    """Names of the current objects."""
    return [item["name"] for item in running.get(f"/agents/lab/{path}", all="true")["items"]]


def later(complete: bool, **head: Any) -> dict[str, Any]:
    """A second inventory that lists one pod only."""
    return inventory(ONLY_DB, id="inv-2", sequence=2, kinds={"Pod": {"complete": complete, "count": 1}}, **head) | {
        "window": LATER
    }


ALL = ["cart-1", "cart-2", "db-1", "frontend-1", "load-1"]


@pytest.mark.parametrize(
    ("bodies", "stale", "pods"),
    [
        ([inventory()], False, ALL),
        ([inventory(), later(complete=True)], False, ["db-1"]),
        ([inventory(), later(complete=False)], False, ALL),
        ([inventory(), later(complete=True, part=1, parts=2)], False, ALL),
        ([later(complete=True), inventory()], True, ["db-1"]),
        ([inventory(part=1, parts=2), inventory({}, part=2, parts=2)], False, ALL),
        ([inventory(part=1, parts=2)], False, []),
    ],
)
def test_inventories_in_order_leave_the_pods(
    running: Running, bodies: list[dict[str, Any]], stale: bool, pods: list[str]
) -> None:
    """Parts count when all are there; whole kinds replace, others only add; an older inventory is stale."""
    for place, body in enumerate(bodies):
        answer = running.push(body, f"b-{place}")
        assert answer.status_code == 201
    assert answer.json()["stale"] is stale
    assert names(running) == pods


def test_inventory_without_its_last_part_deletes_nothing_and_is_shown_as_incomplete(running: Running) -> None:
    """Part 2 before part 1: nothing changes, and the state is incomplete, until part 1 makes it whole."""
    assert running.push(inventory(), "b-0").status_code == 201
    first = {"window": WINDOW_ID, "state": "complete", "waitingParts": 0, "incompleteKinds": {}}
    assert running.get("/agents/lab")["inventory"] == first
    second = later(complete=True, part=2, parts=2)
    assert running.push(second, "b-1").json() == {"batch_id": "b-1", "stored": True, "duplicate": False, "stale": False}
    assert names(running) == ALL
    found = running.get("/agents/lab")["inventory"]
    waiting = {"window": "2026-11-24T10:20:00Z", "state": "incomplete", "waitingParts": 1, "incompleteKinds": {}}
    assert found == waiting
    empty = {**later(complete=True, part=1, parts=2), "podList": []}
    assert running.push(empty, "b-2").json()["stored"] is True
    assert names(running) == ["db-1"]
    assert running.get("/agents/lab")["inventory"]["state"] == "complete"


def test_incomplete_kind_carries_its_reason(running: Running) -> None:
    """The reasons of the newest inventory are the collector's, cut where they are long; a whole kind has none."""
    kinds = {
        "Pod": {"complete": True, "count": 1},
        "Node": {"complete": False, "reason": "namespaced"},
        "Service": {"complete": False, "count": 1, "reason": "forbidden in bank"},
        "Job": {"complete": False},
        "Deployment": {"complete": False, "reason": "unreachable: " + "x" * 5000},
    }
    assert running.push(inventory(ONLY_DB, kinds=kinds), "b-0").status_code == 201
    reasons = {"Node": "namespaced", "Service": "forbidden in bank", "Job": ""}
    reasons["Deployment"] = "unreachable: " + "x" * 287
    assert running.get("/agents/lab")["inventory"]["incompleteKinds"] == reasons
    whole = {"Pod": {"complete": True}, "Node": {"complete": True}, "Service": {"complete": True}}
    assert running.push(inventory(id="inv-2", sequence=2, kinds=whole), "b-1").status_code == 201
    assert running.get("/agents/lab")["inventory"]["incompleteKinds"] == {}


def packed(value: object) -> bytes:
    """A column of JSON as the fourth schema stored it."""
    return gzip.compress(orjson.dumps(value))


def test_database_of_before_is_migrated_with_its_records(database: str) -> None:
    """Of schema 0004 records, counts and objects stay; what no reader can use is left out, and no reason is made up."""
    with closing(Store(database)) as before:
        before.migrate("0004")
        agent = "id-of-lab"
        odd = NODE_A["connectionList"][0] | {"destinationPort": "80\n"}
        rows = {
            "observation": packed({"attempts": 2**63, "tracer": ["a"], "lost": {"queue": 3}}),
            "connections": packed([*NODE_A["connectionList"], odd] * 800),
            "accepted": packed(NODE_A["acceptedList"]),
        }
        with before.writing() as connection:
            connection.execute(
                text("insert into agents (id, identity, created_ns, revision) values (:agent, 'lab', 1, 0)"),
                {"agent": agent},
            )
            connection.execute(
                text(
                    "insert into observations (agent_id, batch_id, window_id, node_name, received_ns, observation, "
                    "connections, accepted) values (:agent, 'b-1', :window, 'node-a', :now, :observation, "
                    ":connections, :accepted)"
                ),
                {"agent": agent, "window": WINDOW_ID, "now": time.time_ns()} | rows,
            )
            connection.execute(
                text("insert into windows values (:agent, :window, :start, :end)"),
                {
                    "agent": agent,
                    "window": WINDOW_ID,
                    "start": WINDOW_START_NS,
                    "end": WINDOW_START_NS + 60 * NS_PER_SECOND,
                },
            )
            connection.execute(
                text(
                    "insert into inventories (agent_id, inventory_id, start_ns, sequence, complete) "
                    "values (:a, 'i', 1, 1, true)"
                ),
                {"a": agent},
            )
            item = pod("odd", "10.1.1.1", "node-a", "x")
            item["metadata"]["labels"] = {"app": []}
            values = {
                "agent": agent,
                "facts": orjson.dumps({"uid": "uid-odd", "labels": {"app": []}}),
                "body": orjson.dumps(item),
            }
            connection.execute(
                text(
                    "insert into objects values (:agent, 'Pod', 'uid-odd', 'shop', 'odd', 1, 1, 1, null, :facts, :body)"
                ),
                values,
            )
    with closing(Store(database)) as store:
        store.migrate()
        (batch,) = read_batches(store, agent, WINDOW_ID)
        assert batch.connection_count == 2400
        assert list(iterate_counts(store, agent, [batch])) == [(batch, {"lost": {"queue": 3}})]
        sides = [
            [block for _, block in iterate_blocks(store, agent, [batch], side)]
            for side in (CONNECTIONS_SIDE, ACCEPTED_SIDE)
        ]
        records = list(connections_in(sides[0]))
        assert len(records) == 2400
        assert len(list(accepted_in(sides[1]))) == 3
        assert newest_inventory(store, agent)["incompleteKinds"] is None  # type: ignore[index]
        token = create_token(store, "ingest", "lab", 1, secrets.token_bytes)
        key = create_token(store, "read", "tester", 1, secrets.token_bytes)
    with serving(database) as url:
        running = Running(url, database, token.text(), key.text())
        assert len(running.get("/agents/lab/map", window=WINDOW_ID)["edges"]) == 3
        assert [item["labels"] for item in running.get("/agents/lab/pods")["items"]] == [{}]


def test_parts_that_wait_for_an_hour_are_dropped(store: Store) -> None:
    """A missing part that comes after an hour finds nothing to complete: no pod is deleted by half an inventory."""
    agent = agent_of(store)

    def put(body: dict[str, Any], batch_id: str, minutes: int) -> int:
        batch = read_batch(orjson.dumps(body))
        store_batch(store, agent, batch_id, batch, minutes * 60 * NS_PER_SECOND)
        return count_objects(store, ObjectFilter(agent, "Pod"))

    assert put(inventory(), "b-0", 0) == len(ALL)
    assert put(later(complete=True, part=1, parts=2), "b-1", 1) == len(ALL)
    assert put({**later(complete=True, part=2, parts=2), "podList": []}, "b-2", 62) == len(ALL)
    assert newest_inventory(store, agent) == {
        "window": "2026-11-24T10:20:00Z",
        "state": "incomplete",
        "waitingParts": 1,
        "incompleteKinds": {},
    }
    assert put(later(complete=True, part=1, parts=2), "b-3", 63) == 1


def test_earlier_window_keeps_what_was_there(running: Running) -> None:
    """A map of an earlier window still has the pods that a later inventory no longer holds."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B, later(complete=True))):
        assert running.push(body, f"b-{place}").status_code == 201
    found = running.get("/agents/lab/map", window=WINDOW_ID)
    assert {one["id"]: one["pods"] for one in found["services"]}["service/shop/cart"] == 2
    assert found["windows"] == [WINDOW_ID]


def test_restart_loses_nothing(running: Running) -> None:
    """What was answered with 201 is there for a new process, and still a duplicate."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B)):
        assert running.push(body, f"b-{place}").status_code == 201
    before = running.get("/agents/lab/map")
    with serving(running.database) as url:
        again = Running(url, running.database, running.token, running.key)
        assert again.get("/agents/lab/map") == before
        assert again.push(NODE_A, "b-1").json()["duplicate"] is True


def test_two_clusters_with_same_uids_stay_apart(running: Running) -> None:
    """An agent's batch changes its own cluster only, even with the UIDs and batch ids of another."""
    store = Store(running.database)
    other = create_token(store, "ingest", "other", 2, secrets.token_bytes).text()
    store.close()
    assert running.push(inventory(), "b-1").json()["stored"] is True
    answer = running.push(inventory(LISTS | ONLY_DB), "b-1", Authorization=f"Token {other}")
    assert answer.json()["stored"] is True
    assert names(running) == ALL
    assert [item["name"] for item in running.get("/agents/other/pods", all="true")["items"]] == ["db-1"]


def test_lists_have_pages_filters_and_keys(running: Running) -> None:
    """Lists are paged as the API document says, and open with a key of scope read only."""
    running.push(inventory())
    found = running.get("/agents/lab/pods", page="1", limit="2")
    assert [item["name"] for item in found["items"]] == ["db-1", "frontend-1"]
    assert found["page"] == {"all": False, "index": 1, "limit": 2, "totalItems": 5, "totalPages": 3}
    assert [item["name"] for item in running.get("/agents/lab/services", name="RT")["items"]] == ["cart"]
    assert running.get("/agents/lab/services", name="%")["items"] == []
    url = f"{running.url}/gateway/servicediscovery/api/v1/agents/lab/pods"
    assert CLIENT.get(url, headers={"Authorization": f"Bearer {running.key}"}).status_code == 200
    for headers in ({}, {"X-API-Key": running.token}, {"Authorization": f"Token {running.token}"}):
        assert CLIENT.get(url, headers=headers).status_code == 401
    missing = CLIENT.get(f"{running.url}/api/v1/agents/none/pods", headers={"X-API-Key": running.key})
    assert missing.status_code == 404


def test_discovered_services_and_their_connections(running: Running) -> None:
    """The API's own shapes hold the services with workloads, and the edges by name."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B)):
        running.push(body, f"b-{place}")
    services = running.get("/agents/lab/discoveredservices", all="true")["items"]
    kinds = {item["name"]: item["spec"]["kubernetes"]["kind"] for item in services}
    assert kinds == {"cart": "Service", "db": "Service", "frontend": "Service", "load": "Deployment"}
    edges = running.get("/agents/lab/discoveredserviceconnections")["items"]
    assert ("frontend", "cart", "7000") in {
        (edge["sourceName"], edge["destinationName"], edge["destinationPort"]) for edge in edges
    }
    connections = running.get("/agents/lab/connections")["items"]
    assert len(connections) == 5
    assert connections[0]["spec"]["nodeName"] == "node-a"
    assert len(running.get("/agents/lab/pods/uid-load-1/connections")["items"]) == 2
