"""A database that stands still: who had a map gets it again at once, with its age; nobody else gets anything."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.http.last_answers import MOST_BYTES, OLDEST_SECONDS, PATIENCE_SECONDS, PING_SECONDS, LastAnswers
from manager.store.database import Store
from manager.store.tokens.issued import create_token, list_tokens, revoke_token
from tests.manager.manager_process import ManagerProcess, manager_process
from tests.manager.postgresql import PostgresqlServer
from tests.manager.shop import NODE_A, NODE_B, inventory

MAP = "/api/v1/agents/lab/map"
AT_ONCE_SECONDS = 8.0  # below the 12 s after which the database is given up


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL for this module alone, since it is frozen."""
    made = PostgresqlServer()
    yield made
    made.remove()


@pytest.fixture
def manager(server: PostgresqlServer, tmp_path: Path) -> Iterator[ManagerProcess]:
    """A manager with a window."""
    with manager_process(tmp_path, server.new_database()) as made:
        for number, body in enumerate((inventory(), NODE_A)):
            assert made.push(body, f"b-{number}").status_code == 201
        yield made


def ask(manager: ManagerProcess, path: str = MAP, seconds: float = AT_ONCE_SECONDS, **headers: str) -> httpx.Response:
    """A read with the key, by a client that does not wait long."""
    sent = {"X-API-Key": manager.key} | headers
    return httpx.get(manager.url + path, headers=sent, trust_env=False, timeout=seconds)


@pytest.mark.postgresql
def test_reader_gets_the_last_map_while_the_database_stands_still(
    manager: ManagerProcess, server: PostgresqlServer
) -> None:
    """The same bytes with their age, 304 for who has them; then the newest again."""
    first, windows = ask(manager), ask(manager, "/api/v1/agents/lab/windows")
    assert "age" not in first.headers
    with server.standing_still():
        for _ in range(3):
            again = ask(manager)
            assert (again.status_code, again.content) == (200, first.content)
            assert int(again.headers["age"]) < OLDEST_SECONDS
            assert again.headers["etag"] == first.headers["etag"]
            assert again.headers["x-content-type-options"] == "nosniff"
        has = ask(manager, **{"If-None-Match": first.headers["etag"]})
        assert (has.status_code, has.content) == (304, b"")
        assert ask(manager, "/api/v1/agents/lab/windows").json()["items"] == windows.json()["items"]
    assert manager.push(NODE_B, "b-2").status_code == 201
    while "age" in (fresh := ask(manager)).headers:
        time.sleep(0.1)  # the thread that waited is still on its way
    assert fresh.headers["etag"] != first.headers["etag"]


@pytest.mark.postgresql
def test_nobody_else_gets_an_answer(manager: ManagerProcess, server: PostgresqlServer) -> None:
    """Not another key, not another URL, not a key that has been revoked and has noticed it."""
    with closing(Store(manager.database)) as store:
        other = create_token(store, "read", "other", time.time_ns(), lambda count: b"\7" * count).text()
        assert ask(manager).status_code == 200
        assert ask(manager, **{"X-API-Key": other}).status_code == 200
        (revoked,) = [one["id"] for one in list_tokens(store) if one["name"] == "other"]
        revoke_token(store, revoked, time.time_ns())
    assert ask(manager, **{"X-API-Key": other}).status_code == 401
    with server.standing_still():
        assert ask(manager).status_code == 200
        for path, headers in (
            (MAP, {"X-API-Key": other}),
            (MAP, {"X-API-Key": manager.key[:-1]}),
            (MAP, {"X-API-Key": ""}),
            (f"{MAP}?namespace=shop", {}),
            ("/api/v1/agents/other/map", {}),
        ):
            try:
                assert ask(manager, path, 2, **headers).status_code in {401, 503}
            except httpx.ReadTimeout:
                continue


@pytest.mark.postgresql
def test_readers_that_wait_for_one_answer_take_one_thread(manager: ManagerProcess, server: PostgresqlServer) -> None:
    """However often it is asked for."""
    assert ask(manager).status_code == 200

    def threads() -> int:
        lines = Path(f"/proc/{manager.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Threads"))

    with server.standing_still():
        assert ask(manager).status_code == 200
        before = threads()
        began = time.monotonic()
        assert {ask(manager).status_code for _ in range(40)} == {200}
        assert time.monotonic() - began < 40 * PATIENCE_SECONDS  # without waiting each time
        assert threads() <= before + 2  # of other work


def answers_at_once() -> None:
    """A database that answers."""


def request(path: str = "/map", key: str = "k") -> Request:
    """A request as the server makes it."""
    head = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"x-api-key", key.encode())],
    }
    return Request(head | {"server": ("127.0.0.1", 80), "scheme": "http"})


def answered(last: LastAnswers, body: bytes, **other: str) -> Response:
    """The answer where the database gives this body."""
    return anyio.run(last.answer, request(**other), lambda _request: Response(body, headers={"ETag": f'"{len(body)}"'}))


def refused(last: LastAnswers, status: int, **other: str) -> Response:
    """The answer where the handler ends with an error."""

    def make(_request: Request) -> Response:
        raise HTTPException(status)

    return anyio.run(last.answer, request(**other), make)


def test_failed_database_gives_the_last_answer_until_it_is_too_old() -> None:
    """A minute, counted from when it was the newest."""
    now = [100.0]
    last = LastAnswers(answers_at_once, lambda: now[0])
    answered(last, b"one")
    now[0] += OLDEST_SECONDS
    old = refused(last, 503)
    assert (old.body, old.headers["age"]) == (b"one", "60")
    now[0] += 1
    with pytest.raises(HTTPException) as raised:
        refused(last, 503)
    assert raised.value.status_code == 503


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusal_is_given_and_ends_what_was_kept(status: int) -> None:
    """Who may not have an answer any more does not get the old one either."""
    last = LastAnswers(answers_at_once)
    answered(last, b"one")
    with pytest.raises(HTTPException) as raised:
        refused(last, status)
    assert raised.value.status_code == status
    with pytest.raises(HTTPException) as raised:
        refused(last, 503)
    assert raised.value.status_code == 503
    assert last.size == 0


def test_answer_that_is_not_modified_is_the_newest_again() -> None:
    """A page that asks by its tag keeps its map fresh."""
    now = [100.0]
    last = LastAnswers(answers_at_once, lambda: now[0])
    answered(last, b"one")
    now[0] += 50
    anyio.run(last.answer, request(), lambda _request: Response(status_code=304, headers={"ETag": '"3"'}))
    now[0] += 50
    old = refused(last, 503)
    assert (old.body, old.headers["age"]) == (b"one", "50")


def test_kept_answers_are_bounded() -> None:
    """The one that was used longest ago goes first; one that would be a quarter is not kept."""
    last = LastAnswers(answers_at_once)
    body = bytes(MOST_BYTES // 8)
    for number in range(20):
        answered(last, body, path=f"/{number}")
        answered(last, body, path="/0")
    assert last.size <= MOST_BYTES
    assert refused(last, 503, path="/0").body == body
    answered(last, bytes(MOST_BYTES // 4 + 1), path="/large")
    with pytest.raises(HTTPException):
        refused(last, 503, path="/large")
    assert last.size == sum(len(one.response.body) for one in last.answers.values())


def test_answer_that_takes_long_to_make_is_waited_for() -> None:
    """The database answers meanwhile: an old one would be a wrong one."""
    last = LastAnswers(answers_at_once)
    answered(last, b"one")

    def make(_request: Request) -> Response:
        time.sleep(2 * (PATIENCE_SECONDS + PING_SECONDS))
        return Response(b"two")

    assert anyio.run(last.answer, request(), make).body == b"two"


def test_answer_that_was_not_waited_for_is_kept_when_it_comes() -> None:
    """The thread goes on, and its answer is the next one's."""
    go_on = threading.Event()
    last = LastAnswers(lambda: go_on.wait(30))
    answered(last, b"one")

    def make(_request: Request) -> Response:
        go_on.wait(30)
        return Response(b"two")

    async def ask_again() -> list[bytes]:
        got = [bytes((await last.answer(request(), make)).body) for _ in range(2)]
        assert last.late
        go_on.set()
        with anyio.fail_after(30):
            while (newest := bytes((await last.answer(request(), make)).body)) == b"one":  # noqa: ASYNC110
                await anyio.sleep(0.01)
        return [*got, newest]

    assert anyio.run(ask_again) == [b"one", b"one", b"two"]
    assert not last.late
