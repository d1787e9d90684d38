"""Puts the node agent's parts together and runs them until the windows end or a signal comes."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from discovery.credentials import TokenFile
from discovery.push import Pusher
from discovery.records import Window
from discovery.settings import AgentSettings
from discovery.spool import Limits, Spool
from discovery.telemetry import DeliveryMetrics, serve_metrics, start_logs
from discovery.window import next_window
from node_agent.agent import RETRY_SECONDS, Parts, observe_windows, resolve_until
from node_agent.directory_client import DirectoryClient
from node_agent.telemetry import Metrics
from node_agent.waiting import Waiting

FLUSH_SECONDS = 3.0
ONCE_SECONDS = 120.0

log = structlog.get_logger()


def cron_windows(settings: AgentSettings) -> Callable[[int], Window | None]:
    """Names the next window of the schedule; a bad expression stops the program now."""
    data = settings.data
    next_window(data.cron.expression, data.collection_window_in_min, 0)
    return lambda after_ns: next_window(data.cron.expression, data.collection_window_in_min, after_ns)


def serve(
    settings: AgentSettings,
    supervisor: socket.socket,
    stop: threading.Event,
    windows: Callable[[int], Window | None] | None,
) -> None:
    """Run the node agent; with `windows` given, end when they do and all is delivered."""
    start_logs(settings.log.level, settings.log.format)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    delivery = DeliveryMetrics(registry, settings.spool.max_bytes)
    limits = Limits(settings.spool.max_bytes, settings.spool.max_files, settings.spool.max_age_seconds)
    spool = Spool(Path(settings.spool.folder), limits, delivery.lost)
    delivery.watch(spool)
    token = TokenFile(settings.manager.token_file)
    token.read()
    pusher = Pusher(settings, spool, token, delivery.told)
    directory = DirectoryClient(
        settings.directory.url, TokenFile(settings.directory.token_file).read, settings.directory.ca_file or None
    )
    parts = Parts(settings, supervisor, spool, Waiting(Path(settings.spool.folder)), directory.ask, metrics)
    serve_metrics(settings.metrics.listen, registry, lambda: metrics.reason)
    schedule = windows or cron_windows(settings)
    done = threading.Event()
    threads = [
        threading.Thread(target=resolve_until, args=(parts, done), name="resolve"),
        threading.Thread(target=pusher.run, args=(done,), name="push"),
    ]
    for thread in threads:
        thread.start()
    try:
        observe_windows(parts, schedule, stop)
        if windows and not stop.is_set():
            deliver_all(parts, stop)
    finally:
        done.set()
        for thread in threads:
            thread.join(FLUSH_SECONDS)
        pusher.flush(FLUSH_SECONDS if spool.stats().batches else 0)


def deliver_all(parts: Parts, stop: threading.Event) -> None:
    """Wait until nothing is waiting any more, for two minutes at most; what is left stays on disk."""
    waited = 0.0
    while waited < ONCE_SECONDS and not stop.is_set():
        if not parts.waiting.paths() and not parts.spool.stats().batches:
            return
        stop.wait(RETRY_SECONDS / 10)
        waited += RETRY_SECONDS / 10
    log.warning("not_all_delivered", captures=len(parts.waiting.paths()), batches=parts.spool.stats().batches)
