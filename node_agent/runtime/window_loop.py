"""The node agent that stays: waits for windows, observes, and sends what it saw; holds no capability and no `bcc`.

A window ends in one of the two places a crash cannot take it from: a capture that waits for the directory, or a batch
in the spool.
"""

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from delivery.batch import make_batch
from delivery.spool import Spool
from node_agent.attribution import connections_body, flow_log
from node_agent.attribution.flow_groups import questions, traffic_of
from node_agent.capture import loader_client
from node_agent.capture.bpf_maps import AttachedProgram, Counts
from node_agent.capture.capture_queue import CaptureQueue
from node_agent.capture.window_capture import Node, observe
from node_agent.runtime import metrics
from node_agent.runtime.tracer_lifecycle import LOADER_SECONDS, ClockMap, TracerLifecycle, capacity, count_in
from podsonar.errors import DirectoryUnavailableError, NotFinalYetError, PodsonarError, TracerError
from podsonar.model import NS_PER_SECOND, Answer, Capture, Query, Window
from podsonar.settings import AgentSettings

RETRY_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0  # of the wall clock, which may be stepped
LATE_NS = NS_PER_SECOND
STOPPED, LATE = "stopped", "started_late"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the agent works with; everything that touches the world comes in here."""

    settings: AgentSettings
    tracers: TracerLifecycle
    spool: Spool
    waiting: CaptureQueue
    ask: Callable[[list[Query]], list[Answer]]
    metrics: metrics.Metrics


def node_of(settings: AgentSettings) -> Node:
    """The node that the settings name."""
    return Node(settings.node.name, Path(settings.node.proc_folder), settings.node.drain_seconds)


def nothing_observed(settings: AgentSettings, window: Window, gap: str) -> Capture:
    """The capture of a window without a tracer: it says `none`, so that the map says "not observed"."""
    return Capture(window, settings.node.name, "none", "cgroup", [], [], {}, {}, gap=gap)


def watch(parts: Parts, window: Window, tracer: AttachedProgram | None, stop: threading.Event) -> Capture:
    """What this node did in the window, and in which part of it that was watched."""
    late = None if tracer else parts.metrics.reason
    tracer = tracer or parts.tracers.during(window, stop)
    if tracer is not None and time.time_ns() >= window.end_ns:
        tracer.close()
        return nothing_observed(parts.settings, window, LATE)
    if tracer is None:
        reason = parts.metrics.reason
        return nothing_observed(parts.settings, window, reason if reason not in (None, metrics.STARTING) else STOPPED)
    try:
        with tracer:
            return watched(parts, window, tracer, stop, late)
    except TracerError as error:
        parts.tracers.failed(error)
        return nothing_observed(parts.settings, window, error.reason)


def watched(parts: Parts, window: Window, tracer: AttachedProgram, stop: threading.Event, late: str | None) -> Capture:
    """What the tracer sees from now to the window's end, or to `stop`; `late` says why it did not begin in time."""
    log.info("tracing", window=window.id, tracer=tracer.tracer)
    offset_ns = time.time_ns() - time.monotonic_ns()
    capture = observe(tracer, window, node_of(parts.settings), stop, parts.metrics.drained)
    observed = Window(tracer.from_ns + offset_ns, tracer.until_ns + offset_ns)
    gaps = [late or LATE] if observed.start_ns > window.start_ns + LATE_NS else []
    gaps += [STOPPED] if stop.is_set() else []
    return replace(capture, observed=observed, gap=", ".join(gaps) or None)


def drained_nothing(_counts: Counts) -> None:
    """What a capture for a file tells of its drains: nothing."""


def capture_now(settings: AgentSettings, supervisor: socket.socket, seconds: float, stop: threading.Event) -> Capture:
    """What this node does in the next `seconds`; TracerError where it cannot be traced."""
    tracer, _told = loader_client.attach(supervisor, capacity(settings), LOADER_SECONDS, stop)
    with tracer:
        start_ns = time.time_ns()
        window = Window(start_ns, start_ns + int(seconds * NS_PER_SECOND))
        count_in(tracer, window, ClockMap())
        capture = observe(tracer, window, node_of(settings), stop, drained_nothing)
    taken = Window(start_ns, time.time_ns())
    return replace(capture, window=taken, observed=taken)


def spool_resolved(parts: Parts, path: Path, capture: Capture) -> None:
    """Resolve one waiting capture and put its batch in the spool; the capture goes only after that."""
    traffic = traffic_of(capture)
    outcome = connections_body.connections(traffic, answers_to(parts, questions(traffic)))
    if parts.settings.log.level.lower() == "debug":
        for decision in outcome.decisions():
            log.debug("flow", line=flow_log.decision_line(decision))
    delivered = outcome.observation["delivered"]
    batch = make_batch(outcome.content(), "connections", capture.window, identity_of(path), delivered)
    if not parts.spool.paths_of(batch.id):
        parts.spool.put(batch)
    path.unlink()
    parts.metrics.resolved(outcome)
    log.info("window_spooled", window=capture.window.id, flows=len(capture.flows), delivered=delivered)


def identity_of(path: Path) -> str:
    """The name of a capture's batch: the same after a crash between spooling it and forgetting the capture."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def answers_to(parts: Parts, asked: list[Query]) -> dict[Query, Answer]:
    """The directory's answer to each question."""
    return dict(zip(asked, parts.ask(asked), strict=True))


def resolve_waiting(parts: Parts) -> float | None:
    """Resolve what waits for the directory; how many seconds until a new try, None where nothing waits any more."""
    try:
        parts.waiting.write_unwritten()
        for path, capture in parts.waiting.captures():
            spool_resolved(parts, path, capture)
    except NotFinalYetError as error:
        log.info("window_waits", error=str(error))
        return max(0.0, min((error.due_ns - time.time_ns()) / NS_PER_SECOND, LONGEST_WAIT_SECONDS))
    except DirectoryUnavailableError as error:
        log.warning("directory_unavailable", error=str(error))
        return RETRY_SECONDS
    except (PodsonarError, OSError) as error:
        log.warning("window_not_spooled", error=str(error))
        return RETRY_SECONDS
    return RETRY_SECONDS if parts.waiting.unwritten else None


def resolve_until(parts: Parts, stop: threading.Event, settled: Callable[[], None]) -> None:
    """Resolve what waits, as soon as there is something, until `stop` is set and the waiting one gets a `wakeup`.

    `settled` is told whenever nothing waits any more.
    """
    while not stop.is_set():
        parts.waiting.wakeup.clear()
        seconds = resolve_waiting(parts)
        if seconds is None:
            settled()
        if not stop.is_set():
            parts.waiting.wakeup.wait(seconds)


def observe_windows(parts: Parts, windows: Callable[[int], Window | None], stop: threading.Event) -> None:
    """Observe each window that `windows` names for a time, until there is none or `stop`."""
    window = windows(time.time_ns())
    while window is not None and not stop.is_set():
        log.info("next_window", window=window.id)
        tracer = parts.tracers.before(window, stop)
        if stop.is_set() and time.time_ns() < window.start_ns:
            if tracer:
                tracer.close()
            return
        following = windows(window.end_ns)
        if following and following.start_ns - window.end_ns < parts.tracers.lead_seconds * NS_PER_SECOND:
            parts.tracers.prepare(following, stop)
        keep(parts, watch(parts, window, tracer, stop))
        missed = following is not None and following.end_ns <= time.time_ns()  # the clock was stepped, or we slept
        window = windows(time.time_ns()) if missed else following


def keep(parts: Parts, capture: Capture) -> None:
    """The capture is on disk, and counted as seen."""
    parts.metrics.seen(capture)
    parts.waiting.put(capture)
