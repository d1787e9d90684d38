"""Gets the node agent a tracer in time for each window, and keeps the truth about having one between windows.

Loading takes half a second on an idle machine and a minute under a tight CPU limit, so the program is loaded ahead of
the window, by twice the time that the last load took, and told when the window begins and ends. Where it cannot be
loaded the agent goes on without (degraded, not restarted), says why, and tries again.
"""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from node_agent.capture import loader_client
from node_agent.capture.bpf_maps import AttachedProgram
from node_agent.runtime import metrics
from podsonar.errors import PodsonarError, TracerError
from podsonar.model import NS_PER_SECOND, Window
from podsonar.settings import AgentSettings

LOADER_SECONDS = 120.0
FIRST_LEAD_SECONDS = 10.0

log = structlog.get_logger()


def capacity(settings: AgentSettings) -> dict[str, int | str]:
    """Sizes of the kernel side's maps, in entries, and how to attach."""
    flows = settings.node.flow_capacity
    return {
        "flows": flows,
        "accepted": flows,
        "pending": flows,
        "recent": flows,
        "cgroups": settings.node.cgroup_capacity,
        "method": settings.node.method,
    }


class ClockMap(dict[int, int]):
    """Monotonic times by wall-clock time: the end of a window is the very nanosecond at which the next one begins.

    The two clocks are read one after the other; worked out twice, one moment could be a millisecond from itself.
    """

    KEPT = 4

    def __missing__(self, at_ns: int) -> int:
        while len(self) >= self.KEPT:
            del self[next(iter(self))]
        return self.setdefault(at_ns, at_ns - (time.time_ns() - time.monotonic_ns()))


def count_in(tracer: AttachedProgram, window: Window, moments: ClockMap) -> None:
    """Let the tracer count in what is left of the window."""
    tracer.count_during(max(moments[window.start_ns], time.monotonic_ns()), moments[window.end_ns])


class TracerLifecycle:
    """Loads tracers by the supervisor; `metrics` hears of every try."""

    def __init__(
        self,
        settings: AgentSettings,
        supervisor: socket.socket,
        metrics: metrics.Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.metrics = metrics
        self.clock = clock
        self.lead_seconds = FIRST_LEAD_SECONDS
        self.next_try = clock()
        self.ahead: Future[AttachedProgram | None] | None = None
        self.moments = ClockMap()

    def take(self, stop: threading.Event) -> AttachedProgram | None:
        """An attached program that counts nothing yet; None where there is none, which is then known to readiness."""
        began = self.clock()
        try:
            tracer, told = loader_client.attach(self.supervisor, capacity(self.settings), LOADER_SECONDS, stop)
        except TracerError as error:
            self.failed(error)
            return None
        self.lead_seconds = 2 * (self.clock() - began) + 1
        log.info("tracer_loaded", tracer=tracer.tracer, seconds=told["seconds"], peak=told["peakBytes"])
        self.metrics.tracer_is_up(tracer.tracer, told["headers"])
        return tracer

    def failed(self, error: TracerError) -> None:
        """Note why there is no tracer; TracerError again where the settings ask for one or nothing."""
        self.next_try = self.clock() + self.settings.node.tracer_retry_seconds
        if error.reason == "stopped":
            return
        log.warning("tracer_unavailable", reason=error.reason, error=str(error))
        self.metrics.tracer_down(error.reason)
        if self.settings.node.require_tracer:
            raise error

    def prepare(self, window: Window, stop: threading.Event) -> None:
        """Load for a window that follows so closely on this one that there is no time to do it in between."""
        self.ahead = Future()
        threading.Thread(target=self.load_ahead, args=(self.ahead, window, stop), name="load", daemon=True).start()

    def load_ahead(self, ahead: "Future[AttachedProgram | None]", window: Window, stop: threading.Event) -> None:
        """Give the tracer of a window to whoever waits for it; an error too."""
        try:
            stop.wait((window.start_ns - time.time_ns()) / NS_PER_SECOND - self.lead_seconds)
            tracer = None if stop.is_set() else self.take(stop)
            if tracer is not None:
                count_in(tracer, window, self.moments)
            ahead.set_result(tracer)
        except PodsonarError as error:
            ahead.set_exception(error)

    def prepared(self) -> AttachedProgram | None:
        """What was loaded ahead; None where nothing was."""
        ahead, self.ahead = self.ahead, None
        return ahead.result() if ahead else None

    def before(self, window: Window, stop: threading.Event) -> AttachedProgram | None:
        """A tracer when the window begins, or None where there is none by then (or `stop` was set)."""
        tracer = self.prepared()
        while tracer is None and not stop.is_set():
            left_seconds = (window.start_ns - time.time_ns()) / NS_PER_SECOND
            if left_seconds <= self.lead_seconds:
                break
            until_try = self.next_try - self.clock()
            if self.metrics.reason is not None and until_try <= 0:
                self.check(stop)
            else:
                waits = until_try if self.metrics.reason is not None else left_seconds
                stop.wait(min(left_seconds - self.lead_seconds, waits))
        if tracer is None and not stop.is_set():
            tracer = self.take(stop)
        if tracer is not None and tracer.from_ns == 0:
            count_in(tracer, window, self.moments)
        left_seconds = (window.start_ns - time.time_ns()) / NS_PER_SECOND
        if left_seconds > 0:
            stop.wait(left_seconds)
        return tracer

    def check(self, stop: threading.Event) -> None:
        """Load and let go, so that readiness tells before the first window whether it will be traced."""
        tracer = self.take(stop)
        if tracer is not None:
            tracer.close()

    def during(self, window: Window, stop: threading.Event) -> AttachedProgram | None:
        """A tracer in a window that began without one, tried for until the window ends; None where none came."""
        while not stop.is_set():
            left_seconds = (window.end_ns - time.time_ns()) / NS_PER_SECOND
            until_try = self.next_try - self.clock()
            if left_seconds <= 0:
                return None
            if until_try > 0:
                stop.wait(min(left_seconds, until_try))
                continue
            tracer = self.take(stop)
            if tracer is not None:
                count_in(tracer, window, self.moments)
                return tracer
        return None
