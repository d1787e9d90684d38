"""Windows on order among those of the schedule: which one comes next, and what becomes of each that was ordered.

The schedule comes first: an order that overlaps one of its windows, or another order, is refused here as the collector
refuses it; so is one that comes when its time has begun, or when the window behind it is being prepared. Each is
counted and named once. The windows that come are one after the other, whatever is ordered when.
"""

import threading
from collections.abc import Callable, Sequence

import structlog

from podsonar.model import Window
from podsonar.window_orders import overlapping

TOO_LATE, OVERLAP, WITHDRAWN, MISSED = "too_late", "overlap", "withdrawn", "missed"

log = structlog.get_logger()

Scheduled = Callable[[int, int], Window | None]  # the first window of the schedule in a time


class OrderedWindows:
    """The next window of schedule and orders; `news` is set when that may have become another one.

    One thread takes orders, another one asks for windows.
    """

    def __init__(
        self,
        following: Callable[[int], Window],
        scheduled: Scheduled,
        count: Callable[[str], object] = lambda _reason: None,
    ) -> None:
        self.following, self.scheduled, self.count = following, scheduled, count
        self.waiting: list[Window] = []  # orders to come, oldest first
        self.decided: set[Window] = set()  # orders of the present list that began, or were refused
        self.committed: Window | None = None  # it is observed, or prepared: nothing may begin before its end
        self.news = threading.Event()
        self.lock = threading.Lock()

    def take(self, orders: Sequence[Window], now_ns: int) -> None:
        """Take the whole list of orders that are not over, in place of the one before."""
        with self.lock:
            before = self.waiting
            for window in before:
                if window not in orders:
                    self.refuse(window, WITHDRAWN)
            self.decided.intersection_update(orders)
            kept = [one for one in before if one in orders]
            for window in orders:
                if window in self.decided or window in kept:
                    continue
                reason = self.reason_against(window, kept, now_ns)
                if reason is None:
                    kept = sorted([*kept, window], key=lambda one: one.start_ns)
                else:
                    self.refuse(window, reason)
                    self.decided.add(window)
            self.waiting = kept
        if kept != before:
            log.info("windows_ordered", windows=[one.id for one in kept])
            self.news.set()

    def reason_against(self, window: Window, kept: Sequence[Window], now_ns: int) -> str | None:
        """Return why an order cannot be observed; None if it can."""
        if window.start_ns <= now_ns or (self.committed and window.start_ns < self.committed.end_ns):
            return TOO_LATE
        if overlapping(kept, window.start_ns, window.end_ns) or self.scheduled(window.start_ns, window.end_ns):
            return OVERLAP
        return None

    def refuse(self, window: Window, reason: str) -> None:
        """Count and name an order that is not observed."""
        self.count(reason)
        run = window.purpose.run if window.purpose else None
        log.warning("ordered_window_not_observed", window=window.id, run=run, reason=reason)

    def next(self, after_ns: int) -> Window:
        """Return the first window that starts at that time or later."""
        with self.lock:
            return self.first(after_ns)

    def first(self, after_ns: int) -> Window:
        """The same, under the lock; orders that began before are missed: the clock stepped, or the machine slept."""
        while self.waiting and self.waiting[0].start_ns < after_ns:
            missed = self.waiting.pop(0)
            self.refuse(missed, MISSED)
            self.decided.add(missed)
        scheduled = self.following(after_ns)
        return min([scheduled, *self.waiting[:1]], key=lambda one: one.start_ns)

    def is_committed(self, window: Window | None) -> bool:
        """Whether this is the window that was decided last."""
        return window is not None and window == self.committed

    def commit(self, window: Window, after_ns: int) -> bool:
        """Decide that this window is the next one after a time, or return False: by now another one is."""
        with self.lock:
            if self.first(after_ns) != window:
                return False
            self.decide(window)
            return True

    def commit_first(self, after_ns: int) -> Window:
        """Decide which window is the next one after a time."""
        with self.lock:
            window = self.first(after_ns)
            self.decide(window)
            return window

    def decide(self, window: Window) -> None:
        """Nothing that comes now can take the place of this window."""
        self.committed = window
        if self.waiting and self.waiting[0] == window:
            self.decided.add(self.waiting.pop(0))
