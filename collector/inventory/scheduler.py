"""Which window is listed next, in UTC: none twice, none while another is listed, at most one of those missed.

A window begins with its tick, its list a little later by chance: many clusters have the same schedule.
"""

import random
import threading
import time
from collections.abc import Callable

import structlog

from collector.inventory.metrics import InventoryMetrics
from collector.k8s.list_deadline import ListLimits
from podsonar.model import Window
from podsonar.schedule import due_window, next_window, period_seconds, ticks
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND

CLOCK_SECONDS = 15.0
RUN_SECONDS = 30 * 60.0
SPREAD_SECONDS, SPREAD_SHARE = 10.0, 0.1  # lists begin within this time of the tick, and within this share of a window

log = structlog.get_logger()


class Scheduler:
    """The windows of a schedule from the moment of its making on; those that are passed over are counted."""

    def __init__(
        self,
        settings: CollectorSettings,
        metrics: InventoryMetrics,
        stop: threading.Event,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.cron, self.minutes = settings.data.cron.expression, settings.data.collection_window_in_min
        self.metrics, self.stop, self.now_ns = metrics, stop, now_ns
        self.past_ns = now_ns()
        self.spread_seconds = min(SPREAD_SECONDS, SPREAD_SHARE * 60 * self.minutes)
        self.late_seconds = 0.0  # of the last window's list

    def next(self) -> Window | None:
        """The next window, once it has begun and its list may; None where the program is asked to end."""
        while True:
            upcoming = next_window(self.cron, self.minutes, self.past_ns + 1)
            self.metrics.next_run.set(upcoming.start_ns / NS_PER_SECOND)
            # In short steps: a wait does not see the wall clock jump.
            left = (upcoming.start_ns - self.now_ns()) / NS_PER_SECOND
            if self.stop.wait(min(max(0.0, left), CLOCK_SECONDS)):
                return None
            window, missed = due_window(self.cron, self.minutes, self.past_ns, self.now_ns())
            if window:
                self.count_skipped(missed, "missed")
                self.past_ns = window.start_ns
                return None if self.stopped_before_list(window) else window

    def stopped_before_list(self, window: Window) -> bool:
        """Wait until a moment by chance, not long after the tick; whether the program was asked to end meanwhile."""
        self.late_seconds = random.uniform(0, self.spread_seconds)  # noqa: S311 - no secret
        left = window.start_ns / NS_PER_SECOND + self.late_seconds - self.now_ns() / NS_PER_SECOND
        return left > 0 and self.stop.wait(min(left, self.late_seconds))  # the clock may jump back

    def mark_listed(self) -> None:
        """The window was listed: those that began meanwhile are passed over."""
        now_ns = self.now_ns()
        self.count_skipped(ticks(self.cron, self.past_ns, now_ns), "overlap")
        self.past_ns = max(self.past_ns, now_ns)

    def count_skipped(self, count: int, reason: str) -> None:
        """Count windows that are not listed."""
        if count:
            log.warning("windows_skipped", count=count, reason=reason)
            self.metrics.skipped.labels(reason).inc(count)

    def limits(self, window: Window) -> ListLimits:
        """The limits of a window's lists: the next window, half an hour, the program's end."""
        limit = min(period_seconds(self.cron, window) - self.late_seconds, RUN_SECONDS)
        return ListLimits(self.stop.wait, deadline=time.monotonic() + limit, stopped=self.stop.is_set)
