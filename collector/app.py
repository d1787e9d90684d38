"""Runs the collector: the directory all the time, an inventory each window."""

import os
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from cluster_api.client import ApiClient
from collector.directory.live_directory import LiveDirectory
from collector.directory.metrics import DirectoryMetrics
from collector.directory.server import serve as serve_directory
from collector.inventory.field_table import checked_keep
from collector.inventory.inventory import Inventory, role_namespaces
from collector.inventory.metrics import InventoryMetrics
from collector.inventory.scheduler import Scheduler
from collector.k8s.kinds import KINDS, Kind
from collector.k8s.list_deadline import ListLimits, StoppedError
from collector.k8s.paged_list import Listed, PageSource, list_pages
from collector.orders import orders_file
from collector.orders.handlers import WindowOrders
from collector.orders.metrics import OrderMetrics
from collector.orders.order_book import OrderBook
from delivery.batch import batch_of_payload
from delivery.metrics import DeliveryMetrics
from delivery.push import Pusher
from delivery.spool import Spool, SpoolLimits
from delivery.token_file import TokenFile
from directory.configured_ranges import ConfiguredRanges
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.errors import SettingsError, SpoolError
from podsonar.logs_and_probes import serve_metrics, set_build_info, start_logs
from podsonar.malloc import return_large_blocks
from podsonar.model import Window
from podsonar.schedule import next_window, overlapping_window, window_at
from podsonar.settings import CollectorSettings

FLUSH_SECONDS = 2.5

log = structlog.get_logger()


def inventory_of(
    api: PageSource, settings: CollectorSettings, window: Window, selection: Selection, run: ListLimits | None = None
) -> Inventory:
    """Return one window's inventory, not listed yet."""

    def log_listed(kind: Kind, listed: Listed) -> None:
        log.info("listed", kind=kind.name, objects=listed.count, pages=listed.pages, incomplete=listed.reason)

    return Inventory(api, settings, window, selection, run=run or ListLimits(), on_kind_listed=log_listed)


def window_now(settings: CollectorSettings) -> Window:
    """Return a window that starts now."""
    return window_at(datetime.now(UTC), settings.data.collection_window_in_min)


def collect(inventory: Inventory, spool: Spool, live: LiveDirectory) -> None:
    """List one window into the spool, and add its controllers to the live directory, which does not watch them.

    No part is in the spool before the last kind was listed, so that an interrupted list leaves none.
    """
    for part, payload in enumerate(inventory.bodies(spool.folder), start=1):
        spool.put(batch_of_payload(payload, "inventory", inventory.window, f"{inventory.id}-{part}"))
    live.add_controllers(inventory.owners.by_uid)
    with live.lock:
        live.directory.selection = inventory.selection


def collect_windows(
    api: ApiClient,
    settings: CollectorSettings,
    spool: Spool,
    metrics: InventoryMetrics,
    stop: threading.Event,
    live: LiveDirectory,
    *,
    now: bool,
) -> None:
    """List each window (and with `now` one at once) into the spool until `stop`."""
    scheduler = Scheduler(settings, metrics, stop)
    window = window_now(settings) if now else scheduler.next()
    while window:
        inventory = inventory_of(api, settings, window, Selection.of(settings), scheduler.limits(window))
        requests = api.requests
        try:
            with metrics.duration.time():
                collect(inventory, spool, live)
        except StoppedError:
            log.info("stopped", window=window.id)
            return
        except (SpoolError, OSError) as error:
            log.warning("inventory_not_kept", window=window.id, error=str(error))
        metrics.record_lists(inventory.kinds)
        metrics.record_inventory(inventory.redaction.counts, inventory.rejected, api.requests - requests)
        scheduler.mark_listed()
        window = scheduler.next()


def checked_selection(api: ApiClient, settings: CollectorSettings, run: ListLimits | None = None) -> Selection:
    """Return the selection before the first window; SettingsError if the settings request something that cannot be
    listed.

    The API server itself validates the namespace selector and returns the namespaces that it matches now.
    """
    checked_keep(settings.redaction.keep)
    selection, selector = Selection.of(settings), settings.data.namespace_selector
    namespaced = settings.kubernetes.namespaced
    if namespaced and not (settings.kubernetes.namespace or settings.data.observed_namespaces):
        raise SettingsError(
            "setting kubernetes.namespaced is true without a namespace, expected kubernetes.namespace or "
            "data.observedNamespaces beside it"
        )
    if not selector:
        return selection
    if namespaced:
        raise SettingsError(
            f"setting data.namespaceSelector is {selector!r} with kubernetes.namespaced, expected "
            "data.observedNamespaces: a Role cannot list namespaces"
        )
    listed = Listed()
    found = [obj for page in list_pages(api, KINDS[0], None, listed, run=run, selector=selector) for obj in page]
    if listed.reason == "bad request":
        raise SettingsError(
            f"setting data.namespaceSelector is {selector!r}, which the API server does not take; "
            "expected a label selector such as 'team in (shop, bank), !legacy'"
        )
    return selection.among(() if listed.reason else [obj["metadata"]["name"] for obj in found])


def window_orders(settings: CollectorSettings, token: TokenFile, registry: CollectorRegistry) -> WindowOrders:
    """Return what takes orders of windows, with those of an earlier process."""
    data, file = settings.data, Path(settings.spool.folder) / "directory" / "orders"

    def scheduled(start_ns: int, end_ns: int) -> Window | None:
        return overlapping_window(data.cron.expression, data.collection_window_in_min, start_ns, end_ns)

    book = OrderBook(scheduled, os.urandom(6).hex(), orders_file.read(file))
    return WindowOrders(book, token.read, OrderMetrics(registry), file)


def end_clients_at_stop(servers: Iterable[ApiClient], stop: threading.Event) -> None:
    """Wait for the end of the program, then cut short what is being read."""
    stop.wait()
    for api in servers:
        api.end()


def flush_and_report(pusher: Pusher, push: threading.Thread) -> None:
    """Send what can be sent within `FLUSH_SECONDS`; the rest is on disk already."""
    deadline = time.monotonic() + FLUSH_SECONDS
    push.join(FLUSH_SECONDS)
    if not push.is_alive() and pusher.spool.stats().batches:
        last = threading.Thread(target=lambda: pusher.flush(deadline - time.monotonic()), name="last", daemon=True)
        last.start()
        last.join(max(0.0, deadline - time.monotonic()))
    log.info("stopped", batches=pusher.spool.stats().batches)


def run(settings: CollectorSettings, kubeconfig: Path | None, stop: threading.Event, *, now: bool) -> None:
    """Run the collector until `stop`; with `now` it lists once before the first tick."""
    start_logs(settings.log.level, settings.log.format)
    return_large_blocks()
    next_window(settings.data.cron.expression, settings.data.collection_window_in_min, 0)
    configured = ConfiguredRanges.of(settings)
    registry = CollectorRegistry()
    set_build_info(registry, "collector")
    metrics, delivery = InventoryMetrics(registry), DeliveryMetrics(registry, settings.spool.max_bytes)
    api = ApiClient.connect(kubeconfig)
    limits = SpoolLimits(settings.spool.max_bytes, settings.spool.max_files, settings.spool.max_age_seconds)
    spool = Spool(Path(settings.spool.folder), limits, delivery.record_dropped)
    delivery.track(spool)
    token, directory_token = TokenFile(settings.manager.token_file), TokenFile(settings.directory.token_file)
    token.check_at_start()
    directory_token.read()
    pusher = Pusher(settings, spool, token, delivery.record, delivery.record_loop_failure)
    lister = ApiClient.connect(kubeconfig)  # its own connections and count of requests, apart from the watches
    threading.Thread(target=end_clients_at_stop, args=((api, lister), stop), name="end", daemon=True).start()
    try:
        selection = checked_selection(api, settings, ListLimits(stop.wait, stopped=stop.is_set))
    except StoppedError:
        return
    seconds = settings.data.collection_window_in_min * 60.0
    live = LiveDirectory(
        api,
        Directory(selection=selection, configured=configured),
        role_namespaces(settings),
        seconds,
        file=Path(settings.spool.folder) / "directory" / "intervals",
        metrics=DirectoryMetrics(registry),
    )
    live.start()
    orders = window_orders(settings, directory_token, registry)
    server = serve_directory(live, directory_token.read, settings.directory.listen, orders)
    serve_metrics(settings.metrics.listen, registry, lambda: live.unready or pusher.unready)
    done = threading.Event()
    # A daemon thread: a slow manager must not delay the collector's end.
    push = threading.Thread(target=pusher.run, args=(done,), name="push", daemon=True)
    push.start()
    try:
        collect_windows(lister, settings, spool, metrics, stop, live, now=now)
    finally:
        live.close()
        server.should_exit = True
        done.set()
        spool.wakeup.set()
        flush_and_report(pusher, push)
