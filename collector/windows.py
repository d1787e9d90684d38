"""Which window is listed next, in UTC: none twice, none while another is listed, at most one of those missed."""

import threading
import time
from collections.abc import Callable

import structlog

from collector.run import Run
from collector.telemetry import Metrics
from discovery.records import NS_PER_SECOND, Window
from discovery.settings import CollectorSettings
from discovery.window import due_window, next_window, period_seconds, ticks

CLOCK_SECONDS = 15.0
RUN_SECONDS = 30 * 60.0

log = structlog.get_logger()


class Windows:
    """The windows of a schedule from the moment of its making on; those that are passed over are counted."""

    def __init__(
        self,
        settings: CollectorSettings,
        metrics: Metrics,
        stop: threading.Event,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.cron, self.minutes = settings.data.cron.expression, settings.data.collection_window_in_min
        self.metrics, self.stop, self.now_ns = metrics, stop, now_ns
        self.past_ns = now_ns()

    def next(self) -> Window | None:
        """The next window, once it has begun; None where the program is asked to end."""
        while True:
            upcoming = next_window(self.cron, self.minutes, self.past_ns + 1)
            self.metrics.next_run.set(upcoming.start_ns / NS_PER_SECOND)
            # In short steps: a wait does not see the wall clock jump.
            left = (upcoming.start_ns - self.now_ns()) / NS_PER_SECOND
            if self.stop.wait(min(max(0.0, left), CLOCK_SECONDS)):
                return None
            window, missed = due_window(self.cron, self.minutes, self.past_ns, self.now_ns())
            if window:
                self.pass_over(missed, "missed")
                self.past_ns = window.start_ns
                return window

    def done(self) -> None:
        """The window was listed: those that began meanwhile are passed over."""
        now_ns = self.now_ns()
        self.pass_over(ticks(self.cron, self.past_ns, now_ns), "overlap")
        self.past_ns = max(self.past_ns, now_ns)

    def pass_over(self, count: int, reason: str) -> None:
        """Count windows that are not listed."""
        if count:
            log.warning("windows_skipped", count=count, reason=reason)
            self.metrics.skipped.labels(reason).inc(count)

    def run(self, window: Window) -> Run:
        """What bounds a window's lists: the next window, half an hour, the program's end."""
        limit = min(period_seconds(self.cron, window), RUN_SECONDS)
        return Run(self.stop.wait, deadline=time.monotonic() + limit, stopped=self.stop.is_set)
