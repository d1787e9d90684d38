"""The windows that were ordered: bounded, none over another, none over one of the schedule. Pure; time is an argument.

An order is taken as a whole or refused. Its windows are kept until a while after their end, so that whoever ordered
them can see that they are known; a process that has lost them does not know their run.
"""

from collections.abc import Callable
from typing import Literal

from collector.orders.order_request import Order
from podsonar.errors import InputError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from podsonar.window_orders import HORIZON_SECONDS, LEAD_SECONDS, MOST_WINDOWS, Orders, overlapping, soonest_start_ns

KEPT_NS = 900 * NS_PER_SECOND  # after its end
MOST_KEPT = 2 * MOST_WINDOWS  # those that are over among them

Scheduled = Callable[[int, int], Window | None]  # the first window of the schedule in a time
Outcome = Literal["ordered", "known"]


class OverlapError(Exception):
    """A window of the order has time in common with another one; from `next_free_ns` on there is room (None: never)."""

    def __init__(self, text: str, next_free_ns: int | None) -> None:
        super().__init__(text)
        self.next_free_ns = next_free_ns


class BookFullError(Exception):
    """There is no room for the order now."""


class OrderBook:
    """Ordered windows, oldest first. `revision` changes with every order, and differs from that of any other book."""

    def __init__(self, scheduled: Scheduled, epoch: str, windows: tuple[Window, ...] = ()) -> None:
        self.scheduled, self.epoch, self.number = scheduled, epoch, 0
        self.windows = windows

    @property
    def revision(self) -> str:
        """The name of the present state."""
        return f"{self.epoch}-{self.number}"

    def coming(self, now_ns: int) -> Orders:
        """The windows that are not over."""
        return Orders(self.revision, tuple(one for one in self.windows if one.end_ns > now_ns))

    def of_run(self, run: str) -> Orders:
        """The windows of a run, those that are over, too; none of a run that is not known (any more)."""
        return Orders(self.revision, tuple(one for one in self.windows if one.purpose and one.purpose.run == run))

    def order(self, order: Order, now_ns: int) -> Outcome:
        """Take an order; the same one again is `known`.

        InputError for one that begins too soon or ends too late, OverlapError, or BookFullError.
        """
        if set(order.windows) <= set(self.windows):
            return "known"
        check_times(order, now_ns)
        coming = self.coming(now_ns).windows
        if len(coming) + len(order.windows) > MOST_WINDOWS:
            raise BookFullError(
                f"{len(coming)} windows are ordered, and the order has {len(order.windows)}: "
                f"expected at most {MOST_WINDOWS} together"
            )
        for window in order.windows:
            other = overlapping(coming, window.start_ns, window.end_ns)
            in_schedule = other is None
            other = other or self.scheduled(window.start_ns, window.end_ns)
            if other is not None:
                whose = "of the schedule" if in_schedule else f"ordered by {other.purpose.run if other.purpose else ''}"
                text = f"window {window.id} overlaps {rfc3339(other.start_ns)} to {rfc3339(other.end_ns)}, {whose}"
                raise OverlapError(text, self.next_free_ns(order, now_ns))
        kept = [one for one in self.windows if one.end_ns > now_ns - KEPT_NS]
        kept += order.windows
        self.windows = tuple(sorted(kept, key=lambda one: one.start_ns)[-MOST_KEPT:])
        self.number += 1
        return "ordered"

    def next_free_ns(self, order: Order, now_ns: int) -> int | None:
        """The next time from which the order's whole length is free; None if there is none within the horizon."""
        length_ns = order.windows[-1].end_ns - order.windows[0].start_ns
        start_ns = max(soonest_start_ns(now_ns), order.windows[0].start_ns)
        while start_ns + length_ns <= now_ns + HORIZON_SECONDS * NS_PER_SECOND:
            end_ns = start_ns + length_ns
            other = overlapping(self.windows, start_ns, end_ns) or self.scheduled(start_ns, end_ns)
            if other is None:
                return start_ns
            start_ns = other.end_ns
        return None


def check_times(order: Order, now_ns: int) -> None:
    """InputError unless the order begins late enough for agents to hear of it, and ends within the horizon."""
    first, last = order.windows[0], order.windows[-1]
    if first.start_ns < now_ns + LEAD_SECONDS * NS_PER_SECOND:
        raise InputError(
            f"windows[0]: start is {rfc3339(first.start_ns)}, expected {LEAD_SECONDS} s from now or later: "
            f"it is {rfc3339(now_ns)}"
        )
    if last.start_ns > now_ns + HORIZON_SECONDS * NS_PER_SECOND:  # its end may be behind the year 9999
        raise InputError(
            f"windows[{len(order.windows) - 1}]: start is {rfc3339(last.start_ns)}, expected within {HORIZON_SECONDS} s"
            f": it is {rfc3339(now_ns)}"
        )
    if last.end_ns > now_ns + HORIZON_SECONDS * NS_PER_SECOND:
        raise InputError(
            f"windows[{len(order.windows) - 1}]: end is {rfc3339(last.end_ns)}, expected within {HORIZON_SECONDS} s: "
            f"it is {rfc3339(now_ns)}"
        )
