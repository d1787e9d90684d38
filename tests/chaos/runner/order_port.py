"""A real directory port of a collector that takes orders, with a schedule and a clock, and an agent that waits."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from chaos.runner.run_windows import RunWindows
from chaos.runner.window_client import WindowClient
from collector.directory.live_directory import LiveDirectory
from collector.directory.server import serve
from collector.orders.handlers import WindowOrders
from collector.orders.metrics import OrderMetrics
from collector.orders.order_book import OrderBook
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.model import Window
from podsonar.schedule import overlapping_window
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from podsonar.window_orders import PATH
from tests.collector.scripted_api import ScriptedApi

NOW_NS = parse_rfc3339("2026-11-24T10:00:00Z")
TOKEN = "right"


class SteppedClock:
    """A wall clock of runner and collector that moves when the runner waits; `events` happen at their times."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS
        self.events: list[tuple[int, Any]] = []  # nanoseconds, what happens

    def __call__(self) -> int:
        """The time now."""
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        """Time goes by, and nobody asks for the end."""
        self.now_ns += int(seconds * NS_PER_SECOND)
        for at_ns, happens in [one for one in self.events if one[0] <= self.now_ns]:
            self.events.remove((at_ns, happens))
            happens()
        return False


@dataclass
class Collector:
    """A directory that takes orders, with a schedule and a clock of its own."""

    url: str
    orders: WindowOrders
    clock: SteppedClock
    token: str = TOKEN
    stop: threading.Event = field(default_factory=threading.Event)
    clients: list[WindowClient] = field(default_factory=list)

    def client(self, token: str = TOKEN) -> WindowClient:
        """A client of its port."""
        self.clients.append(WindowClient(self.url, token))
        return self.clients[-1]

    def runner(self, token: str = TOKEN) -> RunWindows:
        """The windows of a run."""
        return RunWindows(self.client(token), "run-1", self.clock.wait, self.clock)

    def windows(self) -> list[tuple[str, str]]:
        """Begin and kind of the windows of the run."""
        return [(one.id[11:19], one.purpose.kind) for one in self.orders.book.of_run("run-1").windows if one.purpose]


@contextmanager
def collector(
    cron: str = "15 * * * *", *, listening: bool = True, now_ns: Callable[[], int] | None = None, token: str = TOKEN
) -> Iterator[Collector]:
    """A real server, whose time is stepped unless given; with `listening` an agent's request is parked there."""
    clock = SteppedClock()

    def scheduled(start_ns: int, end_ns: int) -> Window | None:
        return overlapping_window(cron, 1, start_ns, end_ns)

    book, metrics = OrderBook(scheduled, "epoch"), OrderMetrics(CollectorRegistry())
    orders = WindowOrders(book, lambda: token, metrics, now_ns=now_ns or clock)
    live = LiveDirectory(ScriptedApi(), Directory(Selection.of(CollectorSettings())), None, 60.0)
    server = serve(live, lambda: token, "127.0.0.1:0", orders)
    while not server.started:
        time.sleep(0.01)
    made = Collector(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", orders, clock, token)
    agent = threading.Thread(target=listen, args=(made,), daemon=True)
    if listening:
        agent.start()
        while orders.listeners.parked.total() == 0:
            time.sleep(0.01)
    yield made
    made.stop.set()
    for client in made.clients:
        client.close()
    if listening:
        agent.join()
    server.should_exit = True


def listen(made: Collector) -> None:
    """Hold one request after another, as an agent does."""
    with httpx.Client(timeout=30, trust_env=False, headers={"Authorization": f"Token {made.token}"}) as client:
        while not made.stop.is_set():
            client.get(made.url + PATH, params={"after": made.orders.book.revision, "wait": "1"}, timeout=5)
