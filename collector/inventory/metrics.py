"""Metrics of the inventory; names as in docs/metrics.md."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from podsonar.logs_and_probes import start_at_zero
from podsonar.object_identity import IDENTITY_FAULTS

RUNS = ("success", "partial", "error")
SKIPS = ("overlap", "missed")


class InventoryMetrics:
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
        self.skipped = Counter(
            "podsonar_collector_windows_skipped_total", "Windows that were not listed", ["reason"], registry=registry
        )
        self.redacted = Counter(
            "podsonar_collector_redacted_total", "Values that were redacted, by rule", ["rule"], registry=registry
        )
        self.rejected = Counter(
            "podsonar_collector_rejected_total", "Objects without an identity, left out", ["reason"], registry=registry
        )
        self.requests = Counter(
            "podsonar_collector_api_requests_total", "Requests made to the API server for lists", registry=registry
        )
        self.next_run = Gauge(
            "podsonar_collector_next_run_timestamp_seconds", "Start of the next window", registry=registry
        )
        start_at_zero(self.runs, RUNS)
        start_at_zero(self.skipped, SKIPS)
        start_at_zero(self.rejected, IDENTITY_FAULTS)

    def record_inventory(self, redacted: Mapping[str, int], rejected: Mapping[str, int], requests: int) -> None:
        """Count what one inventory redacted and left out, and its requests to the API server."""
        for rule, count in redacted.items():
            self.redacted.labels(rule).inc(count)
        for reason, count in rejected.items():
            self.rejected.labels(reason).inc(count)
        self.requests.inc(requests)

    def record_lists(self, kinds: Mapping[str, Mapping[str, Any]]) -> None:
        """Count one inventory."""
        tried = {name: kind for name, kind in kinds.items() if kind.get("reason") not in ("disabled", "namespaced")}
        complete = [name for name, kind in tried.items() if kind["complete"]]
        result = "success" if len(complete) == len(tried) else "partial" if complete else "error"
        self.runs.labels(result).inc()
        for name, kind in tried.items():
            for result_label in ("success", "error"):  # both: a kind's first failure is an increase
                self.lists.labels(name, result_label).inc(kind["complete"] is (result_label == "success"))
            if kind["complete"]:
                self.objects.labels(name).set(kind["count"])
                self.success.labels(name).set_to_current_time()
