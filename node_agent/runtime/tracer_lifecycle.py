"""Loads a tracer ahead of each window, retries on failure, and keeps readiness up to date in between.

The first load compiles: half a second to three on an idle machine, a minute under a tight CPU limit; those behind it
take a tenth. So the program is loaded ahead of the window by twice the time of the last load, and by half of the lead
before at least: a machine that was busy once may be so again. If it cannot be loaded, the agent continues without it
(degraded, not restarted), reports why, and retries.
"""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from node_agent.capture.kernel_program import loader_client
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram
from node_agent.runtime import metrics
from podsonar.errors import PodsonarError, TracerError
from podsonar.model import Window
from podsonar.settings import AgentSettings
from podsonar.supervised import place_of
from podsonar.timestamp import NS_PER_SECOND

LOADER_SECONDS = 120.0
FIRST_LEAD_SECONDS = 10.0
SOCKET_ITERATORS = 2  # one read at each end of the window
ENDED_CAPACITY = 4096  # ends of older connections between two drains

log = structlog.get_logger()


def capacity(settings: AgentSettings) -> dict[str, int | str]:
    """Return the sizes of the BPF maps, in entries, and the method of attachment."""
    flows, volume = settings.node.flow_capacity, settings.data.volume
    return {
        "flows": flows,
        "accepted": flows,
        "pending": 2 * flows if volume else flows,  # connections that are open stay in it
        "recent": flows,
        "cgroups": settings.node.cgroup_capacity,
        "method": settings.node.method,
        "taskIterators": 2,  # one read at each end of the window
        "socketIterators": SOCKET_ITERATORS if volume else 1,
        "ended": ENDED_CAPACITY if volume else 0,
    }


class ClockMap(dict[int, int]):
    """Maps wall-clock to monotonic times, so that a window ends at the very nanosecond at which the next begins.

    The two clocks are read one after the other: computed twice, one time could differ by a millisecond.
    """

    KEPT = 4

    def __missing__(self, at_ns: int) -> int:
        while len(self) >= self.KEPT:
            del self[next(iter(self))]
        return self.setdefault(at_ns, at_ns - (time.time_ns() - time.monotonic_ns()))


def count_in(tracer: AttachedProgram, window: Window, clock_map: ClockMap) -> None:
    """Make the tracer count in the rest of the window."""
    tracer.count_during(max(clock_map[window.start_ns], time.monotonic_ns()), clock_map[window.end_ns])


def lead_after(took_seconds: float, lead_seconds: float) -> float:
    """How many seconds ahead the next program is loaded, after a load that took so long and began so far ahead."""
    return max(2 * took_seconds + 1, lead_seconds / 2)


class TracerLifecycle:
    """Loads tracers through the supervisor and records every attempt in `metrics`."""

    def __init__(
        self,
        settings: AgentSettings,
        supervisor: socket.socket,
        metrics: metrics.AgentMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.metrics = metrics
        self.clock = clock
        self.lead_seconds = FIRST_LEAD_SECONDS
        self.next_try = clock()
        self.ahead: Future[AttachedProgram | None] | None = None
        self.clock_map = ClockMap()

    def load(self, stop: threading.Event) -> AttachedProgram | None:
        """Return an attached program that counts nothing yet; None on failure, which readiness then reports."""
        began = self.clock()
        try:
            tracer, answer = loader_client.attach(self.supervisor, capacity(self.settings), LOADER_SECONDS, stop)
        except TracerError as error:
            self.record_failure(error)
            return None
        self.lead_seconds = lead_after(self.clock() - began, self.lead_seconds)
        log.info(
            "tracer_loaded",
            tracer=tracer.tracer,
            seconds=answer["seconds"],
            peak=answer["peakBytes"],
            compiled=answer["compiled"],
        )
        if refused := answer["socketIteratorError"]:
            log.warning("socket_iterator_refused", reason=refused)
        self.metrics.tracer_is_up(tracer.tracer, answer["headers"])
        return tracer

    def record_failure(self, error: TracerError) -> None:
        """Record why there is no tracer; re-raise the error if the settings require one."""
        self.next_try = self.clock() + self.settings.node.tracer_retry_seconds
        if error.reason == "stopped":
            return
        log.warning("tracer_unavailable", reason=error.reason, error=str(error))
        self.metrics.tracer_down(error.reason)
        if self.settings.node.require_tracer:
            raise error

    def start_load_ahead(self, window: Window, stop: threading.Event) -> None:
        """Start loading for a window that follows too closely to load in between."""
        self.ahead = Future()
        threading.Thread(target=self.load_ahead, args=(self.ahead, window, stop), name="load", daemon=True).start()

    def load_ahead(self, ahead: "Future[AttachedProgram | None]", window: Window, stop: threading.Event) -> None:
        """Set the tracer of a window, or the error, as the result of `ahead`."""
        try:
            stop.wait((window.start_ns - time.time_ns()) / NS_PER_SECOND - self.lead_seconds)
            tracer = None if stop.is_set() else self.load(stop)
            if tracer is not None:
                count_in(tracer, window, self.clock_map)
            ahead.set_result(tracer)
        except PodsonarError as error:
            ahead.set_exception(error)
        except Exception as error:  # noqa: BLE001 - the window that waits for it must go on
            self.metrics.record_loop_failure("load")
            log.error("load_failed", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
            ahead.set_result(None)

    def loaded_ahead(self) -> AttachedProgram | None:
        """Return the tracer loaded ahead; None if there is none."""
        ahead, self.ahead = self.ahead, None
        return ahead.result() if ahead else None

    def wait_for_window(self, window: Window, stop: threading.Event) -> AttachedProgram | None:
        """Wait for the window to begin; return a tracer, or None if there is none by then (or `stop` was set)."""
        tracer = self.loaded_ahead()
        if tracer is None:
            self.wait_for_lead(window, stop, stop)
        if tracer is None and not stop.is_set():
            tracer = self.load(stop)
        if tracer is not None and tracer.from_ns == 0:
            count_in(tracer, window, self.clock_map)
        left_seconds = (window.start_ns - time.time_ns()) / NS_PER_SECOND
        if left_seconds > 0:
            stop.wait(left_seconds)
        return tracer

    def wait_for_lead(self, window: Window, stop: threading.Event, news: threading.Event) -> None:
        """Wait until the window's program must be loaded, or until `news` is set, which `stop` sets, too."""
        while not news.is_set() and not stop.is_set():
            left_seconds = (window.start_ns - time.time_ns()) / NS_PER_SECOND
            if left_seconds <= self.lead_seconds:
                return
            until_try = self.next_try - self.clock()
            if self.metrics.reason is not None and until_try <= 0:
                self.check_loadable(stop)
            else:
                waits = until_try if self.metrics.reason is not None else left_seconds
                news.wait(min(left_seconds - self.lead_seconds, waits))

    def check_loadable(self, stop: threading.Event) -> None:
        """Load and detach at once, so that readiness is known before the first window."""
        tracer = self.load(stop)
        if tracer is not None:
            tracer.close()

    def load_during(self, window: Window, stop: threading.Event) -> AttachedProgram | None:
        """Retry loading until the window ends; return the tracer or None."""
        while not stop.is_set():
            left_seconds = (window.end_ns - time.time_ns()) / NS_PER_SECOND
            until_try = self.next_try - self.clock()
            if left_seconds <= 0:
                return None
            if until_try > 0:
                stop.wait(min(left_seconds, until_try))
                continue
            tracer = self.load(stop)
            if tracer is not None:
                count_in(tracer, window, self.clock_map)
                return tracer
        return None
