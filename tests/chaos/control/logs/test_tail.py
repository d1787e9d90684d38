"""Tails: everything so far, then what comes; resumed without a gap or a double."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from chaos.control.logs.tail import follow
from chaos.control.logs.tails import HANDED_BYTES, Follower, Tails
from manager.store.database import Store
from manager.store.logs.streams import append_lines, open_stream
from tests.chaos.conftest import ACCOUNT, Manager, log_token
from tests.manager.fresh_database import migrated

Event = tuple[str, str]


def line(pos: int) -> dict[str, Any]:
    """A log line."""
    return {"level": "info", "pos": pos, "out": f"line {pos}", "time": "2025-05-01T17:27:56Z"}


@contextmanager
def tail(manager: Manager, key: str, after: str = "") -> Iterator[Iterator[Event]]:
    """The events of a tail: the id and the data."""
    headers = {"X-Harness-Token": manager.token} | ({"Last-Event-ID": after} if after else {})
    url, query = f"{manager.url}/log-service/stream", {"accountID": ACCOUNT, "key": key}
    with (
        httpx.Client(timeout=30, trust_env=False) as client,
        client.stream("GET", url, params=query, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield events(answer.iter_lines())


def events(lines: Iterator[str]) -> Iterator[Event]:
    """`id, data` of each event, comments left out."""
    fields: dict[str, str] = {}
    for row in lines:
        if row and not row.startswith(":"):
            name, _, value = row.partition(": ")
            fields[name] = value
        elif not row and fields:
            yield fields.get("id", ""), fields["data"]
            fields = {}


def test_tail_shows_all_then_what_comes_and_ends_when_closed(manager: Manager, key: str) -> None:
    """A line that is appended while the tail is open arrives; the end is `eof`."""
    manager.log("PUT", "/stream", key, [line(1), line(2)])
    with tail(manager, key) as found:
        assert [next(found), next(found)] == [(str(n), orjson.dumps(line(n)).decode()) for n in (1, 2)]
        manager.log("PUT", "/stream", key, [line(3)])
        assert next(found) == ("3", orjson.dumps(line(3)).decode())
        manager.log("DELETE", "", key)
        assert list(found) == [("", "eof")]


def test_tail_that_was_cut_goes_on_without_gap_or_double(manager: Manager, key: str) -> None:
    """A writer writes all the time; a reader is cut off after every few lines and resumes by the last id."""
    total = 400
    manager.log("POST", "", key)

    def write() -> None:
        for first in range(1, total, 4):
            manager.log("PUT", "/stream", key, [line(n) for n in range(first, first + 4)])
        manager.log("DELETE", "", key)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    last, ended = "", False
    while not ended:
        with tail(manager, key, last) as found:
            for place, (number, data) in enumerate(found):
                ended = data == "eof"
                if ended:
                    break
                last = number
                seen.append(orjson.loads(data)["pos"])
                if place == 36:
                    break
    writer.join()
    assert seen == list(range(1, total + 1))


def test_tail_of_no_stream_is_404_and_a_bad_id_400(manager: Manager, key: str) -> None:
    """A refusal is an answer with a status, not an event."""
    assert manager.log("GET", "/stream", key).status_code == 404
    manager.log("POST", "", key)
    assert manager.log("GET", "/stream", key, headers={"Last-Event-ID": "x"}).status_code == 400


def test_lines_stored_by_another_process_arrive(manager: Manager, key: str) -> None:
    """What was committed without notifying this manager is found by asking."""
    manager.log("POST", "", key)
    with tail(manager, key) as found:
        time.sleep(0.2)
        with closing(Store(manager.database)) as store, store.writing() as connection:
            append_lines(connection, ACCOUNT, key, "manager", [line(7)], time.time_ns())
        assert next(found) == ("1", orjson.dumps(line(7)).decode())


def test_tail_of_many_writers_has_each_line_once_by_its_number(manager: Manager, key: str) -> None:
    """Requests that are committed side by side reach a tail by their lines' numbers, whichever is answered first."""
    writers, requests = 4, 25
    tokens = [log_token(manager.database) for _ in range(writers)]
    manager.log("POST", "", key)

    def write(token: str) -> None:
        for pos in range(1, requests + 1):
            sent = [line(2 * pos), line(2 * pos + 1)]
            assert manager.log("PUT", "/stream", key, sent, token=token).status_code == 204

    with tail(manager, key) as found:
        threads = [threading.Thread(target=write, args=[token]) for token in tokens]
        for thread in threads:
            thread.start()
        seen = [next(found) for _ in range(writers * requests * 2)]
        for thread in threads:
            thread.join()
        manager.log("DELETE", "", key)
        assert list(found) == [("", "eof")]
    assert [int(number) for number, _data in seen] == list(range(1, len(seen) + 1))
    assert Counter(orjson.loads(data)["pos"] for _number, data in seen) == Counter(list(range(2, 52)) * writers)


def test_committed_lines_reach_a_tail_without_the_database(tmp_path: Path) -> None:
    """What is handed over is sent although the stream, as it is stored, has no line."""
    database = f"sqlite:///{tmp_path}/manager.db"
    migrated(database)
    name = (ACCOUNT, "key")

    async def follow_one(store: Store) -> list[bytes]:
        tails = Tails()
        events = follow(store, tails, name, 0, "reader", 20)
        found = [await anext(events), await anext(events)]
        tails.hand_over(name, 1, [b'{"out":"a"}', b'{"out":"b"}'])
        found.append(await anext(events))
        await events.aclose()
        return found

    with closing(Store(database)) as store:
        with store.writing() as connection:
            open_stream(connection, *name, 1)
        found = asyncio.run(follow_one(store))
    assert found == [b"", b": ping\n\n", b'id: 1\ndata: {"out":"a"}\n\nid: 2\ndata: {"out":"b"}\n\n']


A, B, C = [b"a1", b"a2"], [b"b3"], [b"c4", b"c5"]


@pytest.mark.parametrize(
    ("handed", "after", "taken", "must_read"),
    [
        ([(1, A), (3, B), (4, C)], 0, [A, B, C], False),
        ([(1, A), (3, B)], 1, [[b"a2"], B], False),
        ([(1, A), (3, B), (4, C)], 3, [C], False),
        ([(3, B), (1, A), (4, C)], 0, [], True),  # overtaken: the database has both
        ([(1, A), (4, C)], 0, [A], True),
        ([(1, [b"x" * (HANDED_BYTES + 1)])], 0, [], True),
        ([], 0, [], False),
    ],
)
def test_follower_takes_what_comes_next_and_leaves_the_rest_to_the_database(
    handed: list[tuple[int, list[bytes]]], after: int, taken: list[list[bytes]], must_read: bool
) -> None:
    """What was sent already is left out; with a gap, or too much at once, the database is asked."""
    follower = Follower()
    follower.must_read = False
    for first, lines in handed:
        follower.hand_over(first, lines)
    found: list[list[bytes]] = []
    while lines := list(follower.take(after)):
        found.append(lines)
        after += len(lines)
    assert (found, follower.must_read, follower.size) == (taken, must_read, 0)
