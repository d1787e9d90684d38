"""Builds the node agent from its parts and runs it until the windows end or a signal arrives."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from delivery.metrics import DeliveryMetrics
from delivery.push import Pusher, PushOutcome
from delivery.spool import Spool, SpoolLimits
from delivery.token_file import TokenFile
from node_agent.attribution.directory_client import DirectoryClient
from node_agent.capture.files.capture_queue import CaptureQueue, QueueLimits
from node_agent.runtime.metrics import AgentMetrics
from node_agent.runtime.tracer_lifecycle import TracerLifecycle
from node_agent.runtime.window_loop import AgentParts, observe_windows, resolve_queue, resolve_turn
from podsonar.logs_and_probes import serve_metrics, set_build_info, start_logs
from podsonar.model import Window
from podsonar.schedule import next_window, overlapping_window
from podsonar.settings import AgentSettings
from podsonar.supervised import start_supervised

FLUSH_SECONDS = 2.5  # the last part of the stop time, reserved for one more try
ONCE_SECONDS = 120.0

if TYPE_CHECKING:
    from node_agent.runtime.ordered_windows import OrderedWindows

log = structlog.get_logger()


def cron_windows(settings: AgentSettings) -> Callable[[int], Window]:
    """Return a function from a time to the next window; a bad cron expression raises now."""
    data = settings.data
    next_window(data.cron.expression, data.collection_window_in_min, 0)
    return lambda after_ns: next_window(data.cron.expression, data.collection_window_in_min, after_ns)


def follow_orders(
    settings: AgentSettings, directory: DirectoryClient, metrics: AgentMetrics, stop: threading.Event
) -> "OrderedWindows":
    """Return the windows of schedule and orders; a thread waits at the collector for orders until `stop`."""
    from node_agent.runtime.order_client import OrderClient  # noqa: PLC0415 - memory of agents without orders
    from node_agent.runtime.ordered_windows import OrderedWindows  # noqa: PLC0415

    data = settings.data

    def scheduled(start_ns: int, end_ns: int) -> Window | None:
        return overlapping_window(data.cron.expression, data.collection_window_in_min, start_ns, end_ns)

    def end() -> None:
        stop.wait()
        orders.news.set()

    orders = OrderedWindows(cron_windows(settings), scheduled, metrics.record_ordered)
    token = TokenFile(settings.directory.token_file).read
    client = OrderClient(
        directory.client, settings.directory.url, token, lambda windows: orders.take(windows, time.time_ns())
    )
    threading.Thread(target=end, name="end", daemon=True).start()
    start_supervised("orders", lambda: client.turn(stop), stop, metrics.record_loop_failure)
    return orders


def make_spool(settings: AgentSettings, delivery: DeliveryMetrics, metrics: AgentMetrics) -> Spool:
    """Return the spool of the settings; both sets of metrics count what it drops."""

    def dropped(reason: str, batch_id: str, events: int) -> None:
        delivery.record_dropped(reason, batch_id, events)
        metrics.record_dropped(reason, events)

    limits = SpoolLimits(settings.spool.max_bytes, settings.spool.max_files, settings.spool.max_age_seconds)
    spool = Spool(Path(settings.spool.folder), limits, dropped)
    delivery.track(spool)
    return spool


def make_pusher(
    settings: AgentSettings,
    spool: Spool,
    delivery: DeliveryMetrics,
    metrics: AgentMetrics,
    on_idle: Callable[[], None] = lambda: None,
) -> Pusher:
    """Return the pusher of the settings; both sets of metrics count outcomes; `on_idle` runs when it is idle."""

    def record_outcome(outcome: PushOutcome) -> None:
        delivery.record(outcome)
        if outcome.code == "201" and outcome.batch is not None:
            metrics.delivered.inc(outcome.batch.events)
        if outcome.code == "idle":
            on_idle()

    def record_failure(loop: str) -> None:
        delivery.record_loop_failure(loop)
        metrics.record_loop_failure(loop)

    token = TokenFile(settings.manager.token_file)
    token.check_at_start()
    return Pusher(settings, spool, token, record_outcome, record_failure)


def serve(
    settings: AgentSettings,
    supervisor: socket.socket,
    stop: threading.Event,
    windows: Callable[[int], Window | None] | None,
    installed: str,
) -> None:
    """Run the node agent; with `windows` given, return when they are over and everything is delivered."""
    start_logs(settings.log.level, settings.log.format)
    registry = CollectorRegistry()
    set_build_info(registry, "node-agent", installed)
    metrics = AgentMetrics(registry)
    delivery = DeliveryMetrics(registry, settings.spool.max_bytes)
    spool = make_spool(settings, delivery, metrics)
    limits = QueueLimits(settings.spool.max_bytes // 2, settings.spool.max_files, settings.spool.max_age_seconds)
    queue = CaptureQueue(Path(settings.spool.folder), metrics.record_dropped, limits)
    shutdown = Shutdown(queue, spool, stop)
    pusher = make_pusher(settings, spool, delivery, metrics, shutdown.on_idle)
    directory = DirectoryClient(
        settings.directory.url, TokenFile(settings.directory.token_file).read, settings.directory.ca_file or None
    )
    metrics.follow_pending(lambda: queue.pending() + spool.stats().events)
    parts = AgentParts(settings, TracerLifecycle(settings, supervisor, metrics), spool, queue, directory.ask, metrics)
    orders = follow_orders(settings, directory, metrics, stop) if settings.node.orders and not windows else None
    schedule = windows or (orders.next if orders else cron_windows(settings))
    serve_metrics(
        settings.metrics.listen, registry, lambda: metrics.reason or parts.progress.stalled() or pusher.unready
    )
    done = threading.Event()
    # Daemon threads: a slow manager must not delay a stopping agent.
    threads = [
        start_supervised(
            "resolve", lambda: resolve_turn(parts, done, shutdown.on_idle), done, metrics.record_loop_failure
        ),
        start_supervised("push", lambda: pusher.run(done), done, metrics.record_loop_failure),
    ]
    try:
        observe_windows(parts, schedule, stop, orders)
        if windows and not stop.is_set():
            shutdown.await_delivery()
    finally:
        shutdown.deliver(settings.node.stop_seconds - FLUSH_SECONDS)
        done.set()
        queue.wakeup.set()
        spool.wakeup.set()
        deliver_last(parts, pusher, threads)


def deliver_last(parts: AgentParts, pusher: Pusher, threads: list[threading.Thread]) -> None:
    """Resolve and push what is left for up to 2.5 s; the rest is on disk already."""
    deadline = time.monotonic() + FLUSH_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        return

    def last() -> None:
        if parts.queue.paths():
            resolve_queue(parts)
        if parts.spool.stats().batches:
            pusher.flush(max(0.0, deadline - time.monotonic()))

    thread = threading.Thread(target=last, name="last", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    log.info("stopped", captures=len(parts.queue.paths()), batches=parts.spool.stats().batches)


@dataclass(slots=True)
class Shutdown:
    """Sets `stop` once the windows are over and everything is delivered."""

    queue: CaptureQueue
    spool: Spool
    stop: threading.Event
    windows_ended: bool = False
    nothing_left: threading.Event = field(default_factory=threading.Event)

    def undelivered(self) -> tuple[int, int]:
        """Return the number of captures and of batches not yet delivered."""
        captures = len(self.queue.paths()) + len(self.queue.unwritten)
        return captures, self.spool.stats().batches

    def on_idle(self) -> None:
        """Stop if the windows are over and nothing is left; called by the resolving and the pushing thread."""
        if self.windows_ended and not any(self.undelivered()):
            self.stop.set()
            self.nothing_left.set()

    def deliver(self, seconds: float) -> None:
        """Wait until everything is delivered, for at most `seconds`."""
        self.windows_ended = True
        self.on_idle()
        self.nothing_left.wait(max(0.0, seconds))

    def await_delivery(self) -> None:
        """Wait until everything is delivered, for at most two minutes; the rest stays on disk."""
        self.windows_ended = True
        self.on_idle()
        self.stop.wait(ONCE_SECONDS)
        captures, batches = self.undelivered()
        if captures or batches:
            log.warning("not_all_delivered", captures=captures, batches=batches)
