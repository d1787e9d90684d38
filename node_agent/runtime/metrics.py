"""The node agent's metrics and its readiness; names as in docs/metrics.md.

Conservation, in attempts: events = delivered + lost + filtered + unresolved (source) + dropped + pending.
"""

from collections.abc import Callable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from delivery.metrics import DROPS
from node_agent.attribution import filters
from node_agent.attribution.body.connections_body import ResolvedWindow
from node_agent.attribution.flow_decisions import HOLDER_UNKNOWN, SHARED_SOCKET, UNRESOLVED
from node_agent.capture.kernel_program.bpf_maps import Counts
from node_agent.capture.open_connections.proc_sockets import (
    DIRECTION,
    NO_TABLE,
    RECENT_FULL,
    SHARED,
    TIME_OVER,
    TOO_MANY,
)
from node_agent.capture.process_table import HIDDEN, PROC_UNREADABLE, PROCESS_UNREADABLE
from node_agent.capture.window_capture import ACCEPTED_LOST, INCOMPLETE, LOST, MISSED, OUTCOMES_LOST, UNSEEN
from podsonar.directory_answer import Exclusion
from podsonar.logs_and_probes import start_at_zero
from podsonar.model import Capture

STARTING = "starting"
FAMILIES = ("ipv4", "ipv6", "unknown")
SIDES = ("source", "destination")
OPENED_LEFT_OUT = (
    *(DIRECTION, RECENT_FULL, SHARED, SHARED_SOCKET, TOO_MANY, HOLDER_UNKNOWN),
    *(NO_TABLE, TIME_OVER, PROC_UNREADABLE, PROCESS_UNREADABLE, HIDDEN),
    *sorted(UNRESOLVED),
    *(*filters.RULES, *get_args(Exclusion)),
)
LOOPS = ("load", "orders", "push", "resolve", "windows")
ORDERED = ("reported", "too_late", "overlap", "withdrawn", "missed")


class AgentMetrics:
    """Counters and gauges of one node agent, in a registry of its own; `reason` is None while it can trace."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reason: str | None = STARTING
        self.tracer_up = Gauge(
            "podsonar_node_agent_tracer_up",
            "1 while windows can be traced",
            ["method", "headers_source"],
            registry=registry,
        )
        self.events = Counter(
            "podsonar_node_agent_events_total",
            "Connect attempts that the kernel saw; family unknown for those lost in it",
            ["family"],
            registry=registry,
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
            "podsonar_node_agent_unresolved_total",
            "Attempts whose source pod (left out) or destination (delivered so) is not certain",
            ["side"],
            registry=registry,
        )
        self.delivered = Counter(
            "podsonar_node_agent_events_delivered_total", "Attempts that the manager stored", registry=registry
        )
        self.dropped = Counter(
            "podsonar_node_agent_events_dropped_total",
            "Attempts that will not be delivered",
            ["reason"],
            registry=registry,
        )
        self.pending = Gauge(
            "podsonar_node_agent_events_pending", "Attempts that wait for directory or manager", registry=registry
        )
        self.connections = Gauge(
            "podsonar_node_agent_connections", "Distinct flows in the current window", registry=registry
        )
        self.loop_failures = Counter(
            "podsonar_node_agent_loop_failures_total",
            "Turns of a loop that ended by a defect; the loop went on",
            ["loop"],
            registry=registry,
        )
        self.incomplete = Counter(
            "podsonar_node_agent_incomplete_total",
            "What is known less well although no attempt is lost",
            ["reason"],
            registry=registry,
        )
        self.opened_left_out = Counter(
            "podsonar_node_agent_open_connections_left_out_total",
            "Connections from before a window that cannot be attributed, and pods or processes that could not be read",
            ["reason"],
            registry=registry,
        )
        self.ordered = Counter(
            "podsonar_node_agent_ordered_windows_total",
            "Windows on order by what became of them",
            ["result"],
            registry=registry,
        )
        start_at_zero(self.ordered, ORDERED)
        start_at_zero(self.incomplete, INCOMPLETE)
        start_at_zero(self.opened_left_out, OPENED_LEFT_OUT)
        start_at_zero(self.loop_failures, LOOPS)
        start_at_zero(self.events, FAMILIES)
        start_at_zero(self.lost, (*LOST, *ACCEPTED_LOST, *OUTCOMES_LOST, MISSED, *UNSEEN))
        start_at_zero(self.filtered, (*filters.RULES, *get_args(Exclusion)))
        start_at_zero(self.unresolved, SIDES)
        start_at_zero(self.dropped, (*DROPS, "io_error"))
        self.tracer_down(STARTING)

    def tracer_is_up(self, tracer: str, headers_source: str) -> None:
        """Record that windows can be traced, and how."""
        self.reason = None
        self.tracer_up.clear()
        self.tracer_up.labels(tracer.removeprefix("bcc:"), headers_source).set(1)

    def tracer_down(self, reason: str) -> None:
        """Record that there is no tracer, and why."""
        self.reason = reason
        self.tracer_up.clear()
        self.tracer_up.labels("none", "none").set(0)

    def follow_pending(self, pending: Callable[[], int]) -> None:
        """Make the pending gauge read its value from `pending` at each scrape."""
        self.pending.set_function(pending)

    def record_drain(self, counts: Counts) -> None:
        """Record the number of flows in the current window."""
        self.connections.set(len(counts.flows))

    def record_capture(self, capture: Capture) -> None:
        """Count one captured window, before it is resolved."""
        if capture.window.purpose:
            self.record_ordered("reported")
        self.connections.set(0)
        for flow in capture.flows:
            self.events.labels("ipv6" if ":" in flow.source else "ipv4").inc(flow.attempts)
        if capture.lost:
            self.events.labels("unknown").inc(sum(capture.lost.values()))
        missed = {MISSED: capture.missed_runs} if capture.missed_runs else {}
        for stage, count in {**capture.lost, **capture.accepted_lost, **capture.outcomes_lost, **missed}.items():
            self.lost.labels(stage).inc(count)
        for reason, count in capture.incomplete.items():
            self.incomplete.labels(reason).inc(count)
        for reason, count in (*capture.opened_left_out.items(), *capture.opened_not_read.items()):
            self.opened_left_out.labels(reason).inc(count)

    def record_ordered(self, result: str) -> None:
        """Count what became of a window on order."""
        self.ordered.labels(result).inc()

    def record_resolved(self, outcome: ResolvedWindow) -> None:
        """Count one resolved window."""
        for reason, count in outcome.observation["filtered"].items():
            self.filtered.labels(reason).inc(count)
        self.unresolved.labels("source").inc(sum(outcome.observation["unresolved"].values()))
        self.unresolved.labels("destination").inc(outcome.uncertain())
        for decision in outcome.group_decisions:
            if decision.opened_before and decision.reason:
                self.opened_left_out.labels(decision.reason).inc(decision.total("established"))

    def record_dropped(self, reason: str, attempts: int) -> None:
        """Count attempts that will not be delivered."""
        self.dropped.labels(reason).inc(attempts)

    def record_loop_failure(self, loop: str) -> None:
        """Count a turn of a loop that ended by a defect."""
        self.loop_failures.labels(loop).inc()
