"""Runs the collector: the directory all the time, an inventory each window."""

import threading
import time
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from collector.api_server import ApiServer
from collector.directory_server import serve as serve_directory
from collector.inventory import bodies
from collector.kinds import Kind
from collector.listing import Listed, Pages
from collector.redaction import Redaction
from collector.telemetry import DirectoryMetrics, Metrics
from collector.watch import KeptDirectory
from discovery.batch import make_batch
from discovery.credentials import TokenFile
from discovery.delivery_metrics import DeliveryMetrics
from discovery.directory import Directory
from discovery.push import Pusher
from discovery.records import NS_PER_SECOND, Window
from discovery.selection import Selection
from discovery.settings import CollectorSettings
from discovery.spool import Limits, Spool
from discovery.telemetry import serve_metrics, start_logs, tell_build
from discovery.window import NS_PER_MINUTE, next_window

FLUSH_SECONDS = 5.0

log = structlog.get_logger()


def inventory(
    api: Pages, settings: CollectorSettings, window: Window, live: KeptDirectory | None = None
) -> list[dict[str, Any]]:
    """One window's inventory bodies, redacted; the live directory learns the controllers, which it does not watch."""

    def told(kind: Kind, listed: Listed) -> None:
        log.info("listed", kind=kind.name, objects=listed.count, pages=listed.pages, incomplete=listed.reason)

    selection = Selection.of(settings)
    directory = Directory(selection)
    parts = bodies(api, settings, window, selection, directory, Redaction(), told)
    if live is not None:
        live.learn(directory.owners)
    return parts


def window_now(settings: CollectorSettings) -> Window:
    """A window that starts now."""
    start_ns = time.time_ns() // NS_PER_SECOND * NS_PER_SECOND
    return Window(start_ns, start_ns + settings.data.collection_window_in_min * NS_PER_MINUTE)


def collect_windows(
    api: Pages,
    settings: CollectorSettings,
    spool: Spool,
    metrics: Metrics,
    stop: threading.Event,
    live: KeptDirectory,
    *,
    now: bool,
) -> None:
    """List each window (and one now, if asked) into the spool until `stop`."""
    cron, minutes = settings.data.cron.expression, settings.data.collection_window_in_min
    window = window_now(settings) if now else next_window(cron, minutes, time.time_ns())
    while not stop.is_set():
        metrics.next_run.set(window.start_ns / NS_PER_SECOND)
        if stop.wait(max(0.0, (window.start_ns - time.time_ns()) / NS_PER_SECOND)):
            return
        with metrics.duration.time():
            parts = inventory(api, settings, window, live)
        for part in parts:
            identity = f"{part['inventory']['id']}-{part['inventory']['part']}"
            spool.put(make_batch(part, "inventory", window, identity))
        metrics.listed(parts[-1]["inventory"]["kinds"])
        window = next_window(cron, minutes, max(time.time_ns(), window.start_ns + 1))


def run(settings: CollectorSettings, kubeconfig: Path | None, stop: threading.Event, *, now: bool) -> None:
    """Run the collector until `stop`; `now` lists once before the first tick."""
    start_logs(settings.log.level, settings.log.format)
    next_window(settings.data.cron.expression, settings.data.collection_window_in_min, 0)
    registry = CollectorRegistry()
    tell_build(registry, "collector")
    metrics, delivery = Metrics(registry), DeliveryMetrics(registry, settings.spool.max_bytes)
    api = ApiServer.connect(kubeconfig)
    limits = Limits(settings.spool.max_bytes, settings.spool.max_files, settings.spool.max_age_seconds)
    spool = Spool(Path(settings.spool.folder), limits, delivery.lost)
    delivery.watch(spool)
    token, directory_token = TokenFile(settings.manager.token_file), TokenFile(settings.directory.token_file)
    token.begin()
    directory_token.read()
    pusher = Pusher(settings, spool, token, delivery.told)
    namespace = settings.kubernetes.namespace if settings.kubernetes.namespaced else None
    seconds = settings.data.collection_window_in_min * 60.0
    kept = KeptDirectory(
        api,
        Directory(Selection.of(settings)),
        namespace,
        seconds,
        file=Path(settings.spool.folder) / "directory" / "intervals",
        metrics=DirectoryMetrics(registry),
    )
    kept.start()
    server = serve_directory(kept, directory_token.read, settings.directory.listen)
    serve_metrics(settings.metrics.listen, registry, lambda: pusher.unready if kept.synced else "directory_not_synced")
    done = threading.Event()
    push = threading.Thread(target=pusher.run, args=(done,), name="push")
    push.start()
    try:
        collect_windows(api, settings, spool, metrics, stop, kept, now=now)
    finally:
        kept.close()
        server.should_exit = True
        done.set()
        push.join(FLUSH_SECONDS)
        if spool.stats().batches:
            pusher.flush(FLUSH_SECONDS)
