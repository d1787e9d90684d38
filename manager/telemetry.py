"""The manager's metrics; no labels that grow with the cluster."""

from prometheus_client import CollectorRegistry, Counter, generate_latest

from manager.store_batches import Receipt
from manager.wire import ConnectionsBatch, InventoryPart


class Telemetry:
    """One registry a manager, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "podsonar_manager_ingest_requests_total", "Pushes by status code", ["code"], registry=self.registry
        )
        self.batches = Counter(
            "podsonar_manager_batches_total", "Batches by kind and result", ["kind", "result"], registry=self.registry
        )
        self.connections = Counter(
            "podsonar_manager_connections_total", "Connection records stored", registry=self.registry
        )

    def count_batch(self, batch: ConnectionsBatch | InventoryPart, receipt: Receipt) -> None:
        """Count one answered batch."""
        kind = "connections" if isinstance(batch, ConnectionsBatch) else "inventory"
        result = "duplicate" if receipt.duplicate else "stale" if receipt.stale else "stored"
        self.batches.labels(kind, result).inc()
        if isinstance(batch, ConnectionsBatch) and receipt.stored:
            self.connections.inc(len(batch.connections))

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes, without `_created` series."""
        lines = generate_latest(self.registry).splitlines(keepends=True)
        return b"".join(line for line in lines if b"_created" not in line)
