"""The manager's metrics; no labels that grow with the cluster."""

import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from manager.maintenance_loops import LOOPS
from manager.schema.push_schema import ConnectionsBatch, InventoryPart
from manager.store.agents import last_pushes
from manager.store.batches.sequences import count_missing
from manager.store.batches.writes import Receipt
from manager.store.database import Store
from podsonar.errors import StoreError
from podsonar.logs_and_probes import set_build_info, start_at_zero
from podsonar.timestamp import NS_PER_SECOND

RESULTS = ("stored", "duplicate", "stale", "rejected")
DIRECTIONS = ("future", "past")
REJECTIONS = ("no_identity", "malformed", "too_large")
CLEANED_PARTS = ("member", "character")
REFUSALS = ("no_token", "wrong_token", "agent_gone", "too_many")
ARRIVALS = ("new", "late", "known", "conflict", "invalid", "absent")
QUOTAS = ("batches_per_minute", "bytes_per_minute", "bytes_per_day")
EDGE_CHANGES = ("new", "failed", "gone")
TASK_KINDS = ("apply", "delete")
STALE_SECONDS = 3 * 3600  # three windows of the default schedule


class ManagerMetrics:
    """One registry a manager, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        set_build_info(self.registry, "manager")
        self.requests = Counter(
            "podsonar_manager_ingest_requests_total", "Pushes by status code", ["code"], registry=self.registry
        )
        self.batches = Counter(
            "podsonar_manager_ingest_batches_total", "Batches by result", ["result"], registry=self.registry
        )
        self.auth_failures = Counter(
            "podsonar_manager_auth_failures_total", "Pushes refused by reason", ["reason"], registry=self.registry
        )
        self.agents = Gauge(
            "podsonar_manager_agents",
            "Agents by state; stale: nothing pushed for three hours",
            ["state"],
            registry=self.registry,
        )
        self.transactions = Histogram(
            "podsonar_manager_db_transaction_seconds",
            "Writing transactions, from begin to commit",
            registry=self.registry,
        )
        self.skewed = Counter(
            "podsonar_manager_skewed_total",
            "Batches whose window is more than ten minutes ahead of the manager's clock or a week behind it",
            ["direction"],
            registry=self.registry,
        )
        start_at_zero(self.batches, RESULTS)
        start_at_zero(self.auth_failures, REFUSALS)
        start_at_zero(self.skewed, DIRECTIONS)
        self.connections = Counter(
            "podsonar_manager_connections_total", "Connection records stored", registry=self.registry
        )

        self.objects_rejected = Counter(
            "podsonar_manager_objects_rejected_total",
            "Kubernetes objects of inventories that were not stored, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.cleaned = Counter(
            "podsonar_manager_cleaned_total",
            "Left out of stored batches: members of a type that no reader expects, characters that no text holds",
            ["part"],
            registry=self.registry,
        )
        self.sequences = Counter(
            "podsonar_manager_batch_sequences_total",
            "Batches by what their number says: new, late (one that was missing), known (sent again), conflict (another"
            " batch had the number), invalid, absent",
            ["arrival"],
            registry=self.registry,
        )
        self.missing = Gauge(
            "podsonar_manager_missing_batches",
            "Batches that senders have numbered and that have not come, while later ones have",
            registry=self.registry,
        )
        start_at_zero(self.sequences, ARRIVALS)
        self.quota_refusals = Counter(
            "podsonar_manager_quota_refusals_total",
            "Pushes refused because an agent has used its quota",
            ["quota"],
            registry=self.registry,
        )
        start_at_zero(self.quota_refusals, QUOTAS)
        self.edge_changes = Counter(
            "podsonar_manager_edge_changes_total",
            "Edges of kept windows: never seen before, with failed connects, gone although they would have been seen",
            ["change"],
            registry=self.registry,
        )
        self.windows_kept = Counter(
            "podsonar_manager_windows_kept_total",
            "Windows whose map was kept, each the newest of its cluster",
            registry=self.registry,
        )
        start_at_zero(self.edge_changes, EDGE_CHANGES)
        self.expired_tasks = Counter(
            "podsonar_manager_delegate_tasks_expired_total",
            "Tasks of delegates that ended EXPIRED: nobody asked for them within ten minutes",
            ["kind"],
            registry=self.registry,
        )
        start_at_zero(self.expired_tasks, TASK_KINDS)
        self.internal_errors = Counter(
            "podsonar_manager_internal_errors_total", "Requests answered 500", registry=self.registry
        )
        self.connections_refused = Counter(
            "podsonar_manager_connections_refused_total",
            "Connections closed at once, since too many were open in all or from one address",
            registry=self.registry,
        )
        self.loop_failures = Counter(
            "podsonar_manager_loop_failures_total",
            "Turns of maintenance that ended by a defect; the loop went on",
            ["loop"],
            registry=self.registry,
        )
        start_at_zero(self.loop_failures, LOOPS)
        start_at_zero(self.objects_rejected, REJECTIONS)
        start_at_zero(self.cleaned, CLEANED_PARTS)

    def count_batch(self, batch: ConnectionsBatch | InventoryPart, receipt: Receipt) -> None:
        """Count one answered batch."""
        self.sequences.labels(receipt.sequence).inc()
        if receipt.stored:
            for reason, number in batch.rejected.objects.items():
                self.objects_rejected.labels(reason).inc(number)
            self.cleaned.labels("member").inc(batch.rejected.members)
            self.cleaned.labels("character").inc(batch.rejected.characters)
        result = "duplicate" if receipt.duplicate else "stale" if receipt.stale else "stored"
        self.batches.labels(result).inc()
        if isinstance(batch, ConnectionsBatch) and receipt.stored:
            self.connections.inc(batch.connections.total)

    def count_window(self, new: int, failed: int, gone: int) -> None:
        """Count what the newest window of a cluster brought."""
        self.windows_kept.inc()
        for change, number in zip(EDGE_CHANGES, (new, failed, gone), strict=True):
            self.edge_changes.labels(change).inc(number)

    def count_expired_task(self, kind: str) -> None:
        """Count a task of a delegate for which nobody asked."""
        self.expired_tasks.labels(kind).inc()

    def follow_store(self, store: Store, clock: Callable[[], int]) -> None:
        """Let gauge and histogram follow the store."""
        store.on_transaction = self.transactions.observe

        def count(*, stale: bool) -> float:
            oldest_ns = clock() - STALE_SECONDS * NS_PER_SECOND
            try:
                return sum((last_ns < oldest_ns) == stale for last_ns in last_pushes(store))
            except StoreError:
                return math.nan  # not known now; every other metric is still reported

        def missing() -> float:
            try:
                return count_missing(store)
            except StoreError:
                return math.nan

        self.missing.set_function(missing)
        self.agents.labels("active").set_function(lambda: count(stale=False))
        self.agents.labels("stale").set_function(lambda: count(stale=True))

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes, without `_created` series."""
        lines = generate_latest(self.registry).splitlines(keepends=True)
        return b"".join(line for line in lines if b"_created" not in line)
