"""One window after another, with the real program and nothing in between."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from delivery.spool import Spool
from node_agent.capture.files.capture_queue import CaptureQueue
from node_agent.runtime.metrics import AgentMetrics
from node_agent.runtime.ordered_windows import OrderedWindows
from node_agent.runtime.tracer_lifecycle import FIRST_LEAD_SECONDS, ClockMap, TracerLifecycle
from node_agent.runtime.window_loop import AgentParts, observe_windows
from podsonar.model import Capture, Purpose, Window
from podsonar.settings import AgentSettings, NodeSettings
from podsonar.timestamp import NS_PER_SECOND
from tests.node_agent.kernel_side import attached, start_loaders

pytestmark = pytest.mark.kernel


def connect_until(stop: threading.Event, server: socket.socket, ends: dict[int, list[int]]) -> None:
    """Connect all the time; `ends` has the time before and after each connect, by its number."""
    number = 0
    while not stop.is_set():
        before = time.time_ns()
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()
        ends[number] = [before, time.time_ns()]
        number += 1
        stop.wait(0.005)


def captures(
    folder: Path, settings: AgentSettings, windows: list[Window], lead_seconds: float = FIRST_LEAD_SECONDS
) -> list[Capture]:
    """What an agent observes in these windows; its first program is loaded so long before the first one."""
    left = list(windows)

    def observe(parts: AgentParts) -> None:
        observe_windows(parts, lambda _after_ns: left.pop(0) if left else None, threading.Event())

    return captures_of(folder, settings, observe, lead_seconds)


def captures_of(
    folder: Path, settings: AgentSettings, observe: Callable[[AgentParts], None], lead_seconds: float
) -> list[Capture]:
    """What an agent has in its queue when it has observed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    loaders = threading.Thread(target=start_loaders, args=(theirs,), daemon=True)
    loaders.start()
    metrics = AgentMetrics(CollectorRegistry())
    waiting = CaptureQueue(folder)
    spool = Spool(folder / "spool")
    tracers = TracerLifecycle(settings, ours, metrics)
    tracers.lead_seconds = lead_seconds
    parts = AgentParts(settings, tracers, spool, waiting, lambda _queries: [], metrics)
    observe(parts)
    ours.close()
    loaders.join()
    theirs.close()
    spool.close()
    return [capture for _path, capture in waiting.captures()]


def patience_seconds() -> float:
    """Three times as long as the program takes to load on this machine at this moment."""
    began = time.monotonic()
    with attached():
        return 3 * (time.monotonic() - began)


def test_windows_back_to_back_are_both_watched_from_their_start(tmp_path: Path) -> None:
    """The second window's program is loaded during the first; each connect is in the window that watched it, once."""
    ahead_seconds = max(6.0, patience_seconds())
    start_ns = time.time_ns() + int((ahead_seconds + 2) * NS_PER_SECOND)
    first = Window(start_ns, start_ns + int(ahead_seconds * NS_PER_SECOND))
    second = Window(first.end_ns, first.end_ns + 3 * NS_PER_SECOND)
    settings = AgentSettings(node=NodeSettings(name="node-a", drain_seconds=0.5))
    ends: dict[int, list[int]] = {}
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = threading.Thread(target=connect_until, args=(stop, server, ends))
        client.start()
        taken = captures(tmp_path, settings, [first, second], ahead_seconds)
        stop.set()
        client.join()
    assert [(one.window, one.gap, one.lost) for one in taken] == [(first, None, {}), (second, None, {})]
    for capture in taken:
        assert capture.observed is not None
        (flow,) = [flow for flow in capture.flows if flow.port == port and flow.attempts]
        watched = capture.observed
        inside = [one for one in ends.values() if watched.start_ns <= one[0] and one[1] <= watched.end_ns]
        touching = [one for one in ends.values() if watched.start_ns <= one[1] and one[0] <= watched.end_ns]
        assert len(inside) <= flow.attempts <= len(touching)


def test_windows_on_order_are_watched_from_their_start_though_the_agent_waits_for_another_one(tmp_path: Path) -> None:
    """Two windows back to back are ordered while the agent waits for its schedule: both whole, with their purpose."""
    ahead_seconds = max(6.0, patience_seconds())
    start_ns = (time.time_ns() // NS_PER_SECOND + 3 + int(ahead_seconds)) * NS_PER_SECOND
    middle_ns, end_ns = (start_ns + at * int(ahead_seconds + 1) * NS_PER_SECOND for at in (1, 2))
    ordered = [
        Window(start_ns, middle_ns, Purpose("run-1", "baseline")),
        Window(middle_ns, end_ns, Purpose("run-1", "fault")),
    ]
    usual = Window(end_ns + 3600 * NS_PER_SECOND, end_ns + 3660 * NS_PER_SECOND)
    orders, stop = OrderedWindows(lambda _after_ns: usual, lambda _start_ns, _end_ns: None), threading.Event()

    def end() -> None:
        """Stop the agent while it waits for its schedule again."""
        while len(list(tmp_path.rglob("*.capture"))) < len(ordered):
            time.sleep(0.1)
        stop.set()
        orders.news.set()

    def observe(parts: AgentParts) -> None:
        threading.Timer(1, lambda: orders.take(ordered, time.time_ns())).start()
        ending = threading.Thread(target=end)
        ending.start()
        observe_windows(parts, orders.next, stop, orders)
        ending.join()

    taken = captures_of(tmp_path, AgentSettings(node=NodeSettings(name="node-a")), observe, ahead_seconds)
    assert [(one.window, one.gap, one.tracer) for one in taken] == [
        (one, None, "bcc:raw_tracepoint") for one in ordered
    ]


def test_window_that_is_over_is_not_observed(tmp_path: Path) -> None:
    """After a long sleep a window may be past before it could begin: its record states it, and nothing is counted."""
    over = Window(time.time_ns() - 9 * NS_PER_SECOND, time.time_ns() - 3 * NS_PER_SECOND)
    (capture,) = captures(tmp_path, AgentSettings(node=NodeSettings(name="node-a")), [over])
    assert (capture.tracer, capture.gap, capture.flows) == ("none", "started_late", [])


def test_end_of_a_window_is_the_nanosecond_at_which_the_next_begins() -> None:
    """A moment is worked out once, so that nothing falls between two windows, or into both."""
    moments, at_ns = ClockMap(), time.time_ns()
    first = moments[at_ns]
    time.sleep(0.01)
    assert moments[at_ns] == first
    assert abs(first - time.monotonic_ns()) < 60 * NS_PER_SECOND
