"""Which orders are taken: none over another window, of an order or the schedule, none too soon, too late, too many."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.orders.order_book import BookFullError, OrderBook, OverlapError
from collector.orders.order_request import Order, parse_order
from podsonar.errors import InputError
from podsonar.model import Window
from podsonar.schedule import overlapping_window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339, rfc3339
from podsonar.window_orders import HORIZON_SECONDS, KINDS, LEAD_SECONDS, MOST_WINDOWS

NOW_NS = parse_rfc3339("2026-11-24T10:00:00Z")
CRON, MINUTES = "15 * * * *", 2


def scheduled(start_ns: int, end_ns: int) -> Window | None:
    """The schedule of an agent as it is installed."""
    return overlapping_window(CRON, MINUTES, start_ns, end_ns)


def wanted(start: int, seconds: int = 10, kind: str = "fault") -> dict[str, Any]:
    """A window of an order that begins so many seconds from now."""
    return {"start": rfc3339(NOW_NS + start * NS_PER_SECOND), "seconds": seconds, "kind": kind}


def order(*windows: dict[str, Any], run: str = "run-1") -> Order:
    """The order of a request."""
    return parse_order(orjson.dumps({"run": run, "windows": windows}))


def book() -> OrderBook:
    """An empty book."""
    return OrderBook(scheduled, "epoch")


def ids(windows: tuple[Window, ...]) -> list[str]:
    """The times of windows, and what they are for."""
    return [f"{one.id[11:19]} {one.purpose.run} {one.purpose.kind}" for one in windows if one.purpose]


def test_windows_of_an_order_come_back_to_back_under_a_new_revision() -> None:
    """Three windows of a run: each is named by its second and says what it is for."""
    found = book()
    before = found.revision
    assert found.order(order(wanted(20, kind="baseline"), wanted(30), wanted(40, kind="recovery")), NOW_NS) == "ordered"
    assert ids(found.coming(NOW_NS).windows) == [
        "10:00:20 run-1 baseline",
        "10:00:30 run-1 fault",
        "10:00:40 run-1 recovery",
    ]
    assert found.revision != before


def test_the_same_order_again_is_known_and_changes_nothing() -> None:
    """The answer to an order may be lost: whoever asks again is told the same."""
    found, one = book(), order(wanted(20), wanted(30))
    found.order(one, NOW_NS)
    revision = found.revision
    assert found.order(one, NOW_NS + 60 * NS_PER_SECOND) == "known"
    assert found.revision == revision


def test_windows_that_are_over_leave_the_list_and_are_still_known_of_their_run() -> None:
    """Agents hear of what is to come; whoever ordered can see that nothing was lost."""
    found = book()
    found.order(order(wanted(20), wanted(30)), NOW_NS)
    later_ns = NOW_NS + 31 * NS_PER_SECOND
    assert ids(found.coming(later_ns).windows) == ["10:00:30 run-1 fault"]
    assert len(found.of_run("run-1").windows) == 2
    assert found.of_run("run-2").windows == ()


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (wanted(LEAD_SECONDS - 1), "windows[0]: start is 2026-11-24T10:00:14.000000Z, expected 15 s from now or later"),
        (wanted(HORIZON_SECONDS), "windows[0]: end is 2026-11-24T11:00:10.000000Z, expected within 3600 s"),
    ],
)
def test_order_that_begins_too_soon_or_ends_too_late_is_refused_by_name(window: Any, said: str) -> None:
    """The text has the value and what was expected."""
    with pytest.raises(InputError) as refused:
        book().order(order(window), NOW_NS)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("start", "free"),
    [
        (15 * 60 - 5, "10:17:00"),  # begins in front of the schedule's window, ends within it
        (16 * 60, "10:17:00"),  # lies within it
        (17 * 60 - 1, "10:17:00"),  # ends behind it
    ],
)
def test_order_over_a_window_of_the_schedule_is_refused_with_the_next_free_time(start: int, free: str) -> None:
    """The window of 10:15 ends at 10:17: from then on there is room."""
    with pytest.raises(OverlapError) as refused:
        book().order(order(wanted(start)), NOW_NS)
    assert "of the schedule" in str(refused.value)
    assert refused.value.next_free_ns is not None
    assert rfc3339(refused.value.next_free_ns)[11:19] == free


def test_order_up_to_a_window_of_the_schedule_is_taken() -> None:
    """Windows back to back have no time in common."""
    assert book().order(order(wanted(15 * 60 - 10), wanted(17 * 60)), NOW_NS) == "ordered"


def test_order_over_another_one_is_refused_whole_with_the_next_free_time() -> None:
    """Nothing of it is taken; the next free time has room for all of it, in front of the schedule's window."""
    found = book()
    found.order(order(wanted(20), wanted(30)), NOW_NS)
    with pytest.raises(OverlapError) as refused:
        found.order(order(wanted(20 - 3), wanted(35), run="run-2"), NOW_NS)
    assert "ordered by run-1" in str(refused.value)
    assert refused.value.next_free_ns == NOW_NS + 40 * NS_PER_SECOND
    assert len(found.coming(NOW_NS).windows) == 2


def test_order_where_nothing_is_free_has_no_next_free_time() -> None:
    """Where the schedule has no gap, no window can be ordered."""
    full = OrderBook(lambda start_ns, end_ns: overlapping_window("* * * * *", 1, start_ns, end_ns), "epoch")
    with pytest.raises(OverlapError) as refused:
        full.order(order(wanted(20)), NOW_NS)
    assert refused.value.next_free_ns is None


def test_order_beyond_the_most_windows_is_refused_until_some_are_over() -> None:
    """The list is bounded; what is over makes room."""
    found = book()
    found.order(order(*(wanted(20 + 5 * place, 5) for place in range(MOST_WINDOWS))), NOW_NS)
    with pytest.raises(BookFullError):
        found.order(order(wanted(20 * 60), run="run-2"), NOW_NS)
    assert found.order(order(wanted(20 * 60), run="run-2"), NOW_NS + 25 * NS_PER_SECOND) == "ordered"


steps = st.lists(
    st.tuples(
        st.integers(0, 90),  # seconds that go by in front of the order
        st.integers(15, 300),  # to its first window
        st.lists(st.tuples(st.integers(5, 60), st.integers(0, 20), st.sampled_from(KINDS)), min_size=1, max_size=6),
    ),
    max_size=25,
)


@given(
    steps,
    st.sampled_from(["15 * * * *", "*/2 * * * *", "*/5 * * * *", "0,30 * * * * *"]),
    st.sampled_from([0.25, 1, 2]),
)
def test_no_two_windows_of_book_and_schedule_ever_overlap(orders: Any, cron: str, minutes: float) -> None:
    """Whatever is ordered: what is taken is disjoint, clear of the schedule, and whole; what is free can be ordered."""
    found = OrderBook(lambda start_ns, end_ns: overlapping_window(cron, minutes, start_ns, end_ns), "epoch")
    now, taken = 0, 0
    for number, (passed, lead, lengths) in enumerate(orders):
        now += passed
        start, windows = now + lead, []
        for seconds, gap, kind in lengths:
            windows.append(wanted(start, seconds, kind))
            start += seconds + gap
        now_ns, one = NOW_NS + now * NS_PER_SECOND, order(*windows, run=f"run-{number}")
        try:
            found.order(one, now_ns)
        except BookFullError:
            continue
        except OverlapError as error:
            if error.next_free_ns is None:
                continue
            shift_ns = error.next_free_ns - one.windows[0].start_ns
            moved = tuple(Window(w.start_ns + shift_ns, w.end_ns + shift_ns, w.purpose) for w in one.windows)
            one = Order(one.run, moved)
            assert found.order(one, now_ns) == "ordered"
        taken += len(one.windows)
        assert set(one.windows) <= set(found.of_run(one.run).windows)
        for before, after in pairwise(found.windows):
            assert before.end_ns <= after.start_ns
        for window in one.windows:
            assert overlapping_window(cron, minutes, window.start_ns, window.end_ns) is None
    assert len(found.windows) <= taken
