"""Metrics of the directory and its server; names as in docs/metrics.md."""

import time
from collections import Counter as Counted
from collections.abc import Iterable
from typing import Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collector.directory.snapshot_file import ReadResult
from collector.k8s.kinds import WATCHED
from directory.lookup import Directory
from podsonar.directory_answer import Answer, OwnerKind
from podsonar.logs_and_probes import start_at_zero
from podsonar.timestamp import NS_PER_SECOND

SAVES = ("written", "too_large", "error")
PROBE_RESULTS = {"probe": "sent", "proven": "proven", "probe_failed": "failed"}
LOOPS = ("watch", "maintenance")
REJECTIONS = ("no_identity", "unexpected")


class GaugedDirectory(Protocol):
    """The directory that the gauges read: `collector.directory.live_directory.LiveDirectory`."""

    directory: Directory

    @property
    def as_of_ns(self) -> int:
        """The moment until which everything is known."""


class DirectoryMetrics:
    """Counters and gauges of the directory and its server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "podsonar_directory"
        self.objects = Gauge(f"{prefix}_objects", "Objects known, the lately gone too", ["kind"], registry=registry)
        self.addresses = Gauge(f"{prefix}_addresses", "Addresses that someone has or had", registry=registry)
        self.age = Gauge(f"{prefix}_age_seconds", "Since when not everything is known", registry=registry)
        self.lists = Counter(f"{prefix}_lists_total", "Lists by reason", ["kind", "reason"], registry=registry)
        self.streamed = Counter(f"{prefix}_watch_lists_total", "Lists by watch list", ["kind"], registry=registry)
        self.watches = Counter(f"{prefix}_watches_total", "Watches begun", ["kind"], registry=registry)
        self.cuts = Counter(f"{prefix}_watches_cut_total", "Watches that broke", ["kind"], registry=registry)
        self.bookmarks = Counter(f"{prefix}_bookmarks_total", "Bookmarks seen", ["kind"], registry=registry)
        self.probes = Counter(
            f"{prefix}_probes_total",
            "Probes of how far a watch has come, and what became of them",
            ["kind", "result"],
            registry=registry,
        )
        self.rejected = Counter(
            f"{prefix}_rejected_objects_total", "Objects that could not be used", ["kind", "reason"], registry=registry
        )
        self.loop_failures = Counter(
            f"{prefix}_loop_failures_total", "Turns of a loop that failed", ["loop"], registry=registry
        )
        self.answers = Counter(f"{prefix}_answers_total", "Answers by kind", ["kind"], registry=registry)
        self.unsure = Counter(
            f"{prefix}_unsure_answers_total", "Ambiguous and unknown answers", ["kind", "reason"], registry=registry
        )
        self.requests = Counter(f"{prefix}_requests_total", "Requests by status", ["code"], registry=registry)
        self.seconds = Histogram(
            f"{prefix}_answer_seconds",
            "Time to answer one request, its wait for news left out",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
            registry=registry,
        )
        self.saves = Counter(f"{prefix}_saves_total", "Writes of the intervals file", ["result"], registry=registry)
        self.restores = Counter(
            f"{prefix}_restores_total", "Reads of the intervals file", ["result"], registry=registry
        )
        start_at_zero(self.answers, get_args(OwnerKind))
        start_at_zero(self.saves, SAVES)
        start_at_zero(self.loop_failures, LOOPS)
        start_at_zero(self.restores, get_args(ReadResult))
        for kind in WATCHED:
            for reason in REJECTIONS:
                self.rejected.labels(kind.name, reason)
            for result in PROBE_RESULTS.values():
                self.probes.labels(kind.name, result)

    def watch_directory(self, live: GaugedDirectory) -> None:
        """Make the gauges read a directory."""

        def addresses() -> int:  # of the directory of then: a restored one takes the first one's place
            return live.directory.known_addresses()

        self.addresses.set_function(addresses)
        self.objects.labels("Pod").set_function(lambda: len(live.directory.pods))
        self.objects.labels("Service").set_function(lambda: len(live.directory.services))
        self.objects.labels("Node").set_function(lambda: len(live.directory.nodes))
        self.age.set_function(lambda: time.time() - live.as_of_ns / NS_PER_SECOND)

    def count(self, kind: str, what: str) -> None:
        """Count a list (`list_<reason>`), a list that came as a watch list, a watch, its breaking, or a bookmark."""
        if what in PROBE_RESULTS:
            self.probes.labels(kind, PROBE_RESULTS[what]).inc()
            return
        if what == "loop_failed":
            self.count_loop_failure("watch")
            return
        named = {"watch": self.watches, "cut": self.cuts, "bookmark": self.bookmarks, "streamed": self.streamed}
        counter = named.get(what)
        if counter is not None:
            counter.labels(kind).inc()
        else:
            self.lists.labels(kind, what.removeprefix("list_")).inc()

    def count_loop_failure(self, loop: str) -> None:
        """Count a turn of a loop that failed."""
        self.loop_failures.labels(loop).inc()

    def count_answers(self, answers: Iterable[Answer]) -> None:
        """Count answers by kind, and those without an owner by reason."""
        counts = Counted((answer.kind, answer.reason) for answer in answers)
        for (kind, reason), count in counts.items():
            self.answers.labels(kind).inc(count)
            if kind in ("Ambiguous", "Unknown"):
                self.unsure.labels(kind, reason).inc(count)

    def count_save(self, result: str) -> None:
        """Count one write of the file."""
        self.saves.labels(result).inc()

    def count_restore(self, result: str) -> None:
        """Count one read of the file."""
        self.restores.labels(result).inc()
