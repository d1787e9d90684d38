"""The request that an agent holds at the collector: a real collector's port, and ports that answer something else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client import CollectorRegistry

from collector.directory.live_directory import LiveDirectory
from collector.directory.server import serve
from collector.orders.handlers import WindowOrders
from collector.orders.metrics import OrderMetrics
from collector.orders.order_book import OrderBook
from directory.lookup import Directory
from directory.selection import Selection
from node_agent.runtime.order_client import OrderClient
from podsonar.errors import DirectoryUnavailableError
from podsonar.model import Purpose, Window
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from podsonar.window_orders import PATH
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.collector.scripted_api import ScriptedApi


@contextmanager
def collector_port() -> Iterator[tuple[str, WindowOrders]]:
    """A real directory server that takes orders."""
    book = OrderBook(lambda _start_ns, _end_ns: None, "epoch")
    orders = WindowOrders(book, lambda: "right", OrderMetrics(CollectorRegistry()))
    live = LiveDirectory(ScriptedApi(), Directory(Selection.of(CollectorSettings())), None, 60.0)
    server = serve(live, lambda: "right", "127.0.0.1:0", orders)
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", orders
    server.should_exit = True


@contextmanager
def client_of(url: str, taken: list[tuple[Window, ...]]) -> Iterator[OrderClient]:
    """A client of that port, and where its lists go."""
    with httpx.Client(trust_env=False) as http:
        yield OrderClient(http, url, lambda: "right", taken.append)


def test_order_reaches_the_agent_that_waits_for_it() -> None:
    """The first request has the list at once; the next one is held until there is another list."""
    taken: list[tuple[Window, ...]] = []
    with collector_port() as (url, orders), client_of(url, taken) as client:
        client.wait_for_orders()
        assert taken == [()]
        waiting = threading.Thread(target=client.wait_for_orders)
        waiting.start()
        while orders.listeners.parked.total() == 0:
            time.sleep(0.01)
        start_ns = (time.time_ns() // NS_PER_SECOND + 60) * NS_PER_SECOND
        wanted = {"start": rfc3339(start_ns), "seconds": 10, "kind": "fault"}
        headers = {"Authorization": "Token right"}
        answer = client.client.post(url + PATH, headers=headers, json={"run": "run-1", "windows": [wanted]})
        assert answer.status_code == 201, answer.text
        waiting.join(10)
        assert taken == [(), (Window(start_ns, start_ns + 10 * NS_PER_SECOND, Purpose("run-1", "fault")),)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (GivenAnswer(404, b"{}"), "answered 404, expected 200 or 204"),
        (GivenAnswer(503, b"{}"), "answered 503, expected 200 or 204"),
        (GivenAnswer(200, b"<html>"), "holds no ordered windows"),
        (GivenAnswer(200, b'{"revision": "a", "windows": [{"start": "x", "end": "y"}]}'), "holds no ordered windows"),
        (GivenAnswer(200, b" " * 70_000), "the body is longer than 65536 bytes"),
    ],
)
def test_port_that_answers_something_else_is_named(answer: GivenAnswer, said: str) -> None:
    """An older collector, a proxy, another program: nothing is taken from them."""
    taken: list[tuple[Window, ...]] = []
    with (
        answering(lambda _request: answer) as url,
        client_of(url, taken) as client,
        pytest.raises(DirectoryUnavailableError, match=said),
    ):
        client.wait_for_orders()
    assert (taken, client.revision) == ([], "")


def test_failures_are_paused_after_and_answers_come_at_most_once_a_second() -> None:
    """Nobody is asked in a tight loop: neither a port that refuses, nor one that answers at once each time."""
    asked: list[float] = []
    answers = [GivenAnswer(503, b"{}"), GivenAnswer(204), GivenAnswer(204)]

    def answer(_request: ReceivedRequest) -> GivenAnswer:
        asked.append(time.monotonic())
        return answers[len(asked) - 1]

    waits: list[float] = []

    class Stop(threading.Event):
        """An event that notes how long it is waited for, and does not wait."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            return False

    with answering(answer) as url, client_of(url, []) as client:
        for _ in answers:
            client.turn(Stop())
    assert 2 <= waits[0] <= 4
    assert all(0.5 < one <= 1 for one in waits[1:])
