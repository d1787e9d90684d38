"""The log service's metrics, in the manager's registry."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from manager.store.logs.streams import Appended
from podsonar.logs_and_probes import start_at_zero

RESULTS = ("kept", "duplicate", "conflicting", "not_kept")
REFUSALS = ("no_token", "wrong_token", "wrong_stream", "too_many")


class LogMetrics:
    """Counters of lines, requests and refusals; the gauge of open tails."""

    def __init__(self, registry: CollectorRegistry, tails: Callable[[], float]) -> None:
        self.lines = Counter("podsonar_manager_log_lines_total", "Log lines by result", ["result"], registry=registry)
        self.requests = Counter(
            "podsonar_manager_log_requests_total", "Requests to the log service by status", ["code"], registry=registry
        )
        self.refused = Counter(
            "podsonar_manager_log_auth_failures_total", "Requests refused by reason", ["reason"], registry=registry
        )
        self.implicit_opens = Counter(
            "podsonar_manager_log_implicit_opens_total",
            "Streams that lines came for although they were not open",
            registry=registry,
        )
        self.tails = Gauge("podsonar_manager_log_tails", "Tails that are open", registry=registry)
        self.tails.set_function(tails)
        start_at_zero(self.lines, RESULTS)
        start_at_zero(self.refused, REFUSALS)

    def count(self, appended: Appended) -> None:
        """Count the lines of one request."""
        for result in RESULTS:
            self.lines.labels(result).inc(getattr(appended, result))
        self.implicit_opens.inc(appended.opened)
