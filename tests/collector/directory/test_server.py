"""`POST /v1/resolve`: who is answered, when, and with what sentence the others are turned away."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from collector import request_guard
from collector.directory import server
from collector.directory.live_directory import LiveDirectory
from collector.directory.resolve_request import MAX_BODY_BYTES, MAX_QUERIES
from collector.directory.server import application
from collector.k8s.kinds import WATCHED
from directory.interval import FINAL_AFTER_NS
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.collector.scripted_api import ScriptedApi

RIGHT = {"Authorization": "Token right"}
GOOD = {"address": "10.96.0.1", "port": 80, "from": "2026-11-24T10:15:00Z", "to": "2026-11-24T10:15:00.5Z"}


def live_directory(*, synced: bool = True) -> LiveDirectory:
    """A directory with one service; where synced, everything is known up to now."""
    live = LiveDirectory(ScriptedApi(), Directory(Selection.of(CollectorSettings())), None, 60.0)
    if synced:
        for kind in WATCHED:
            live.reflectors[kind.name].list_all()
    service = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    }
    live.directory.apply("Service", service, 1_700_000_000 * NS_PER_SECOND)
    return live


def post(
    live: LiveDirectory, content: bytes | AsyncIterator[bytes], headers: dict[str, str] | None = None
) -> httpx.Response:
    """One request to the directory."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(application(live, lambda: "right", 0.5))
        async with httpx.AsyncClient(transport=transport, base_url="http://directory") as client:
            return await client.post("/v1/resolve", headers=RIGHT if headers is None else headers, content=content)

    return asyncio.run(ask())


def ask(live: LiveDirectory, *queries: Any, **more: Any) -> httpx.Response:
    """A request with these questions."""
    return post(live, orjson.dumps({"queries": list(queries), **more}))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Token wrong"},
        {"Authorization": "Bearer right"},
        {"Authorization": "right"},
        {"Authorization": "Token right right"},
    ],
)
def test_question_without_the_token_is_refused_by_scheme(headers: dict[str, str]) -> None:
    """401 names the scheme that the client must use, and is the same whatever is wrong."""
    answer = post(live_directory(), b'{"queries": []}', headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Token")
    assert answer.json() == {"error": "expected Authorization: Token <agent token>"}


def test_question_with_the_token_before_the_first_list_must_wait() -> None:
    """A directory that has not listed everything answers 503 with Retry-After, and asks for no token."""
    answer = ask(live_directory(synced=False), GOOD)
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (503, False)
    assert 2 <= int(answer.headers["Retry-After"]) <= 10


def test_question_about_the_past_is_answered_with_the_time_of_knowledge() -> None:
    """One answer a question, in their order, as of the moment until which everything is known."""
    live = live_directory()
    answer = ask(live, GOOD, {"podUid": "nobody"})
    assert answer.status_code == 200
    assert [(one["kind"], one["name"], one["reason"]) for one in answer.json()["answers"]] == [
        ("Service", "web", None),
        ("Unknown", None, "pod_unknown"),
    ]
    assert answer.json()["asOf"] == rfc3339(live.as_of_ns)
    assert live.metrics.unsure.labels("Unknown", "pod_unknown")._value.get() == 1


def test_explanation_is_returned_on_request() -> None:
    """Every owner that the address has had, with the times of its interval."""
    answer = ask(live_directory(), GOOD, explain=True).json()["answers"][0]
    assert [(owner["kind"], owner["name"], owner["sureTo"]) for owner in answer["owners"]] == [("Service", "web", None)]
    assert "owners" not in ask(live_directory(), GOOD).json()["answers"][0]


def test_question_about_a_time_whose_news_may_be_on_their_way_is_turned_away_for_now() -> None:
    """Nothing is answered about a moment before everything of that moment is known."""
    near = {**GOOD, "to": rfc3339(time.time_ns())}
    answer = ask(live_directory(), near)
    assert (answer.status_code, answer.json()["error"]) == (
        503,
        "the asked times are too near: changes of then may still be on their way",
    )


@pytest.mark.parametrize("news", [True, False])
def test_question_waits_for_news_from_the_api_server_and_asks_for_them(news: bool) -> None:
    """It is answered once the watches have reported that much, and with 503 if they do not."""
    live = live_directory()
    at_ns = time.time_ns() - FINAL_AFTER_NS
    for name in live.through_ns:
        live.through_ns[name] = at_ns
    progress_requested = threading.Event()

    def request_progress(_wanted_ns: int) -> None:
        progress_requested.set()
        if news:
            for name in live.through_ns:
                live.through_ns[name] = time.time_ns()

    live.request_progress = request_progress  # type: ignore[method-assign]
    answer = ask(live, {**GOOD, "to": rfc3339(at_ns + 1000)})
    assert progress_requested.is_set()
    assert answer.status_code == (200 if news else 503)


def test_more_waiting_requests_than_fit_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one that waits holds its questions in memory: they are bounded."""
    monkeypatch.setattr(server, "MOST_WAITING", 0)
    live = live_directory()
    for name in live.through_ns:
        live.through_ns[name] = time.time_ns() - FINAL_AFTER_NS
    assert ask(live, {**GOOD, "to": rfc3339(time.time_ns() - FINAL_AFTER_NS + 1000)}).status_code == 503


def test_more_requests_than_can_be_answered_in_time_are_turned_away_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DaemonSet asks at once: a late answer finds the client gone, so the rest get 503 early."""
    monkeypatch.setattr(server, "MOST_OPEN", 0)
    live = live_directory()
    answer = ask(live, GOOD)
    assert (answer.status_code, answer.json()["error"]) == (503, "more than 0 requests at once")
    assert live.metrics.requests.labels("503")._value.get() == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the body is not JSON"),
        (b"null", "expected an object with a list `queries`"),
        (b"[]", "expected an object with a list `queries`"),
        (b'{"queries": {}}', "expected an object with a list `queries`"),
        (b'{"queries": [' + b"0," * MAX_QUERIES + b"0]}", f"`queries` has {MAX_QUERIES + 1} elements"),
        (b'{"queries": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is not JSON"),
        (b'{"queries": [], "explain": 1}', "`explain` is neither true nor false"),
        (b'{"queries": [null]}', "queries[0]: expected an object with podUid"),
        (b'{"queries": [{}]}', "queries[0]: address is not a text"),
        (b'{"queries": [{"podUid": ""}]}', "queries[0]: podUid is not a text of 1 to 253"),
        (b'{"queries": [{"podUid": 7}]}', "queries[0]: podUid is not a text of 1 to 253"),
        (b'\xff{"queries": []}', "the body is not JSON"),
        (b'{"queries": [], "x": NaN}', "the body is not JSON"),
    ],
)
def test_body_that_is_no_request_is_answered_with_a_sentence(content: bytes, said: str) -> None:
    """400 and what was expected; never a traceback, never the body."""
    answer = post(live_directory(), content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "10.0.0.256"}, "address '10.0.0.256' is neither IPv4 nor IPv6"),
        ({"address": "x" * 5000}, f"address {'x' * 60!r} is neither IPv4 nor IPv6"),
        ({"address": ["10.0.0.1"]}, "address is not a text"),
        ({"port": "80"}, "port is not a whole number of 0 to 65535, or null"),
        ({"port": True}, "port is not a whole number of 0 to 65535, or null"),
        ({"port": 65536}, "port is not a whole number of 0 to 65535, or null"),
        ({"port": -1}, "port is not a whole number of 0 to 65535, or null"),
        ({"from": None}, "from and to are not both RFC 3339 times"),
        ({"from": "yesterday"}, "time 'yesterday' is not RFC 3339"),
        ({"from": "2026-02-30T00:00:00Z"}, "time '2026-02-30T00:00:00Z' is not RFC 3339"),
        ({"from": "2026-11-24T10:15:01Z"}, "from 2026-11-24T10:15:01Z is after to"),
    ],
)
def test_question_that_makes_no_sense_is_named_by_its_place(change: dict[str, Any], said: str) -> None:
    """The other questions of the request are not answered either: the asker has a fault."""
    answer = ask(live_directory(), GOOD, {**GOOD, **change})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"queries[1]: {said}")


@pytest.mark.parametrize("declared", [True, False])
def test_body_that_is_too_long_is_refused_before_it_is_in_memory(declared: bool) -> None:
    """By its declared length unread, else at the limit."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 20):
            yield b" " * 65536

    headers = {**RIGHT, "Content-Length": str(MAX_BODY_BYTES + 1)} if declared else RIGHT
    answer = post(live_directory(), chunks(), headers)
    assert answer.status_code == 413


def test_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow sender holds a connection for the limit, not for ever."""
    monkeypatch.setattr(request_guard, "BODY_SECONDS", 0.05)
    live = live_directory()

    async def never() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def body() -> int:
        from starlette.requests import Request

        scope = {"type": "http", "headers": [(b"authorization", b"Token right")], "method": "POST"}
        response = await server.Resolver(live, lambda: "right").resolve(Request(scope, never))
        return response.status_code

    assert asyncio.run(body()) == 408
