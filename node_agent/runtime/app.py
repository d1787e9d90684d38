"""Puts the node agent's parts together and runs them until the windows end or a signal comes."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from delivery.metrics import DeliveryMetrics
from delivery.push import Pusher, PushOutcome
from delivery.spool import Spool, SpoolLimits
from delivery.token_file import TokenFile
from node_agent.attribution.directory_client import DirectoryClient
from node_agent.capture.capture_queue import CaptureQueue
from node_agent.runtime.metrics import Metrics
from node_agent.runtime.tracer_lifecycle import TracerLifecycle
from node_agent.runtime.window_loop import Parts, observe_windows, resolve_until, resolve_waiting
from podsonar.logs_and_probes import serve_metrics, set_build_info, start_logs
from podsonar.model import Window
from podsonar.schedule import next_window
from podsonar.settings import AgentSettings

FLUSH_SECONDS = 2.5  # the end of the time to stop in, kept for one last try
ONCE_SECONDS = 120.0

log = structlog.get_logger()


def cron_windows(settings: AgentSettings) -> Callable[[int], Window | None]:
    """Names the next window of the schedule; a bad expression stops the program now."""
    data = settings.data
    next_window(data.cron.expression, data.collection_window_in_min, 0)
    return lambda after_ns: next_window(data.cron.expression, data.collection_window_in_min, after_ns)


def make_spool(settings: AgentSettings, delivery: DeliveryMetrics, metrics: Metrics) -> Spool:
    """The spool of the settings; both sets of metrics hear of what it drops."""

    def dropped(reason: str, batch_id: str, events: int) -> None:
        delivery.record_dropped(reason, batch_id, events)
        metrics.not_delivered(reason, events)

    limits = SpoolLimits(settings.spool.max_bytes, settings.spool.max_files, settings.spool.max_age_seconds)
    spool = Spool(Path(settings.spool.folder), limits, dropped)
    delivery.track(spool)
    return spool


def make_pusher(
    settings: AgentSettings,
    spool: Spool,
    delivery: DeliveryMetrics,
    metrics: Metrics,
    settled: Callable[[], None] = lambda: None,
) -> Pusher:
    """The pusher of the settings; both sets of metrics hear of what it does, `settled` whenever nothing waits."""

    def told(outcome: PushOutcome) -> None:
        delivery.record(outcome)
        if outcome.code == "201" and outcome.batch is not None:
            metrics.delivered.inc(outcome.batch.events)
        if outcome.code == "idle":
            settled()

    token = TokenFile(settings.manager.token_file)
    token.check_at_start()
    return Pusher(settings, spool, token, told)


def serve(
    settings: AgentSettings,
    supervisor: socket.socket,
    stop: threading.Event,
    windows: Callable[[int], Window | None] | None,
    installed: str,
) -> None:
    """Run the node agent of the installed version; with `windows` given, end when they do and all is delivered."""
    start_logs(settings.log.level, settings.log.format)
    registry = CollectorRegistry()
    set_build_info(registry, "node-agent", installed)
    metrics = Metrics(registry)
    delivery = DeliveryMetrics(registry, settings.spool.max_bytes)
    spool = make_spool(settings, delivery, metrics)
    waiting = CaptureQueue(Path(settings.spool.folder), metrics.not_delivered)
    ending = Shutdown(waiting, spool, stop)
    pusher = make_pusher(settings, spool, delivery, metrics, ending.settled)
    directory = DirectoryClient(
        settings.directory.url, TokenFile(settings.directory.token_file).read, settings.directory.ca_file or None
    )
    metrics.watch(lambda: waiting.pending() + spool.stats().events)
    parts = Parts(settings, TracerLifecycle(settings, supervisor, metrics), spool, waiting, directory.ask, metrics)
    schedule = windows or cron_windows(settings)
    serve_metrics(settings.metrics.listen, registry, lambda: metrics.reason or pusher.unready)
    done = threading.Event()
    # Daemons: a manager that takes its time to answer must not keep a stopping agent.
    threads = [
        threading.Thread(target=resolve_until, args=(parts, done, ending.settled), name="resolve", daemon=True),
        threading.Thread(target=pusher.run, args=(done,), name="push", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        observe_windows(parts, schedule, stop)
        if windows and not stop.is_set():
            ending.await_delivery()
    finally:
        ending.deliver(settings.node.stop_seconds - FLUSH_SECONDS)
        done.set()
        waiting.wakeup.set()
        spool.wakeup.set()
        finish(parts, pusher, threads)


def finish(parts: Parts, pusher: Pusher, threads: list[threading.Thread]) -> None:
    """Send what can be sent within 2.5 s; the rest is on disk already."""
    deadline = time.monotonic() + FLUSH_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        return

    def last() -> None:
        if parts.waiting.paths():
            resolve_waiting(parts)
        if parts.spool.stats().batches:
            pusher.flush(max(0.0, deadline - time.monotonic()))

    thread = threading.Thread(target=last, name="last", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    log.info("stopped", captures=len(parts.waiting.paths()), batches=parts.spool.stats().batches)


@dataclass(slots=True)
class Shutdown:
    """Ends an agent whose windows are over, by `stop`, once all of them are delivered."""

    waiting: CaptureQueue
    spool: Spool
    stop: threading.Event
    over: bool = False
    nothing_left: threading.Event = field(default_factory=threading.Event)

    def left(self) -> tuple[int, int]:
        """Captures and batches that are not delivered; a capture goes only after its batch is there."""
        captures = len(self.waiting.paths()) + len(self.waiting.unwritten)
        return captures, self.spool.stats().batches

    def settled(self) -> None:
        """Whoever resolves or sends has nothing left to do."""
        if self.over and not any(self.left()):
            self.stop.set()
            self.nothing_left.set()

    def deliver(self, seconds: float) -> None:
        """Let what is left be delivered, for that long at most."""
        self.over = True
        self.settled()
        self.nothing_left.wait(max(0.0, seconds))

    def await_delivery(self) -> None:
        """Wait until nothing is left, for two minutes at most; what is left stays on disk."""
        self.over = True
        self.settled()
        self.stop.wait(ONCE_SECONDS)
        captures, batches = self.left()
        if captures or batches:
            log.warning("not_all_delivered", captures=captures, batches=batches)
