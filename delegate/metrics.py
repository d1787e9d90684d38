"""Metrics of the delegate; names as in docs/metrics.md."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from podsonar.logs_and_probes import start_at_zero

STATUSES = ("SUCCESS", "FAILED", "REFUSED", "lost")
POLLS = ("task", "empty", "error")


class DelegateMetrics:
    """Counters of one delegate."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tasks = Counter("podsonar_delegate_tasks_total", "Tasks by their end", ["status"], registry=registry)
        self.polls = Counter("podsonar_delegate_polls_total", "Polls by result", ["result"], registry=registry)
        self.objects = Counter(
            "podsonar_delegate_objects_total", "Objects of tasks by result", ["result"], registry=registry
        )
        self.requests = Gauge(
            "podsonar_delegate_api_requests", "Requests made to the API server so far", registry=registry
        )
        self.last_poll = Gauge(
            "podsonar_delegate_last_poll_timestamp_seconds", "Last poll that the manager answered", registry=registry
        )
        self.log_lines = Counter(
            "podsonar_delegate_log_lines_total", "Lines of tasks' logs by result", ["result"], registry=registry
        )
        start_at_zero(self.log_lines, ("sent", "refused", "dropped"))
        start_at_zero(self.tasks, STATUSES)
        start_at_zero(self.polls, POLLS)
        start_at_zero(self.objects, ("absent", "created", "configured", "unchanged", "deleted", "failed", "refused"))
