"""The node agent's metrics and its readiness; names as in docs/metrics.md."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from node_agent.maps import Counts


class Metrics:
    """Counters and gauges of one node agent, in a registry of its own; `reason` is None while it can trace."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reason: str | None = None
        self.tracer_up = Gauge(
            "podsonar_node_agent_tracer_up", "1 while windows can be traced", ["method"], registry=registry
        )
        self.events = Counter(
            "podsonar_node_agent_events_total", "Connect attempts that the kernel saw", registry=registry
        )
        self.lost = Counter(
            "podsonar_node_agent_events_lost_total",
            "What the kernel side could not record",
            ["stage"],
            registry=registry,
        )
        self.filtered = Counter(
            "podsonar_node_agent_events_filtered_total", "Attempts left out by a rule", ["reason"], registry=registry
        )
        self.unresolved = Counter(
            "podsonar_node_agent_unresolved_total", "Attempts without a certain source pod", ["side"], registry=registry
        )
        self.connections = Gauge(
            "podsonar_node_agent_connections", "Distinct flows in the current window", registry=registry
        )

    def tracer_is_up(self, tracer: str) -> None:
        """Note that a window is being traced."""
        self.reason = None
        self.tracer_up.clear()
        self.tracer_up.labels(tracer.removeprefix("bcc:")).set(1)

    def tracer_down(self, reason: str) -> None:
        """Note that there is no tracer, and why."""
        self.reason = reason
        self.tracer_up.clear()
        self.tracer_up.labels("none").set(0)

    def drained(self, counts: Counts) -> None:
        """Note how many flows the window has by now."""
        self.connections.set(len(counts.flows))

    def resolved(self, observation: Mapping[str, Any]) -> None:
        """Add one finished window."""
        self.events.inc(observation["attempts"])
        missed = {"program_missed": observation["missedRuns"]} if observation["missedRuns"] else {}
        for stage, count in {**observation["lost"], **observation["accepted"]["lost"], **missed}.items():
            self.lost.labels(stage).inc(count)
        for reason, count in observation["filtered"].items():
            self.filtered.labels(reason).inc(count)
        self.unresolved.labels("source").inc(sum(observation["unresolved"].values()))
