"""Schedule and orders together: windows come one after the other, and of each order is known what became of it."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.runtime.ordered_windows import MISSED, OVERLAP, TOO_LATE, WITHDRAWN, OrderedWindows
from podsonar.model import Purpose, Window
from podsonar.schedule import next_window, overlapping_window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

NOW_NS = parse_rfc3339("2026-11-24T10:00:00Z")
CRON, MINUTES = "15 * * * *", 2.0


def at(seconds: float) -> int:
    """A time so many seconds from now."""
    return NOW_NS + int(seconds * NS_PER_SECOND)


def ordered(start: int, seconds: int = 10) -> Window:
    """A window on order."""
    return Window(at(start), at(start + seconds), Purpose("run-1", "fault"))


def schedule(
    reasons: Counter[str] | None = None, cron: str = CRON, minutes: float = MINUTES
) -> tuple[OrderedWindows, Counter[str]]:
    """The windows of an agent with this schedule, and how many orders were refused by reason."""
    counted: Counter[str] = Counter() if reasons is None else reasons
    made = OrderedWindows(
        lambda after_ns: next_window(cron, minutes, after_ns),
        lambda start_ns, end_ns: overlapping_window(cron, minutes, start_ns, end_ns),
        lambda reason: counted.update([reason]),
    )
    return made, counted


def test_ordered_windows_come_before_the_schedules_next_one() -> None:
    """Back to back as they were ordered, then the usual one at its own time; all are told as news once."""
    windows, refused = schedule()
    assert not windows.news.is_set()
    windows.take([ordered(20), ordered(30)], at(0))
    assert windows.news.is_set()
    found, after_ns = [], at(0)
    for _ in range(3):
        window = windows.next(after_ns)
        assert windows.commit(window, after_ns)
        found.append(window)
        after_ns = window.end_ns
    assert found == [ordered(20), ordered(30), Window(at(900), at(1020))]
    assert not refused


def test_list_that_comes_again_is_no_news() -> None:
    """Nobody is woken, and nothing is counted twice."""
    windows, refused = schedule()
    orders = [ordered(20), ordered(895)]
    for _ in range(3):
        windows.take(orders, at(0))
    windows.news.clear()
    windows.take(orders, at(0))
    assert not windows.news.is_set()
    assert refused == {OVERLAP: 1}


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        (ordered(0), TOO_LATE),
        (ordered(-5), TOO_LATE),
        (ordered(895), OVERLAP),  # ends within the schedule's window
        (ordered(1019), OVERLAP),
        (ordered(905), OVERLAP),
    ],
)
def test_order_that_cannot_be_observed_is_counted_and_leaves_the_schedule_alone(window: Window, reason: str) -> None:
    """Never a wrong window: the schedule's window is the next one, whole."""
    windows, refused = schedule()
    windows.take([window], at(0))
    assert refused == {reason: 1}
    assert windows.next(at(0)) == Window(at(900), at(1020))
    assert not windows.news.is_set()


def test_order_that_overlaps_another_one_is_refused_alone() -> None:
    """The earlier order stays."""
    windows, refused = schedule()
    windows.take([ordered(20), ordered(25)], at(0))
    assert refused == {OVERLAP: 1}
    assert windows.next(at(0)) == ordered(20)


def test_order_before_the_end_of_the_window_that_is_prepared_is_too_late() -> None:
    """The program of the next window is being loaded: nothing takes its place any more."""
    windows, refused = schedule()
    assert windows.commit(windows.next(at(0)), at(0))
    windows.take([ordered(800)], at(780))
    assert refused == {TOO_LATE: 1}


def test_order_that_comes_before_the_decision_changes_it() -> None:
    """Between asking and deciding an earlier window was ordered: ask again."""
    windows, _ = schedule()
    usual = windows.next(at(0))
    windows.take([ordered(20)], at(0))
    assert not windows.commit(usual, at(0))
    assert windows.commit_first(at(0)) == ordered(20)


def test_order_that_is_gone_from_the_list_is_withdrawn() -> None:
    """A collector that lost it tells whoever ordered; no agent observes it."""
    windows, refused = schedule()
    windows.take([ordered(20)], at(0))
    windows.news.clear()
    windows.take([], at(1))
    assert refused == {WITHDRAWN: 1}
    assert windows.news.is_set()
    assert windows.next(at(0)) == Window(at(900), at(1020))


def test_order_that_was_slept_over_is_missed() -> None:
    """The machine slept, or its clock was set: what is past does not come."""
    windows, refused = schedule()
    windows.take([ordered(20), ordered(30)], at(0))
    assert windows.next(at(25)) == ordered(30)
    assert refused == {MISSED: 1}


def shifted(window: Window, by_ns: int) -> Window:
    """The window at a later time."""
    return Window(window.start_ns + by_ns, window.end_ns + by_ns, window.purpose)


starts = st.integers(-30, 900)
lists = st.lists(st.tuples(starts, st.integers(5, 60)), max_size=8)
crons = st.sampled_from([("15 * * * *", 2.0), ("*/2 * * * *", 1.0), ("*/5 * * * *", 0.25), ("0,30 * * * * *", 0.25)])


@given(crons, st.lists(st.tuples(lists, st.booleans(), st.booleans()), max_size=30), st.data())
def test_windows_never_overlap_and_no_order_is_lost_without_a_word(cron: Any, turns: Any, data: Any) -> None:
    """Whatever is ordered, withdrawn or comes at any moment.

    What is decided is disjoint and in order; every window of the schedule comes, as without orders; each order is
    either decided, or refused with exactly one reason, or still to come.
    """
    reasons: Counter[str] = Counter()
    windows, _ = schedule(reasons, *cron)
    after_ns, now_ns = at(0), at(0)
    taken: list[Window] = []
    heard: set[Window] = set()
    present: list[Window] = []
    for orders, keeps, loads_ahead in turns:
        window = windows.next(after_ns)
        if data.draw(st.booleans()):
            now_ns += data.draw(st.integers(0, max(0, window.start_ns - now_ns)))
            new = [
                Window(now_ns + s * NS_PER_SECOND, now_ns + (s + n) * NS_PER_SECOND, Purpose("r", "fault"))
                for s, n in orders
            ]
            new = [one for one in new if one not in heard]  # what was withdrawn is not ordered again
            present = [*(present if keeps else []), *new]
            heard.update(present)
            windows.take(present, now_ns)
        if loads_ahead:
            window = windows.commit_first(after_ns)
        elif not windows.commit(window, after_ns):
            continue
        taken.append(window)
        now_ns = max(now_ns, window.start_ns)
        after_ns = window.end_ns
    for before, after in pairwise(taken):
        assert before.end_ns <= after.start_ns
    usual, chain_ns = [], at(0)
    for _ in range(sum(one.purpose is None for one in taken)):
        usual.append(next_window(*cron, chain_ns))
        chain_ns = usual[-1].end_ns
    assert [one for one in taken if one.purpose is None] == usual
    decided = {one for one in taken if one.purpose}
    assert decided <= heard
    assert len(heard) == len(decided) + reasons.total() + len(windows.waiting)
