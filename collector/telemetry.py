"""The collector's metrics; names as in docs/metrics.md."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Counters and gauges of one collector."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runs = Counter("podsonar_collector_runs_total", "Inventories by result", ["result"], registry=registry)
        self.lists = Counter("podsonar_collector_list_total", "Lists by result", ["kind", "result"], registry=registry)
        self.duration = Histogram(
            "podsonar_collector_run_duration_seconds",
            "How long inventories took",
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=registry,
        )
        self.objects = Gauge("podsonar_collector_objects", "Objects in the last list", ["kind"], registry=registry)
        self.success = Gauge(
            "podsonar_collector_last_success_timestamp_seconds", "Last complete list", ["kind"], registry=registry
        )
        self.next_run = Gauge(
            "podsonar_collector_next_run_timestamp_seconds", "Start of the next window", registry=registry
        )

    def listed(self, kinds: Mapping[str, Mapping[str, Any]]) -> None:
        """Count one inventory."""
        tried = {name: kind for name, kind in kinds.items() if kind.get("reason") not in ("disabled", "namespaced")}
        complete = [name for name, kind in tried.items() if kind["complete"]]
        result = "success" if len(complete) == len(tried) else "partial" if complete else "error"
        self.runs.labels(result).inc()
        for name, kind in tried.items():
            self.lists.labels(name, "success" if kind["complete"] else "error").inc()
            if kind["complete"]:
                self.objects.labels(name).set(kind["count"])
                self.success.labels(name).set_to_current_time()
