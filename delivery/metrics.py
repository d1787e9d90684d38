"""The counters of spool and push; names as in docs/metrics.md."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from delivery.push import PushOutcome
from delivery.spool import Spool
from podsonar.logs_and_probes import start_at_zero

ENCODINGS = ("raw", "gzip")
DROPS = ("full", "expired", "rejected", "corrupt", "too_large")
OWN_CODES = ("error", "201", "400", "401", "403", "404", "413", "429")
FAILURES = (
    "tls_untrusted",
    "tls_expired",
    "tls_not_yet_valid",
    "tls_hostname",
    "tls_refused",
    "dns",
    "connect",
    "timeout",
    "transport",
    "token_invalid",
    "token_absent",
    "internal",
)
REFUSED = ("401", "403", "404")


def code_label(code: str) -> str:
    """The label of an outcome: the codes that mean something to an operator by themselves, the rest by class."""
    return code if code in OWN_CODES else f"{code[0]}xx"


def raw_bytes(payload: bytes) -> int:
    """How long a gzipped body is without gzip (RFC 1952: ISIZE, the last four bytes)."""
    return int.from_bytes(payload[-4:], "little")


class DeliveryMetrics:
    """Counters and gauges of one spool and its pusher."""

    def __init__(self, registry: CollectorRegistry, capacity_bytes: int) -> None:
        self.requests = Counter(
            "podsonar_push_requests_total", "Pushes by status code; error: no answer", ["code"], registry=registry
        )
        self.duration = Histogram("podsonar_push_request_duration_seconds", "How long pushes took", registry=registry)
        self.success = Gauge(
            "podsonar_push_last_success_timestamp_seconds", "When a batch was last stored", registry=registry
        )
        self.sent_bytes = Counter(
            "podsonar_push_bytes_total", "Bytes of bodies sent, before and after gzip", ["encoding"], registry=registry
        )
        self.retries = Counter("podsonar_push_retries_total", "Requests that sent a batch again", registry=registry)
        self.failures = Counter(
            "podsonar_push_failures_total", "Pushes without an answer, by reason", ["reason"], registry=registry
        )
        self.auth_ok = Gauge(
            "podsonar_push_auth_ok",
            "0 while the manager refuses the token or the token file holds none",
            registry=registry,
        )
        self.auth_ok.set(1)
        self.dropped = Counter(
            "podsonar_spool_dropped_batches_total", "Batches that will not be delivered", ["reason"], registry=registry
        )
        self.io_errors = Counter(
            "podsonar_spool_io_errors_total", "Times that the spool folder could not be used", registry=registry
        )
        self.batches = Gauge("podsonar_spool_batches", "Batches that wait", registry=registry)
        self.bytes = Gauge("podsonar_spool_bytes", "Bytes that wait", registry=registry)
        self.oldest = Gauge(
            "podsonar_spool_oldest_timestamp_seconds",
            "When the oldest waiting batch was made; 0: none waits",
            registry=registry,
        )
        Gauge("podsonar_spool_capacity_bytes", "Bytes that may wait", registry=registry).set(capacity_bytes)
        start_at_zero(self.requests, (*OWN_CODES, "5xx"))
        start_at_zero(self.sent_bytes, ENCODINGS)
        start_at_zero(self.failures, FAILURES)
        start_at_zero(self.dropped, DROPS)

    def record(self, outcome: PushOutcome) -> None:
        """Count one step of the pusher."""
        if outcome.reason == "spool_unusable":
            self.io_errors.inc()
        elif outcome.reason:
            self.failures.labels(outcome.reason).inc()
        if outcome.code == "201" or outcome.code in REFUSED or outcome.code == "token":
            self.auth_ok.set(outcome.code == "201")
        if not outcome.sent or outcome.batch is None:
            return
        self.requests.labels(code_label(outcome.code)).inc()
        self.duration.observe(outcome.seconds)
        self.sent_bytes.labels("gzip").inc(len(outcome.batch.payload))
        self.sent_bytes.labels("raw").inc(raw_bytes(outcome.batch.payload))
        self.retries.inc(outcome.again)
        if outcome.code == "201":
            self.success.set_to_current_time()

    def record_loop_failure(self, _loop: str) -> None:
        """Count one step of the pusher that ended by a defect."""
        self.failures.labels("internal").inc()

    def record_dropped(self, reason: str, _batch_id: str, _events: int) -> None:
        """Count one batch that will not be delivered."""
        self.dropped.labels(reason).inc()

    def track(self, spool: Spool) -> None:
        """Let the gauges follow the spool."""
        self.batches.set_function(lambda: spool.stats().batches)
        self.bytes.set_function(lambda: spool.stats().bytes)
        self.oldest.set_function(lambda: (spool.stats().oldest_ns or 0) / 1e9)
