"""The node agent that stays: waits for windows, observes, and sends what it saw; holds no capability and no `bcc`.

A window ends in one of the two places a crash cannot take it from: a capture that waits for the directory, or a batch
in the spool.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from discovery.batch import make_batch
from discovery.errors import DirectoryUnavailableError, InputError, PodsonarError, TracerError
from discovery.records import NS_PER_SECOND, Answer, Capture, Query, Window
from discovery.settings import AgentSettings
from discovery.spool import Spool
from node_agent import connections, resolve, telemetry, tracing
from node_agent.maps import Counts
from node_agent.observe import Node, observe
from node_agent.waiting import Waiting

LOADER_SECONDS = 120.0
RETRY_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the agent works with; everything that touches the world comes in here."""

    settings: AgentSettings
    supervisor: socket.socket
    spool: Spool
    waiting: Waiting
    ask: Callable[[list[Query]], list[Answer]]
    metrics: telemetry.Metrics


def capacity(settings: AgentSettings) -> dict[str, int | str]:
    """Sizes of the kernel side's maps, in entries."""
    flows = settings.node.flow_capacity
    return {
        "flows": flows,
        "accepted": flows,
        "pending": flows,
        "recent": flows,
        "cgroups": settings.node.cgroup_capacity,
        "method": settings.node.method,
    }


def node_of(settings: AgentSettings) -> Node:
    """The node that the settings name."""
    return Node(settings.node.name, Path(settings.node.proc_folder), settings.node.drain_seconds)


def nothing_observed(settings: AgentSettings, window: Window) -> Capture:
    """The capture of a window without a tracer: it says `none`, so that the map says "not observed"."""
    return Capture(window, settings.node.name, "none", "cgroup", [], [], {}, {})


def watch(parts: Parts, window: Window, stop: threading.Event) -> Capture:
    """What this node did in the window; without a tracer an empty capture that says so."""
    try:
        tracer, loaded = tracing.attach(parts.supervisor, capacity(parts.settings), LOADER_SECONDS)
    except TracerError as error:
        log.warning("tracer_unavailable", reason=error.reason, error=str(error))
        parts.metrics.tracer_down(error.reason)
        stop.wait(max(0.0, (window.end_ns - time.time_ns()) / NS_PER_SECOND))
        return nothing_observed(parts.settings, window)
    log.info("tracing", window=window.id, tracer=tracer.tracer, seconds=loaded["seconds"], peak=loaded["peakBytes"])
    parts.metrics.tracer_is_up(tracer.tracer)
    with tracer:
        return observe(tracer, window, node_of(parts.settings), stop, parts.metrics.drained)


def drained_nothing(_counts: Counts) -> None:
    """What a capture for a file tells of its drains: nothing."""


def capture_now(settings: AgentSettings, supervisor: socket.socket, seconds: float, stop: threading.Event) -> Capture:
    """What this node does in the next `seconds`; TracerError where it cannot be traced."""
    tracer, _loaded = tracing.attach(supervisor, capacity(settings), LOADER_SECONDS)
    with tracer:
        start_ns = time.time_ns()
        window = Window(start_ns, start_ns + int(seconds * NS_PER_SECOND))
        capture = observe(tracer, window, node_of(settings), stop, drained_nothing)
    return replace(capture, window=Window(start_ns, time.time_ns()))


def spool_resolved(parts: Parts, path: Path, capture: Capture) -> None:
    """Resolve one waiting capture and put its batch in the spool; the capture goes only after that."""
    outcome = connections.connections(capture, dict_of_answers(parts, capture))
    parts.spool.put(make_batch(outcome.body, "connections", capture.window))
    path.unlink()
    parts.metrics.resolved(outcome.body["observation"])
    log.info("window_spooled", window=capture.window.id, connections=len(outcome.body["connectionList"]))


def dict_of_answers(parts: Parts, capture: Capture) -> dict[Query, Answer]:
    """The directory's answer to every question that the capture raises."""
    questions = resolve.questions(capture)
    return dict(zip(questions, parts.ask(questions), strict=True))


def spoilt(path: Path, error: InputError) -> None:
    """Tell of a capture file that cannot be read."""
    log.error("capture_corrupt", file=str(path), error=str(error))


def resolve_waiting(parts: Parts) -> bool:
    """Whether nothing waits for the directory any more."""
    try:
        for path, capture in parts.waiting.captures(spoilt):
            spool_resolved(parts, path, capture)
    except DirectoryUnavailableError as error:
        log.warning("directory_unavailable", error=str(error))
        return False
    except PodsonarError as error:
        log.warning("window_not_spooled", error=str(error))
        return False
    return True


def resolve_until(parts: Parts, stop: threading.Event) -> None:
    """Resolve what waits, again and again until `stop`."""
    while not stop.is_set():
        resolve_waiting(parts)
        stop.wait(RETRY_SECONDS)


def observe_windows(parts: Parts, windows: Callable[[int], Window | None], stop: threading.Event) -> None:
    """Observe each window that `windows` names for a time, until there is none or `stop`."""
    after_ns = time.time_ns()
    while not stop.is_set():
        window = windows(after_ns)
        if window is None:
            return
        log.info("next_window", window=window.id)
        lead_seconds = (window.start_ns - time.time_ns()) / NS_PER_SECOND
        if lead_seconds > 0 and stop.wait(lead_seconds):
            return
        parts.waiting.put(watch(parts, window, stop))
        after_ns = window.end_ns
