"""Loops over windows: wait, capture, resolve, spool.

Each window ends in a place that survives a crash: as a capture in the queue, or as a batch in the spool.
"""

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from delivery.batch import make_batch
from delivery.spool import Spool
from node_agent.attribution import flow_log
from node_agent.attribution.body import connections_body
from node_agent.attribution.flow_groups import directory_queries, group_flows
from node_agent.capture.files.capture_queue import CaptureQueue
from node_agent.capture.kernel_program import loader_client
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram, Counts
from node_agent.capture.window_capture import ObservedNode, observe
from node_agent.capture.window_volume import Handover
from node_agent.runtime import metrics
from node_agent.runtime.progress import Progress
from node_agent.runtime.tracer_lifecycle import LOADER_SECONDS, ClockMap, TracerLifecycle, capacity, count_in
from podsonar.directory_answer import Answer, Query
from podsonar.errors import DirectoryUnavailableError, NotFinalYetError, PodsonarError, TracerError
from podsonar.model import Capture, Window
from podsonar.settings import AgentSettings
from podsonar.supervised import place_of
from podsonar.timestamp import NS_PER_SECOND

RETRY_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0  # by the wall clock, which may step
LATE_NS = NS_PER_SECOND
RESOLVE_TURN_SECONDS, WINDOW_GRACE_SECONDS = 600.0, 120.0  # longest time without progress
STOPPED, LATE, FAILED = "stopped", "started_late", "internal_error"

if TYPE_CHECKING:
    from node_agent.runtime.ordered_windows import OrderedWindows

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AgentParts:
    """What the loop works with: settings and every part that does IO."""

    settings: AgentSettings
    tracers: TracerLifecycle
    spool: Spool
    queue: CaptureQueue
    ask: Callable[[list[Query]], list[Answer]]
    metrics: metrics.AgentMetrics
    progress: Progress = field(default_factory=Progress)
    handover: Handover = field(default_factory=Handover)


def node_of(settings: AgentSettings) -> ObservedNode:
    """Return the node of the settings."""
    node = settings.node
    return ObservedNode(node.name, Path(node.proc_folder), node.drain_seconds, node.pod_uid or None)


def nothing_observed(settings: AgentSettings, window: Window, gap: str) -> Capture:
    """Return the capture of a window without a tracer; the manager shows it as not observed."""
    return Capture(window, settings.node.name, "none", "cgroup", [], [], {}, {}, gap=gap)


def capture_window(parts: AgentParts, window: Window, tracer: AttachedProgram | None, stop: threading.Event) -> Capture:
    """Return the capture of a window, with the part of the window that was observed."""
    late = None if tracer else parts.metrics.reason
    tracer = tracer or parts.tracers.load_during(window, stop)
    if tracer is not None and time.time_ns() >= window.end_ns:
        tracer.close()
        return nothing_observed(parts.settings, window, LATE)
    if tracer is None:
        reason = parts.metrics.reason
        return nothing_observed(parts.settings, window, reason if reason not in (None, metrics.STARTING) else STOPPED)
    try:
        with tracer:
            return capture_traced(parts, window, tracer, stop, late)
    except TracerError as error:
        parts.tracers.record_failure(error)
        return nothing_observed(parts.settings, window, error.reason)


def capture_or_gap(parts: AgentParts, window: Window, tracer: AttachedProgram | None, stop: threading.Event) -> Capture:
    """Return the capture of a window; a defect ends neither agent nor loop: the window is one that was not observed."""
    try:
        return capture_window(parts, window, tracer, stop)
    except PodsonarError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place that keeps the loop of windows alive
        parts.metrics.record_loop_failure("windows")
        log.error("window_failed", window=window.id, error=type(error).__name__, place=place_of(error))  # noqa: TRY400
        left_seconds = (window.end_ns - time.time_ns()) / NS_PER_SECOND
        stop.wait(max(0.0, left_seconds))
        return nothing_observed(parts.settings, window, FAILED)


def capture_traced(
    parts: AgentParts, window: Window, tracer: AttachedProgram, stop: threading.Event, late: str | None
) -> Capture:
    """Return what the tracer sees until the window's end or `stop`; `late` is why it did not begin in time."""
    log.info("tracing", window=window.id, tracer=tracer.tracer)
    offset_ns = time.time_ns() - time.monotonic_ns()
    handover = parts.handover
    capture = observe(tracer, window, node_of(parts.settings), stop, parts.metrics.record_drain, handover=handover)
    if parts.tracers.ahead is None:
        handover.sockets = None  # no window follows at once
    observed = Window(tracer.from_ns + offset_ns, tracer.until_ns + offset_ns)
    gaps = [late or LATE] if observed.start_ns > window.start_ns + LATE_NS else []
    gaps += [STOPPED] if stop.is_set() else []
    return replace(capture, observed=observed, gap=", ".join(gaps) or None)


def ignore_drain(_counts: Counts) -> None:
    """Ignore a drain: a capture for a file has no metrics."""


def capture_now(settings: AgentSettings, supervisor: socket.socket, seconds: float, stop: threading.Event) -> Capture:
    """Return the capture of the next `seconds`; TracerError if the node cannot be traced."""
    tracer, _answer = loader_client.attach(supervisor, capacity(settings), LOADER_SECONDS, stop)
    with tracer:
        start_ns = time.time_ns()
        window = Window(start_ns, start_ns + int(seconds * NS_PER_SECOND))
        count_in(tracer, window, ClockMap())
        capture = observe(tracer, window, node_of(settings), stop, ignore_drain)
    taken = Window(start_ns, time.time_ns())
    return replace(capture, window=taken, observed=taken)


def spool_resolved(parts: AgentParts, path: Path, capture: Capture) -> None:
    """Resolve one capture and put its batch in the spool, then remove the capture."""
    traffic = group_flows(capture)
    outcome = connections_body.build_body(traffic, answers_to(parts, directory_queries(traffic)))
    if outcome.node_name_mismatch:
        log.warning("node_name_mismatch", error=outcome.node_name_mismatch)
    if parts.settings.log.level.lower() == "debug":
        for decision in outcome.decisions():
            log.debug("flow", line=flow_log.decision_line(decision))
    delivered = outcome.observation["delivered"]
    batch = make_batch(outcome.content(), "connections", capture.window, identity_of(path), delivered)
    if not parts.spool.paths_of(batch.id):
        parts.spool.put(batch)
    path.unlink()
    parts.metrics.record_resolved(outcome)
    log.info("window_spooled", window=capture.window.id, flows=len(capture.flows), delivered=delivered)


def resolve_or_set_aside(parts: AgentParts, path: Path, capture: Capture) -> None:
    """Resolve one capture; one that fails by a defect is set aside and counted, and blocks no other."""
    try:
        spool_resolved(parts, path, capture)
    except (PodsonarError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever one capture holds, the next one is resolved
        parts.metrics.record_loop_failure("resolve")
        log.error("capture_not_resolved", file=str(path), error=type(error).__name__, place=place_of(error))  # noqa: TRY400
        parts.queue.set_aside(path)


def identity_of(path: Path) -> str:
    """Return the batch id of a capture: the same again after a crash between spooling and removing the capture."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def answers_to(parts: AgentParts, asked: list[Query]) -> dict[Query, Answer]:
    """Return the directory's answer to each query."""
    return dict(zip(asked, parts.ask(asked), strict=True))


def resolve_queue(parts: AgentParts) -> float | None:
    """Resolve the queued captures; return the seconds until a retry, None if the queue is empty."""
    try:
        parts.queue.write_unwritten()
        for path, capture in parts.queue.captures():
            resolve_or_set_aside(parts, path, capture)
    except NotFinalYetError as error:
        log.info("window_waits", error=str(error))
        return max(0.0, min((error.due_ns - time.time_ns()) / NS_PER_SECOND, LONGEST_WAIT_SECONDS))
    except DirectoryUnavailableError as error:
        log.warning("directory_unavailable", error=str(error))
        return RETRY_SECONDS
    except (PodsonarError, OSError) as error:
        log.warning("window_not_spooled", error=str(error))
        return RETRY_SECONDS
    return RETRY_SECONDS if parts.queue.unwritten else None


def resolve_turn(parts: AgentParts, stop: threading.Event, on_idle: Callable[[], None]) -> None:
    """Resolve the queued captures once, call `on_idle` if none is left, and wait for the next one or a retry."""
    parts.queue.wakeup.clear()
    parts.progress.begin("resolve", RESOLVE_TURN_SECONDS)
    seconds = resolve_queue(parts)
    parts.progress.end("resolve")
    if seconds is None:
        on_idle()
    if not stop.is_set():
        parts.queue.wakeup.wait(seconds)


def observe_windows(
    parts: AgentParts,
    windows: Callable[[int], Window | None],
    stop: threading.Event,
    orders: "OrderedWindows | None" = None,
) -> None:
    """Capture each window that `windows` returns, until it returns None or `stop` is set.

    With `orders`, which then is what `windows` asks, the next window may become another one until it is prepared.
    """
    after_ns = time.time_ns()
    window = windows(after_ns)
    while window is not None and not stop.is_set():
        log.info("next_window", window=window.id)
        if orders and not orders.is_committed(window):
            window = settle(parts, orders, window, after_ns, stop)
        tracer = parts.tracers.wait_for_window(window, stop)
        if stop.is_set() and time.time_ns() < window.start_ns:
            if tracer:
                tracer.close()
            return
        after_ns = window.end_ns
        following = windows(after_ns)
        if following and following.start_ns - after_ns < parts.tracers.lead_seconds * NS_PER_SECOND:
            following = orders.commit_first(after_ns) if orders else following
            parts.tracers.start_load_ahead(following, stop)
        parts.progress.begin("windows", (window.end_ns - time.time_ns()) / NS_PER_SECOND + WINDOW_GRACE_SECONDS)
        store_capture(parts, capture_or_gap(parts, window, tracer, stop))
        parts.progress.end("windows")
        if orders and not orders.is_committed(following):
            following = orders.next(after_ns)  # something may have been ordered meanwhile
        if following is not None and following.end_ns <= time.time_ns():  # the clock stepped, or the machine slept
            after_ns = time.time_ns()
            following = windows(after_ns)
        window = following


def settle(parts: AgentParts, orders: "OrderedWindows", window: Window, after_ns: int, stop: threading.Event) -> Window:
    """Return the window that comes next after a time, however often that changes until its program must be loaded."""
    while not stop.is_set():
        orders.news.clear()
        found = orders.next(after_ns)
        if found != window:
            log.info("next_window", window=found.id)
        window = found
        parts.tracers.wait_for_lead(window, stop, orders.news)
        if not orders.news.is_set() and orders.commit(window, after_ns):
            return window
    return window


def store_capture(parts: AgentParts, capture: Capture) -> None:
    """Count a capture and put it in the queue."""
    parts.metrics.record_capture(capture)
    parts.queue.put(capture)
