"""node_agent/attribution/directory_client.py against a real HTTP server that answers by a script."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from directory.interval import FINAL_AFTER_NS, SECOND
from node_agent.attribution.directory_client import DirectoryClient
from podsonar.directory_answer import Query
from podsonar.errors import DirectoryUnavailableError, NotFinalYetError, SettingsError
from tests.answering_server import GivenAnswer, ReceivedRequest, answering


@contextmanager
def served(status: int, body: bytes | None) -> Iterator[tuple[str, list[int]]]:
    """A server's address and the number of queries of each request; without `body` each query is `External`."""
    sizes: list[int] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        queries = orjson.loads(posted.body)["queries"]
        sizes.append(len(queries))
        answers = [{"kind": "External", "name": query["address"]} for query in queries]
        return GivenAnswer(status, orjson.dumps({"answers": answers}) if body is None else body)

    with answering(answer) as url:
        yield url, sizes


def asked(url: str, count: int) -> list[str | None]:
    """The names in the answers to `count` questions."""
    client = DirectoryClient(url, lambda: "t" * 20, None)
    try:
        return [answer.name for answer in client.ask([Query(f"host-{n}", 80) for n in range(count)])]
    finally:
        client.client.close()


def test_many_questions_are_asked_in_parts_and_answered_in_order() -> None:
    """At most 5,000 questions a request."""
    with served(200, None) as (url, sizes):
        assert asked(url, 5003) == [f"host-{n}" for n in range(5003)]
    assert sizes == [5000, 3]


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, b""), (401, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b'{"answers":[]}'), (200, b'{"answers":[7]}')],
)
def test_anything_but_answers_means_ask_again_later(status: int, body: bytes) -> None:
    """Whatever goes wrong there, the window waits; the text holds no token."""
    with served(status, body) as (url, _sizes), pytest.raises(DirectoryUnavailableError) as caught:
        asked(url, 1)
    assert "ttt" not in str(caught.value)


@pytest.mark.parametrize("cookie", ["\xe4=\xf6", "a=b; Domain=.", "a=\xff; Path=/", "session=1"])
def test_cookie_of_whoever_answers_is_not_kept(cookie: str) -> None:
    """One that no header can hold would end every later request; the window would be set aside for it."""
    sent: list[str | None] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        sent.append(posted.headers.get("Cookie"))
        return GivenAnswer(200, orjson.dumps({"answers": [{"kind": "External"}]}), {"Set-Cookie": cookie})

    with answering(answer) as url:
        client = DirectoryClient(url, lambda: "t" * 20, None)
        for _ in range(3):
            assert client.ask([Query("10.0.0.1", 80)])[0].kind == "External"
        client.client.close()
    assert sent == [None] * 3


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[bad", "nothing"])
def test_an_address_where_nobody_answers_means_ask_again_later(url: str) -> None:
    """So does an address that is none."""
    with pytest.raises(DirectoryUnavailableError):
        asked(url, 1)


def test_an_authority_file_that_is_absent_names_the_setting() -> None:
    """It is reported at start, before any window."""
    with pytest.raises(SettingsError, match=r"directory\.caFile"):
        DirectoryClient("https://127.0.0.1:1", lambda: "", "/nowhere.pem")


def test_window_that_is_not_final_yet_is_not_resolved() -> None:
    """The directory could not answer: nobody is asked, and the window waits."""
    with served(200, None) as (url, sizes):
        client = DirectoryClient(url, lambda: "t" * 20, None)
        with pytest.raises(NotFinalYetError, match=r"asked at 20.*, not before"):
            client.ask([Query("10.0.0.1", 80, 0, time.time_ns())])
        assert sizes == []
        assert len(client.ask([Query("10.0.0.1", 80, 0, 1)])) == 1
        client.client.close()


@pytest.mark.parametrize(("window_seconds", "spread_seconds"), [(0, 0), (120, 12), (7200, 60)])
def test_agents_ask_within_a_tenth_of_the_window_and_at_most_a_minute(window_seconds: int, spread_seconds: int) -> None:
    """Each has its own share of the spread, so that the agents of a cluster do not come in one moment."""
    client = DirectoryClient("http://127.0.0.1:1", lambda: "", None)
    end_ns = window_seconds * SECOND
    asked = [Query("10.0.0.1", 80, end_ns, end_ns), Query("10.0.0.2", 80, 0, end_ns), Query(pod_uid="u")]
    dues = []
    for client.share in (0.0, 0.5, 1.0):
        dues.append(client.due_ns(asked) - end_ns - FINAL_AFTER_NS)
    client.client.close()
    assert dues == [0, spread_seconds * SECOND // 2, spread_seconds * SECOND]
