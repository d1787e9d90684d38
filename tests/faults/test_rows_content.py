"""Rows 24 to 35: batches that are well-formed, and hostile, repeated, late or of another time."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from manager.schema.push_schema import InventoryPart
from manager.store.batches.writes import store_batch
from manager.store.database import Store
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND
from tests.faults.conftest import FaultAgent
from tests.manager.fresh_database import agent_of
from tests.manager.shop import LISTS, NODE_A, inventory, observed, pod

GOOD = orjson.dumps(NODE_A)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "\x1b[2J\x1b[31m",
)
LATER = {"start": "2026-11-24T11:15:00Z", "end": "2026-11-24T11:16:00Z"}


def names(agent: FaultAgent) -> list[str]:
    """The names of the cluster's pods."""
    return [one["name"] for one in agent.read("/pods", all="true")["items"]]


def test_row_24_sql_in_a_label_is_a_label(manager: FaultAgent) -> None:
    """It comes back as it was, and the table is there."""
    made = pod("a", "10.1.1.1", "node-a", "x")
    made["metadata"]["labels"] = {"app": "'; DROP TABLE pods;--"}
    assert manager.push(inventory({"podList": [made]})).status_code == 201
    assert "'; DROP TABLE pods;--" in orjson.dumps(manager.read("/pods")["items"]).decode()


def test_row_25_sql_in_a_parameter_has_no_effect_and_wildcards_are_letters(manager: FaultAgent) -> None:
    """Neither orders, nor selects, nor fails."""
    made = ["100%", "a_b", "axb"]
    assert manager.push(inventory({"podList": [pod(name, "10.1.1.1", "n", "x") for name in made]})).status_code == 201
    assert sorted(one["name"] for one in manager.read("/pods", sort="name; select 1")["items"]) == sorted(made)
    for search, hits in (("%", ["100%"]), ("a_b", ["a_b"])):
        assert [one["name"] for one in manager.read("/pods", name=search)["items"]] == hits


def test_row_26_hostile_names_are_data_and_the_policy_stands(manager: FaultAgent) -> None:
    """JSON says that it is JSON, no answer may run a script; nothing of it is raw in the log."""
    made = [pod(f"p{n}", "10.1.1.1", "node-a", "x") for n in range(len(HOSTILE))]
    for one, text in zip(made, HOSTILE, strict=True):
        one["metadata"] |= {"name": text, "annotations": {"a": text}}
    assert manager.push(inventory({"podList": made})).status_code == 201
    assert sorted(names(manager)) == sorted(HOSTILE)
    assert manager.push(GOOD.replace(b"node-a", "\x1b[2J\u202e".encode()), "b-2").status_code == 400
    answer = manager.status("/pods")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    log = Path(manager.log).read_bytes()
    assert b"\x1b" not in log
    assert "\u202e".encode() not in log


@pytest.mark.parametrize("path", ["/map?window=%3Cscript%3E", "/pods/%3Cscript%3E/connections", "/%3Cscript%3E"])
def test_row_27_script_in_a_path_is_text(manager: FaultAgent, path: str) -> None:
    """An answer never repeats it as HTML."""
    answer = manager.status(path)
    assert answer.status_code in (200, 404)
    assert "<script" not in answer.text
    assert "html" not in answer.headers["content-type"]


@pytest.mark.parametrize("batch_id", ["../../etc/x", "x" * 1000, "", "a b", "a/b", ".\\x"])
def test_row_28_bad_batch_id_is_400(manager: FaultAgent, batch_id: str) -> None:
    """An id is a name and nothing else."""
    assert manager.push(NODE_A, batch_id).status_code == 400


def test_row_29_same_batch_twice_is_stored_once(manager: FaultAgent) -> None:
    """Both answers are 201."""
    answers = [manager.push(NODE_A) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert [one.json()["duplicate"] for one in answers] == [False, True]
    assert len(manager.read("/connections")["items"]) == len(NODE_A["connectionList"])


def test_row_30_same_batch_twenty_times_at_once_is_stored_once(manager: FaultAgent) -> None:
    """One is stored, nineteen are duplicates; nobody waits for ever and nothing fails."""
    with ThreadPoolExecutor(20) as threads:
        answers = [one.result() for one in [threads.submit(manager.push, NODE_A) for _ in range(20)]]
    assert [one.status_code for one in answers] == [201] * 20
    assert sum(one.json()["stored"] for one in answers) == 1
    assert len(manager.read("/connections")["items"]) == len(NODE_A["connectionList"])


def test_row_31_same_id_with_another_body_is_409(manager: FaultAgent) -> None:
    """The first one stays."""
    assert manager.push(NODE_A).status_code == 201
    assert manager.push(observed("node-b", [], [])).status_code == 409
    assert len(manager.read("/connections")["items"]) == len(NODE_A["connectionList"])


def test_row_32_parts_in_any_order_and_a_missing_one_deletes_nothing(manager: FaultAgent) -> None:
    """An inventory counts when it is whole; until then it is shown as incomplete."""
    assert manager.push(inventory(), "i-1").status_code == 201
    before = names(manager)
    second = inventory({"podList": [pod("new", "10.1.1.1", "n", "x")]}, id="inv-2", sequence=2, part=2, parts=2)
    assert manager.push(second | {"window": LATER}, "i-2").status_code == 201
    assert names(manager) == before
    assert manager.read("")["inventory"]["state"] == "incomplete"
    first = inventory({"podList": []}, id="inv-2", sequence=2, part=1, parts=2)
    assert manager.push(first | {"window": LATER}, "i-3").status_code == 201
    assert names(manager) == ["new"]
    assert manager.read("")["inventory"]["state"] == "complete"


def test_row_32_part_that_never_comes_lets_the_others_expire(store: Store) -> None:
    """After an hour the parts are gone; the time is an argument of the store."""
    agent = agent_of(store)
    hour_ns = 3600 * NS_PER_SECOND

    def part(number: int, identity: str, now_ns: int) -> None:
        window = Window(now_ns - NS_PER_SECOND, now_ns)
        made = InventoryPart(window, "", identity, 1, number, 2, {"Pod": True}, {}, {"Pod": []}, None)  # type: ignore[arg-type]
        store_batch(store, agent, f"{identity}-{number}", made, now_ns)

    part(2, "old", 2 * hour_ns)
    part(2, "new", 2 * hour_ns + hour_ns + NS_PER_SECOND)
    with store.reading() as connection:
        waiting = connection.exec_driver_sql("select inventory_id from inventory_parts").scalars().all()
    assert waiting == ["new"]


def test_row_33_old_inventory_after_a_newer_one_is_stale(manager: FaultAgent) -> None:
    """It is answered 201 and changes nothing."""
    assert manager.push(inventory(id="inv-2", sequence=2) | {"window": LATER}, "i-2").json()["stored"] is True
    before = names(manager)
    answer = manager.push(inventory(LISTS | {"podList": []}), "i-1")
    assert (answer.status_code, answer.json()["stale"]) == (201, True)
    assert names(manager) == before


def test_row_34_pod_that_is_none_is_left_out_alone_and_its_times_are_clamped(manager: FaultAgent) -> None:
    """The others of its part are stored; a pod of the future is as old as its arrival."""
    good, future = pod("good", "10.1.1.1", "n", "x"), pod("future", "10.1.1.2", "n", "y")
    future["metadata"]["creationTimestamp"] = "9999-12-31T23:59:59Z"
    without_uid, long_name = pod("no-uid", "10.1.1.3", "n", "x"), pod(secrets.token_hex(500_000), "10.1.1.4", "n", "x")
    del without_uid["metadata"]["uid"]
    rejected = 'podsonar_manager_objects_rejected_total{reason="no_identity"}'
    before = manager.metric(rejected)
    answer = manager.push(inventory({"podList": [without_uid, long_name, good, future]}))
    assert answer.status_code == 201
    assert sorted(names(manager)) == ["future", "good"]
    assert manager.metric(rejected) == before + 2
    soon = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + n)) for n in (240, 300)]
    window = dict(zip(("start", "end"), soon, strict=True))
    assert manager.push(observed("n", [], []) | {"window": window}, "b-2").status_code == 201
    assert {one["name"] for one in manager.read("/map")["services"]} == {"future", "good"}


def test_row_35_unknown_members_are_accepted_and_a_later_version_is_400(manager: FaultAgent) -> None:
    """What a reader does not know it skips; what it would misread it refuses."""
    assert manager.push(NODE_A | {"ofTheFuture": {"a": [1]}, "schemaVersion": 1}, "b-1").status_code == 201
    answer = manager.push(NODE_A | {"schemaVersion": 2}, "b-2")
    assert (answer.status_code, answer.json()["description"]) == (400, "/schemaVersion")
