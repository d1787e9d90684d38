"""Every attempt that the kernel saw is in one place: delivered, lost, filtered, unresolved, dropped or pending."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from delivery.metrics import DeliveryMetrics
from delivery.push import Pusher
from manager.server import serving
from node_agent.capture.files.capture_queue import CaptureQueue
from node_agent.runtime.app import Shutdown, make_pusher, make_spool
from node_agent.runtime.metrics import AgentMetrics
from node_agent.runtime.tracer_lifecycle import TracerLifecycle
from node_agent.runtime.window_loop import AgentParts, capture_or_gap, resolve_queue, resolve_turn, store_capture
from podsonar.directory_answer import Answer, Query
from podsonar.errors import DirectoryUnavailableError
from podsonar.model import Capture, Window
from podsonar.settings import AgentSettings, ManagerEndpoint, NodeSettings, SpoolSettings
from podsonar.supervised import start_supervised
from tests.manager.fresh_database import migrated
from tests.node_agent import stages

DELIVERED, FILTERED, UNRESOLVED, LOST, AMBIGUOUS = 23, 19, 13, 7, 5
SEEN = DELIVERED + FILTERED + UNRESOLVED + LOST + AMBIGUOUS


def window(minute: int) -> Capture:
    """One window's capture: prime counts for each fate, one flow of IPv6."""
    flows = [
        stages.flow(7, "10.96.0.10", DELIVERED),
        stages.flow(9, "10.96.0.10", FILTERED, source="fd00::9"),
        stages.flow(404, "10.96.0.10", UNRESOLVED, source="10.244.9.9"),
        stages.flow(8, "10.244.0.7", AMBIGUOUS),
    ]
    start_ns = stages.START_NS + minute * 60 * stages.SECOND
    taken = stages.capture(flows, lost={"flows_full": LOST})
    return Capture(
        Window(start_ns, start_ns + 60 * stages.SECOND), *(getattr(taken, name) for name in taken.__slots__[1:])
    )


class ConservationRun:
    """A node agent's parts around a real manager; the directory answers only while `directory_is_there`."""

    def __init__(self, folder: Path, url: str, max_files: int) -> None:
        self.folder = folder
        self.directory_is_there = False
        settings = AgentSettings(
            manager=ManagerEndpoint(url=url, token_file=str(folder / "token")),
            spool=SpoolSettings(folder=str(folder / "spool"), max_files=max_files),
            node=NodeSettings(name="node-a"),
        )
        self.registry = CollectorRegistry()
        metrics = AgentMetrics(self.registry)
        delivery = DeliveryMetrics(self.registry, settings.spool.max_bytes)
        spool = make_spool(settings, delivery, metrics)
        self.pusher: Pusher = make_pusher(settings, spool, delivery, metrics)
        waiting = CaptureQueue(Path(settings.spool.folder), metrics.record_dropped)
        metrics.follow_pending(lambda: waiting.pending() + spool.stats().events)
        ours, self.theirs = socket.socketpair()
        self.ours = ours
        self.parts = AgentParts(settings, TracerLifecycle(settings, ours, metrics), spool, waiting, self.ask, metrics)

    def ask(self, queries: list[Query]) -> list[Answer]:
        """The directory."""
        if not self.directory_is_there:
            raise DirectoryUnavailableError("away")
        return [stages.directory(query) for query in queries]

    def counts(self) -> dict[str, float]:
        """Attempts by fate, as scraped; `seen` is the sum of the others, or this fails."""
        text = generate_latest(self.registry).decode()
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        totals: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("podsonar_node_agent_").removesuffix("_total")
                if sample.labels.get("side") == "destination":
                    name = "unresolved_destination"
                totals[name] = totals.get(name, 0) + sample.value
        names = {"delivered": "events_delivered", "lost": "events_lost", "filtered": "events_filtered"}
        names |= {"unresolved": "unresolved", "dropped": "events_dropped", "pending": "events_pending"}
        found = {fate: totals.get(name, 0) for fate, name in names.items()}
        assert totals.get("events", 0) == sum(found.values()), found
        return {fate: count for fate, count in found.items() if count}

    def close(self) -> None:
        """Let go of everything."""
        self.pusher.close()
        self.parts.spool.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ConservationRun]:
    """The parts and a manager that knows their token."""
    database = f"sqlite:///{tmp_path}/manager.db"
    (tmp_path / "token").write_text(migrated(database).token)
    with serving(database) as url:
        made = ConservationRun(tmp_path, url, getattr(request, "param", 10))
        yield made
        made.close()


def test_attempts_move_from_pending_to_their_outcome(lab: ConservationRun) -> None:
    """Seen at once; resolved when the directory is there; delivered when the manager has stored them."""
    store_capture(lab.parts, window(0))
    assert resolve_queue(lab.parts) is not None
    assert lab.counts() == {"lost": LOST, "pending": SEEN - LOST}
    lab.directory_is_there = True
    assert resolve_queue(lab.parts) is None
    resolved = {"lost": LOST, "filtered": FILTERED, "unresolved": UNRESOLVED}
    assert lab.counts() == {**resolved, "pending": DELIVERED + AMBIGUOUS}
    assert lab.pusher.flush(60)
    assert lab.counts() == {**resolved, "delivered": DELIVERED + AMBIGUOUS}


@pytest.mark.parametrize("lab", [1], indirect=True)
def test_dropped_attempts_are_counted_by_reason(lab: ConservationRun) -> None:
    """A spool with room for one batch drops the older; a capture that was damaged on disk is dropped whole."""
    lab.directory_is_there = True
    for minute in range(2):
        store_capture(lab.parts, window(minute))
    assert resolve_queue(lab.parts) is None
    assert lab.counts()["dropped"] == DELIVERED + AMBIGUOUS
    store_capture(lab.parts, window(2))
    (path,) = lab.parts.queue.paths()
    path.write_bytes(path.read_bytes()[:99])
    assert resolve_queue(lab.parts) is None
    counts = lab.counts()
    assert counts["dropped"] == DELIVERED + AMBIGUOUS + SEEN - LOST
    assert counts["pending"] == DELIVERED + AMBIGUOUS


def test_row_52_disk_that_takes_nothing_holds_captures_in_memory(lab: ConservationRun) -> None:
    """A folder that is gone loses nothing: the capture is pending in memory and written when the folder is back."""
    folder = lab.parts.queue.folder
    folder.rmdir()
    store_capture(lab.parts, window(0))
    assert lab.counts() == {"lost": LOST, "pending": SEEN - LOST}
    folder.mkdir()
    lab.directory_is_there = True
    assert resolve_queue(lab.parts) is None
    assert lab.pusher.flush(60)
    assert lab.counts()["delivered"] == DELIVERED + AMBIGUOUS


def test_crash_between_batch_and_capture_sends_the_window_once(lab: ConservationRun) -> None:
    """The capture is still there after its batch was spooled: the same batch id, so the manager stores one."""
    lab.directory_is_there = True
    store_capture(lab.parts, window(0))
    (path,) = lab.parts.queue.paths()
    content = path.read_bytes()
    assert resolve_queue(lab.parts) is None
    path.write_bytes(content)
    assert resolve_queue(lab.parts) is None
    assert lab.parts.spool.stats().batches == 1
    first = lab.parts.spool.oldest()
    assert lab.pusher.flush(60)
    path.write_bytes(content)
    assert resolve_queue(lab.parts) is None
    second = lab.parts.spool.oldest()
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert lab.pusher.step().code == "201"


def test_two_captures_of_one_window_are_both_kept(lab: ConservationRun) -> None:
    """An agent that was started again in its window does not replace what it saw before."""
    store_capture(lab.parts, window(0))
    store_capture(lab.parts, window(0))
    assert len(lab.parts.queue.paths()) == 2
    assert lab.counts() == {"lost": 2 * LOST, "pending": 2 * (SEEN - LOST)}


def test_resolving_and_observing_at_once_write_each_capture_once(lab: ConservationRun) -> None:
    """Two threads that find the disk usable again do not write what is held twice."""
    folder = lab.parts.queue.folder
    folder.rmdir()
    for minute in range(5):
        store_capture(lab.parts, window(minute))
    folder.mkdir()
    threads = [threading.Thread(target=lab.parts.queue.write_unwritten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lab.parts.queue.paths()) == 5
    assert lab.parts.queue.unwritten == []


def test_threads_that_wait_go_on_when_a_window_comes_and_end_when_woken(lab: ConservationRun) -> None:
    """Nothing wakes them but what they wait for: a capture is resolved, its batch sent, and both say what is left."""
    lab.directory_is_there = True
    ending = Shutdown(lab.parts.queue, lab.parts.spool, threading.Event(), windows_ended=True)
    idle, done = threading.Semaphore(0), threading.Event()
    lab.pusher.on_outcome = lambda outcome: idle.release() if outcome.code == "idle" else None
    threads = [
        start_supervised("resolve", lambda: resolve_turn(lab.parts, done, idle.release), done),
        start_supervised("push", lambda: lab.pusher.run(done), done),
    ]
    for _ in threads:
        idle.acquire()
    store_capture(lab.parts, window(0))
    while not ending.stop.is_set():
        idle.acquire()
        ending.on_idle()
    assert ending.undelivered() == (0, 0)
    done.set()
    lab.parts.queue.wakeup.set()
    lab.parts.spool.wakeup.set()
    for thread in threads:
        thread.join()


def test_capture_that_cannot_be_resolved_is_set_aside_and_the_next_one_is_resolved(lab: ConservationRun) -> None:
    """A defect that one capture triggers is counted once, its attempts are dropped as corrupt, and others go on."""
    lab.directory_is_there = True
    store_capture(lab.parts, window(0))
    store_capture(lab.parts, window(1))
    defects = iter([ZeroDivisionError("a defect")])

    def ask(queries: list[Query]) -> list[Answer]:
        if defect := next(defects, None):
            raise defect
        return lab.parts.ask(queries)

    assert resolve_queue(replace(lab.parts, ask=ask)) is None
    assert lab.counts()["dropped"] == SEEN - LOST
    assert lab.parts.spool.stats().batches == 1
    assert lab.registry.get_sample_value("podsonar_node_agent_loop_failures_total", {"loop": "resolve"}) == 1
    assert [path.suffix for path in lab.parts.queue.folder.iterdir()] == [".corrupt"]


def test_window_that_fails_by_a_defect_is_one_that_was_not_observed(lab: ConservationRun) -> None:
    """The loop of windows goes on: that window has no tracer and the gap internal_error."""

    class Broken:
        """A tracer whose tables cannot be read."""

        tracer, from_ns, until_ns = "bcc:raw_tracepoint", 0, 0

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is held."""

    now_ns = time.time_ns()
    span = Window(now_ns, now_ns + stages.SECOND)
    taken = capture_or_gap(lab.parts, span, Broken(), threading.Event())  # type: ignore[arg-type]
    assert (taken.tracer, taken.gap, taken.flows) == ("none", "internal_error", [])
    assert lab.registry.get_sample_value("podsonar_node_agent_loop_failures_total", {"loop": "windows"}) == 1
