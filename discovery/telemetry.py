"""Logs on stderr and the metrics port, the same for collector and node agent."""

import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from discovery.errors import SettingsError
from discovery.push import Outcome
from discovery.spool import Spool

disable_created_metrics()  # type: ignore[no-untyped-call]


def start_logs(level: str, form: str) -> None:
    """Log to stderr as text or JSON lines; control characters are escaped by both."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise SettingsError(f"setting log.level is {level!r}, expected debug, info, warning or error")
    if form not in ("text", "json"):
        raise SettingsError(f"setting log.format is {form!r}, expected text or json")
    last = structlog.processors.JSONRenderer() if form == "json" else structlog.processors.LogfmtRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class DeliveryMetrics:
    """What spool and push count, with the names of docs/metrics.md."""

    def __init__(self, registry: CollectorRegistry, capacity_bytes: int) -> None:
        self.requests = Counter("podsonar_push_requests_total", "Pushes by status code", ["code"], registry=registry)
        self.success = Gauge(
            "podsonar_push_last_success_timestamp_seconds", "When a batch was last stored", registry=registry
        )
        self.dropped = Counter(
            "podsonar_spool_dropped_batches_total", "Batches that will not be delivered", ["reason"], registry=registry
        )
        self.batches = Gauge("podsonar_spool_batches", "Batches that wait", registry=registry)
        self.bytes = Gauge("podsonar_spool_bytes", "Bytes that wait", registry=registry)
        Gauge("podsonar_spool_capacity_bytes", "Bytes that may wait", registry=registry).set(capacity_bytes)

    def told(self, outcome: Outcome) -> None:
        """Count one step of the pusher."""
        if outcome.code != "idle":
            self.requests.labels(outcome.code).inc()
        if outcome.code == "201":
            self.success.set_to_current_time()

    def lost(self, reason: str, _batch_id: str) -> None:
        """Count one batch that will not be delivered."""
        self.dropped.labels(reason).inc()

    def watch(self, spool: Spool) -> None:
        """Let the gauges follow the spool."""
        self.batches.set_function(lambda: spool.stats().batches)
        self.bytes.set_function(lambda: spool.stats().bytes)


def listen_address(setting: str, listen: str) -> tuple[str, int]:
    """Host and port of `host:port`; SettingsError otherwise."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise SettingsError(f"setting {setting} is {listen!r}, expected host:port such as 0.0.0.0:9464")
    return host.strip("[]"), int(port)


def serve_metrics(listen: str, registry: CollectorRegistry, unready: Callable[[], str | None]) -> None:
    """Serve /metrics, /livez and /readyz (503 with the reason while `unready` gives one) from a thread."""
    if not listen:
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reason = unready()
            answers = {
                "/metrics": (200, generate_latest(registry)),
                "/livez": (200, b"ok\n"),
                "/readyz": (503, f"{reason}\n".encode()) if reason else (200, b"ok\n"),
            }
            status, body = answers.get(self.path, (404, b"expected /metrics, /livez or /readyz\n"))
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: scrapes are no news."""

    server = ThreadingHTTPServer(listen_address("metrics.listen", listen), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
