"""Metrics of windows on order; names as in docs/metrics.md."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from podsonar.logs_and_probes import start_at_zero

RESULTS = ("ordered", "known", "overlap", "invalid", "full")


class OrderMetrics:
    """Orders by what became of them, and how many windows and requests wait."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "podsonar_directory"
        self.orders = Counter(
            f"{prefix}_window_orders_total", "Orders of windows by what became of them", ["result"], registry=registry
        )
        self.windows = Gauge(f"{prefix}_ordered_windows", "Ordered windows that are not over", registry=registry)
        self.parked = Gauge(f"{prefix}_parked_requests", "Requests for ordered windows that wait", registry=registry)
        start_at_zero(self.orders, RESULTS)

    def count(self, result: str) -> None:
        """Count an order."""
        self.orders.labels(result).inc()

    def follow(self, parked: Callable[[], int], windows: Callable[[], int]) -> None:
        """Make the gauges read their values at each scrape."""
        self.parked.set_function(parked)
        self.windows.set_function(windows)
