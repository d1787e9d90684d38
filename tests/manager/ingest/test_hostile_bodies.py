"""manager/ingest/handler.py against bodies, names, times and reads that are wrong or hostile (faults by row)."""

import gzip
import time
from typing import Any

import orjson
import pytest

from tests.manager.conftest import CLIENT, Running
from tests.manager.fresh_database import fresh_id
from tests.manager.shop import NODE_A, connection, inventory, observed, pod

GOOD = orjson.dumps(NODE_A)
PLAIN = {"Content-Encoding": "identity"}
DAY_NS = 24 * 3600 * 10**9


def with_attempts(text: bytes) -> bytes:
    """A body whose first count is that text."""
    return GOOD.replace(b'"attempts":23', b'"attempts":' + text, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(GOOD), 400),  # said to be plain
        *[
            (with_attempts(text), 400)
            for text in (b"NaN", b"Infinity", b"1e400", b"18446744073709551616", b'"1"', b"1.5")
        ],
        (with_attempts(b"-0"), 201),
        (GOOD[:-1] + b',"nodeName":"the-last-wins"}', 201),
        (b"\xef\xbb\xbf" + GOOD, 400),
        (GOOD.decode().encode("utf-16"), 400),
        (GOOD.replace(b"node-a", b"no\xffde"), 400),
        (GOOD.replace(b"node-a", b"no\\ud800de"), 400),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b"{" + b",".join(b'"%d":1' % n for n in range(500_000)) + b"}", 400),
        *[(body, 400) for body in (b"", b"null", b"[]", b"{}", b'"x"', b"1")],
        (orjson.dumps(observed("node-a", [], [])), 201),
        (orjson.dumps(NODE_A | {"ofTheFuture": {"a": [1]}}), 201),
    ],
)
def test_json_that_is_not_ours_is_400(standing: Running, body: bytes, status: int) -> None:
    """Rows 16, 18 to 21, 23, 35: no number, text, encoding or shape gets a 500; unknown fields pass."""
    assert standing.push(body, fresh_id(), **PLAIN).status_code == status


def test_second_member_that_is_a_bomb_is_413(standing: Running) -> None:
    """Row 15: the budget is that of all members together."""
    assert standing.push(gzip.compress(GOOD) + gzip.compress(b" " * (33 << 20)), fresh_id()).status_code == 413


@pytest.mark.parametrize("batch_id", ["../../etc/x", "x" * 1000, "", "a b", "a/b"])
def test_bad_batch_id_is_400(standing: Running, batch_id: str) -> None:
    """Row 28."""
    assert standing.push(NODE_A, batch_id).status_code == 400


def test_same_id_with_another_body_is_409_and_the_first_stays(running: Running) -> None:
    """Row 31: packed otherwise it is the same body; another one is refused, and counted as rejected."""
    assert running.push(NODE_A).json()["stored"] is True
    assert running.push(GOOD, **PLAIN).json()["duplicate"] is True
    answer = running.push(observed("node-b", [], []))
    assert (answer.status_code, answer.json()["message"]) == (409, "a batch of this id is stored, with another body")
    assert len(running.get("/agents/lab/connections")["items"]) == len(NODE_A["connectionList"])
    assert 'podsonar_manager_ingest_batches_total{result="rejected"} 1.0' in CLIENT.get(f"{running.url}/metrics").text


def test_hostile_names_are_kept_as_they_came(running: Running) -> None:
    """Rows 24, 25: SQL in a name is a name; wildcards in a search are letters."""
    names = ["'; DROP TABLE objects;--", "100%", "a_b", "axb", "<img src=x onerror=alert(1)>", "\u202egnp.exe"]
    pods = [pod(name, "10.1.1.1", "node-a", "x") for name in names]
    assert running.push(inventory({"podList": pods})).status_code == 201
    found = running.get("/agents/lab/pods", all="true", sort="name; select 1")["items"]
    assert sorted(one["name"] for one in found) == sorted(names)
    for search, hits in (("%", ["100%"]), ("a_b", ["a_b"]), ("DROP", names[:1])):
        assert [one["name"] for one in running.get("/agents/lab/pods", name=search)["items"]] == hits


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "x"},
        {"name": "x", "uid": ""},
        {"name": "x" * 1_000_000, "uid": "u"},
        {"name": "x", "uid": "u" * 129},
        {"name": "x", "uid": "u", "namespace": 5},
        {"name": "x", "uid": "u", "namespace": "n" * 64},
    ],
)
def test_object_without_a_proper_name_is_rejected_alone(running: Running, metadata: dict[str, Any]) -> None:
    """Row 34: lengths are those that the API server allows; the object beside it is stored, and the other counted."""
    good = pod("good", "10.1.1.1", "node-a", "x")
    assert running.push(inventory({"podList": [{"metadata": metadata}, good]})).status_code == 201
    assert [one["name"] for one in running.get("/agents/lab/pods")["items"]] == ["good"]
    scraped = CLIENT.get(f"{running.url}/metrics").text
    assert 'podsonar_manager_objects_rejected_total{reason="no_identity"} 1.0' in scraped


def test_object_of_the_future_is_as_old_as_its_arrival(running: Running) -> None:
    """Row 34: a creation time that has not come yet hides no pod from the windows after it was reported."""
    made = pod("a", "10.1.1.1", "node-a", "x")
    made["metadata"]["creationTimestamp"] = "9999-12-31T23:59:59Z"
    assert running.push(inventory({"podList": [made]})).status_code == 201
    later_ns = time.time_ns() + 5 * 60 * 10**9
    window = {part: rfc(later_ns + n * 60 * 10**9) for n, part in enumerate(("start", "end"))}
    assert running.push(observed("node-a", [], []) | {"window": window}, "b-2").status_code == 201
    assert [one["id"] for one in running.get("/agents/lab/map")["services"]] == ["pod/shop/a"]


def rfc(time_ns: int) -> str:
    """A time as agents write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // 10**9))


def test_window_of_the_future_does_not_stay_the_newest(running: Running) -> None:
    """A node whose clock is a day ahead neither hides later windows nor makes later inventories stale."""
    now_ns = time.time_ns()
    ahead = {"start": rfc(now_ns + DAY_NS), "end": rfc(now_ns + DAY_NS + 120 * 10**9)}
    assert running.push(inventory() | {"window": ahead}, "b-1").json()["stored"] is True
    assert running.push(NODE_A | {"window": ahead}, "b-2").status_code == 201
    (shown,) = running.get("/agents/lab/map")["windows"]
    assert rfc(now_ns - 240 * 10**9) <= shown <= rfc(time.time_ns())
    right = {"start": rfc(now_ns + 180 * 10**9), "end": rfc(now_ns + 300 * 10**9)}
    answer = running.push(inventory(id="inv-2", sequence=2) | {"window": right}, "b-3")
    assert answer.json()["stale"] is False
    assert running.push(NODE_A | {"window": right}, "b-4").status_code == 201
    assert running.get("/agents/lab/map")["window"]["id"] == right["start"]
    assert 'podsonar_manager_skewed_total{direction="future"} 2.0' in CLIENT.get(f"{running.url}/metrics").text


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:00Z", "2300-01-01T00:00:00Z"])
def test_window_of_no_clock_is_400(standing: Running, start: str) -> None:
    """A time that no node's clock shows is a broken body, on both databases alike."""
    answer = standing.push(NODE_A | {"window": {"start": start, "end": start[:14] + "59:30Z"}}, fresh_id())
    assert (answer.status_code, answer.json()["description"]) == (400, "/window")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/agents/lab/pods?limit=%C2%B2", 400),
        ("/agents/lab/pods?page=99999999999999999999", 400),
        ("/agents/lab/pods?name=%00", 400),
        ("/agents/%00/pods", 400),
        ("/agents/lab/map?window=%3Cscript%3E", 404),
        ("/agents/%3Cscript%3E/map", 404),
        ("/agents/lab/map?namespace=%3Cscript%3E", 200),
    ],
)
def test_hostile_read_is_an_answer_and_no_error(standing: Running, path: str, status: int) -> None:
    """Row 27, and what neither database takes: never a 500."""
    answer = CLIENT.get(f"{standing.url}/api/v1{path}", headers={"X-API-Key": standing.key})
    assert answer.status_code == status
    assert "<script" not in answer.text
    assert answer.headers["content-type"] == "application/json"


def test_count_beyond_what_a_database_holds_is_400(standing: Running) -> None:
    """2^63 in a count fits neither database's integer."""
    one = connection("a", "10.1.1.1", "10.1.1.2", 80, n=1) | {"attempts": 2**63}
    assert standing.push(observed("node-a", [one], []), fresh_id()).status_code == 400
