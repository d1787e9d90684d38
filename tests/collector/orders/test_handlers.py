"""`/v1/windows` over HTTP, by a real server: who may order, what is answered, and who waits for news."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client import CollectorRegistry

from collector.directory.live_directory import LiveDirectory
from collector.directory.server import serve
from collector.orders import listeners, orders_file
from collector.orders.handlers import WindowOrders
from collector.orders.metrics import OrderMetrics
from collector.orders.order_book import OrderBook
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from podsonar.window_orders import PATH, read_orders
from tests.collector.scripted_api import ScriptedApi

RIGHT = {"Authorization": "Token right"}


class Serving(NamedTuple):
    """A directory that takes orders."""

    client: httpx.Client
    orders: WindowOrders
    registry: CollectorRegistry
    url: str

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A real server on a port of its own."""
    registry = CollectorRegistry()
    book = OrderBook(lambda _start_ns, _end_ns: None, "epoch")
    orders = WindowOrders(book, lambda: "right", OrderMetrics(registry), tmp_path / "directory" / "orders")
    live = LiveDirectory(ScriptedApi(), Directory(Selection.of(CollectorSettings())), None, 60.0)
    server = serve(live, lambda: "right", "127.0.0.1:0", orders)
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with closing(httpx.Client(base_url=url, headers=RIGHT, trust_env=False, timeout=30)) as client:
        yield Serving(client, orders, registry, url)
    server.should_exit = True


def body(*starts: int, run: str = "run-1") -> dict[str, Any]:
    """An order of windows of ten seconds that begin so many seconds from now."""
    now_ns = time.time_ns() // NS_PER_SECOND * NS_PER_SECOND
    windows = [{"start": rfc3339(now_ns + start * NS_PER_SECOND), "seconds": 10, "kind": "fault"} for start in starts]
    return {"run": run, "windows": windows}


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", PATH), ("GET", PATH + "/run-1")])
def test_request_without_the_token_is_refused(serving: Serving, method: str, path: str) -> None:
    """Neither may strangers order windows, nor learn of them."""
    answer = serving.client.request(method, path, headers={"Authorization": "Token wrong"}, json=body(20))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Token")
    assert serving.orders.book.windows == ()


def test_order_is_answered_with_its_windows_and_is_on_disk(serving: Serving) -> None:
    """201 with ids, times and purpose; the same again is 200; a new process reads the same from the file."""
    wanted = body(20, 30)
    answer = serving.client.post(PATH, json=wanted)
    assert answer.status_code == 201
    assert [one["purpose"] for one in answer.json()["windows"]] == [{"run": "run-1", "kind": "fault"}] * 2
    assert serving.client.post(PATH, json=wanted).status_code == 200
    assert serving.orders.file is not None
    assert orders_file.read(serving.orders.file) == read_orders(answer.content).windows
    results = [serving.sample("podsonar_directory_window_orders_total", result=one) for one in ("ordered", "known")]
    assert results == [1, 1]
    assert serving.sample("podsonar_directory_ordered_windows") == 2


def test_run_that_is_not_known_is_404_also_after_its_orders_were_lost(serving: Serving) -> None:
    """Whoever ordered sees it; so does every agent, by another revision."""
    serving.client.post(PATH, json=body(20))
    assert serving.client.get(PATH + "/run-1").json()["listening"] == 0
    assert serving.client.get(PATH + "/run-2").status_code == 404
    serving.orders.book = OrderBook(lambda _start_ns, _end_ns: None, "another")
    answer = serving.client.get(PATH + "/run-1")
    assert (answer.status_code, answer.json()["error"][:40]) == (404, "no window of this run is known: it was n")


def test_overlap_is_409_with_the_next_free_time(serving: Serving) -> None:
    """What was wrong, and when the same order could be taken."""
    serving.client.post(PATH, json=body(20))
    answer = serving.client.post(PATH, json=body(25, run="run-2"))
    assert answer.status_code == 409
    assert answer.json()["nextFree"] == serving.client.get(PATH + "/run-1").json()["windows"][0]["end"]
    assert serving.sample("podsonar_directory_window_orders_total", result="overlap") == 1


def test_order_that_is_wrong_is_400_and_one_without_room_503(serving: Serving) -> None:
    """Each with its sentence; 503 says when to ask again."""
    assert "expected 15 s from now" in serving.client.post(PATH, json=body(5)).json()["error"]
    assert serving.client.post(PATH, json=body(5)).status_code == 400
    serving.client.post(PATH, json=body(*range(20, 660, 10)))
    full = serving.client.post(PATH, json=body(700, run="run-2"))
    assert (full.status_code, "Retry-After" in full.headers) == (503, True)
    assert serving.client.post(PATH, content=b" " * 70_000).status_code == 413


def test_waiting_request_is_answered_as_soon_as_there_is_an_order(serving: Serving) -> None:
    """An agent hears of a window at once; while it waits it is counted as listening."""
    first = serving.client.get(PATH)
    assert first.json()["windows"] == []
    answers: list[tuple[float, httpx.Response]] = []

    def wait() -> None:
        with httpx.Client(base_url=serving.url, headers=RIGHT, trust_env=False, timeout=30) as client:
            found = client.get(PATH, params={"after": first.json()["revision"], "wait": 20})
        answers.append((time.monotonic(), found))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: serving.orders.listeners.parked.total() == 1)
    began = time.monotonic()
    assert serving.client.post(PATH, json=body(20)).json()["listening"] == 1
    waiting.join(10)
    ((at, found),) = answers
    assert at - began < 5
    assert read_orders(found.content).windows == serving.orders.book.windows
    wait_until(lambda: serving.orders.listeners.parked.total() == 0)
    # It asks again a second later: an order that is made meanwhile reaches it all the same.
    assert serving.client.post(PATH, json=body(40)).json()["listening"] == 1


def test_waiting_request_without_news_is_204_after_its_time(serving: Serving) -> None:
    """Nothing new, and nothing to read."""
    revision, began = serving.orders.book.revision, time.monotonic()
    assert serving.client.get(PATH, params={"after": revision, "wait": 1}).status_code == 204
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("wait", ["61", "-1", "1.5", "", "1000000"])
def test_wait_that_is_no_time_is_named(serving: Serving, wait: str) -> None:
    """400 with the value and what was expected."""
    answer = serving.client.get(PATH, params={"wait": wait})
    assert (answer.status_code, answer.json()["error"]) == (400, f"wait is {wait!r}, expected seconds from 0 to 60")


def test_client_that_goes_is_not_waited_for(serving: Serving) -> None:
    """Its place is free at once, and it does not listen: agents come and go."""
    with pytest.raises(httpx.ReadTimeout):
        serving.client.get(PATH, params={"after": serving.orders.book.revision, "wait": 60}, timeout=0.3)
    wait_until(lambda: serving.orders.listeners.parked.total() == 0)
    assert serving.client.post(PATH, json=body(20)).json()["listening"] == 0


@pytest.mark.parametrize("limit", ["MOST_PARKED", "MOST_PARKED_OF_ADDRESS"])
def test_more_waiting_requests_than_fit_are_turned_away(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """All together, and those of one address."""
    monkeypatch.setattr(listeners, limit, 0)
    answer = serving.client.get(PATH, params={"after": serving.orders.book.revision, "wait": 1})
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


def wait_until(condition: Any) -> None:
    """Return once it holds; fail after 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "start",
    ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"],
)
def test_order_at_the_ends_of_the_calendar_is_400(serving: Serving, start: str) -> None:
    """The end of such a window, or its start in UTC, is in no year that can be written."""
    wanted = {"run": "run-1", "windows": [{"start": start, "seconds": 60, "kind": "fault"}]}
    answer = serving.client.post(PATH, json=wanted)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith("windows[0]: start")
