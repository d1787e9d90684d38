"""The Linux agent's metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from podsonar.logs_and_probes import set_build_info, start_at_zero

RUNGS = ("G1", "G2", "G3", "G4", "ended")
RESULTS = ("Completed", "Completed_With_Probe_Failure", "Error", "Stopped")
DROPPED = ("refused",)


class LinuxAgentMetrics:
    """One registry per agent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        set_build_info(self.registry, "linux-agent")
        self.requests = Counter(
            "podsonar_linux_agent_requests_total", "Requests to the manager by status", ["code"], registry=self.registry
        )
        self.released = Counter(
            "podsonar_linux_agent_released_total", "Faults that ended, by rung", ["by"], registry=self.registry
        )
        self.tasks = Counter(
            "podsonar_linux_agent_tasks_total",
            "Tasks by their result's status",
            ["status"],
            registry=self.registry,
        )
        self.dropped = Counter(
            "podsonar_linux_agent_results_dropped_total",
            "Results that the manager will never take, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.logs_refused = Counter(
            "podsonar_linux_agent_log_requests_refused_total",
            "Requests with log lines that the manager refused; their text is in the result",
            registry=self.registry,
        )
        self.waiting = Gauge(
            "podsonar_linux_agent_results_waiting", "Results that the manager has not taken yet", registry=self.registry
        )
        self.oldest = Gauge(
            "podsonar_linux_agent_oldest_result_seconds",
            "Age of the oldest result that waits; 0 without one",
            registry=self.registry,
        )
        self.is_running = Gauge("podsonar_linux_agent_task_running", "1 while a task runs", registry=self.registry)
        start_at_zero(self.released, RUNGS)
        start_at_zero(self.tasks, RESULTS)
        start_at_zero(self.dropped, DROPPED)
