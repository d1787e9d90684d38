"""Streams as fault pods write them: opened, appended to, closed, in every spelling; each line once and in order."""

import gzip
from typing import Any

import orjson
import pytest

from tests.chaos.conftest import Manager
from tests.manager.conftest import CLIENT

SEED = {
    "level": "info",
    "pos": 1,
    "out": "[Start]: pod-delete FAULT START",
    "time": "2025-05-01T17:27:56Z",
    "args": {"PodName": "pod-delete-wm3-d6moyr-vwkng", "PodNamespace": "v2"},
}


def line(pos: int, out: str = "", pod: str = "a", time: str = "2025-05-01T17:27:56Z", **more: Any) -> dict[str, Any]:
    """A log line."""
    return {"level": "info", "pos": pos, "out": out or f"line {pos}", "time": time, "args": {"PodName": pod}, **more}


@pytest.mark.parametrize("prefix", ["/log-service", "/gateway/log-service"])
@pytest.mark.parametrize("spelling", ["", "/", "/stream"])
def test_sample_line_comes_back_equal_in_each_spelling(manager: Manager, key: str, prefix: str, spelling: str) -> None:
    """Open, write, blob, close are 204 without a body; opening again deletes nothing."""
    for method, path, content in (
        ("POST", spelling, b""),
        ("PUT", "/stream", [SEED]),
        ("POST", spelling, b""),
        ("POST", "/blob", orjson.dumps(SEED)),
        ("DELETE", spelling, b""),
    ):
        answer = manager.log(method, path, key, content, prefix=prefix)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
    assert manager.lines(key) == [SEED]
    info = manager.info(key)
    assert (info["isOpen"], info["lines"], info["notKept"], info["gaps"]) == (False, 1, 0, [])


def test_lines_sent_again_are_there_once(manager: Manager, key: str) -> None:
    """The same request, an overlapping one and one in other pieces add nothing but what is new."""
    for first, last in ((1, 5), (1, 5), (4, 8), (1, 10), (2, 3)):
        assert manager.log("PUT", "/stream", key, [line(n) for n in range(first, last + 1)]).status_code == 204
    assert [one["pos"] for one in manager.lines(key)] == list(range(1, 11))
    assert manager.info(key)["duplicates"] == 5 + 2 + 8 + 2


def test_lines_out_of_order_are_read_in_order(manager: Manager, key: str) -> None:
    """Requests that overtake each other are put in order by position."""
    for first in (31, 1, 21, 11):
        manager.log("PUT", "/stream", key, [line(n) for n in range(first, first + 10)])
    assert [one["pos"] for one in manager.lines(key)] == list(range(1, 41))
    assert manager.info(key)["gaps"] == []


def test_missing_positions_are_named(manager: Manager, key: str) -> None:
    """A gap is in `info` with its writer, and is gone when the lines come."""
    for n in (1, 2, 5, 9):
        manager.log("PUT", "/stream", key, [line(n)])
    gaps = [(gap["first"], gap["last"]) for gap in manager.info(key)["gaps"]]
    assert gaps == [(3, 4), (6, 8)]
    manager.log("PUT", "/stream", key, [line(n) for n in range(3, 9)])
    assert manager.info(key)["gaps"] == []
    assert [one["pos"] for one in manager.lines(key)] == list(range(1, 10))


def test_another_line_of_a_taken_position_is_kept_and_marked(manager: Manager, key: str) -> None:
    """Nothing is dropped without a word: both lines are there, the second with a mark."""
    manager.log("PUT", "/stream", key, [line(1), line(2)])
    manager.log("PUT", "/stream", key, [line(2, "something else"), line(2, "something else"), line(3)])
    found = manager.lines(key)
    assert [one["out"] for one in found] == ["line 1", "line 2", "something else", "line 3"]
    assert [one.get("podsonar") for one in found] == [None, None, "another line of this position", None]
    assert manager.info(key)["conflicts"] == 1


def test_lines_without_a_position_are_kept_as_they_come(manager: Manager, key: str) -> None:
    """A Linux agent of the document sends `pos: 0` for all lines: equal ones are different lines."""
    sent = [line(0, f"step {n % 2}") for n in range(4)]
    for _ in range(2):
        manager.log("PUT", "/stream", key, sent)
    assert manager.lines(key) == sent * 2


def test_lines_of_a_client_that_counts_from_0_are_there_once(manager: Manager, key: str) -> None:
    """A first request that comes again is recognised by its positions, or by times with fractions of a second."""
    exact = "2025-05-01T17:27:56.123456789Z"
    first = [line(0, time=exact)]
    rest = [line(n, time=exact) for n in range(1, 4)]
    for sent in (first, first, rest, rest):
        assert manager.log("PUT", "/stream", key, sent).status_code == 204
    assert manager.lines(key) == first + rest
    both = [line(n) for n in range(3)]
    for _ in range(2):
        manager.log("PUT", "/stream", key + "-2", both)
    assert manager.lines(key + "-2") == both


def test_request_with_a_known_id_changes_nothing(manager: Manager, key: str) -> None:
    """`Idempotency-Key` makes a retry safe for lines without positions."""
    for _ in range(3):
        manager.log("PUT", "/stream", key, [line(0)], headers={"Idempotency-Key": "one"})
    assert manager.lines(key) == [line(0)]


def test_lines_of_several_writers_are_read_by_time(manager: Manager, key: str) -> None:
    """Positions order the lines of one pod; times order the pods."""
    times = [f"2025-05-01T17:27:{second:02}Z" for second in range(6)]
    manager.log("PUT", "/stream", key, [line(n + 1, pod="a", time=times[2 * n]) for n in range(3)])
    manager.log("PUT", "/stream", key, [line(n + 1, pod="b", time=times[2 * n + 1]) for n in range(3)])
    assert [one["time"] for one in manager.lines(key)] == times
    assert manager.info(key)["gaps"] == []


def test_blob_adds_what_was_not_streamed(manager: Manager, key: str) -> None:
    """A blob of all lines beside streamed ones shows each once; `raw=true` returns the bytes."""
    lines = [line(n) for n in range(1, 7)]
    manager.log("PUT", "/stream", key, lines[:3])
    body = b"\n".join(map(orjson.dumps, lines))
    assert manager.log("POST", "/blob", key, body).status_code == 204
    assert manager.lines(key) == lines
    assert manager.log("GET", "/blob", key, query={"raw": "true"}).content == body
    assert manager.log("POST", "/blob", key + "-raw", b"\x00\xff no JSON\n").status_code == 204
    assert manager.lines(key + "-raw")[0]["out"] == "\x00\\xff no JSON"
    assert manager.log("GET", "/blob", key + "-raw", query={"raw": "true"}).content == b"\x00\xff no JSON\n"


def test_blob_goes_by_a_link_without_another_credential(manager: Manager, key: str) -> None:
    """The link takes one key's blob and nothing else."""
    made = manager.log("POST", "/blob/link/upload", key)
    assert made.status_code == 200
    assert set(made.json()) == {"link", "expires"}
    link = made.json()["link"]
    assert link.startswith(manager.url)
    assert CLIENT.put(link, content=orjson.dumps(line(1))).status_code == 204
    assert manager.lines(key) == [line(1)]
    token = link.partition("X-Harness-Token=")[2]
    assert manager.log("PUT", "/stream", key, [line(2)], token=token, elsewhere=True).status_code == 401
    assert manager.log("POST", "/blob", key + "-other", b"x", token=token).status_code == 403


def test_gzipped_body_is_taken(manager: Manager, key: str) -> None:
    """`Content-Encoding: gzip` is accepted, as on every route."""
    body = gzip.compress(orjson.dumps([line(1)]))
    assert manager.log("PUT", "/stream", key, body, headers={"Content-Encoding": "gzip"}).status_code == 204
    assert manager.lines(key) == [line(1)]


def test_stream_that_was_not_open_is_opened_and_counted(manager: Manager, key: str) -> None:
    """Lines for a stream that nobody opened, or that is closed, are kept."""
    manager.log("PUT", "/stream", key, [line(1)])
    manager.log("DELETE", "", key)
    manager.log("PUT", "/stream", key, [line(2)])
    info = manager.info(key)
    assert (info["lines"], info["implicitOpens"], info["isOpen"]) == (2, 2, True)
    assert manager.log("DELETE", "", key + "-never").status_code == 204
    assert manager.log("GET", "/blob/exists", key + "-never").status_code == 404
    assert manager.log("GET", "/blob/exists", key).status_code == 200


def test_long_line_is_cut_and_reports_it(manager: Manager, key: str) -> None:
    """70 KiB of a line are kept; how much was left out is in the line."""
    for place, out in enumerate(("x" * 200_000, '"' * 200_000, "ä" * 200_000)):
        name = f"{key}-{place}"
        for _ in range(2):
            manager.log("PUT", "/stream", name, [line(1, out)])
        (found,) = manager.lines(name)
        assert 30_000 < len(orjson.dumps(found)) <= 70 << 10
        assert found["out"].endswith(" bytes left out")
        assert found["out"][:1000] == out[:1000]
        assert found["args"] == {"PodName": "a"}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{}", 400, "no JSON array"),
        (b"[", 400, "not JSON"),
        (b"[1]", 400, "line 0: is no JSON object"),
        (b'[{"pos":1},{"pos":-1}]', 400, "line 1: pos"),
        (b'[{"pos":1.5}]', 400, "pos"),
        (b'[{"pos":true}]', 400, "pos"),
        (b'[{"pos":9007199254740992}]', 400, "pos"),
        (b'[{"out":1}]', 400, "out is no text"),
        (b'[{"time":"yesterday"}]', 400, "RFC 3339"),
        (b'[{"args":{"a":1}}]', 400, "args"),
        (b"[" + b",".join([b"{}"] * 2001) + b"]", 413, "no more than 2000"),
        (b'"\xff"', 400, "not JSON"),
    ],
)
def test_what_is_no_log_line_is_refused_with_its_place(
    manager: Manager, key: str, body: bytes, status: int, message: str
) -> None:
    """Nothing of a refused request is stored."""
    answer = manager.log("PUT", "/stream", key, body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error_msg"}
    assert message in answer.json()["error_msg"]
    assert manager.log("GET", "/blob/exists", key).status_code == 404


@pytest.mark.parametrize("wrong", ["", "a..b", "a\nb", "k" * 513])
def test_bad_key_is_refused(manager: Manager, wrong: str) -> None:
    """1 to 512 printable characters without `..`."""
    assert manager.log("POST", "", wrong).status_code == 400
    assert manager.log("POST", "", "key", account="").status_code == 400
