"""A runner orders its windows at a real collector's port; what it cannot have is a reason to inject nothing."""

from contextlib import closing
from typing import Any

import pytest

from chaos.runner.run_windows import NO_COLLECTOR, RunWindows
from chaos.runner.window_client import WindowClient
from collector.orders.order_book import OrderBook
from podsonar.timestamp import NS_PER_SECOND
from tests.answering_server import GivenAnswer, answering
from tests.chaos.runner.order_port import NOW_NS, TOKEN, SteppedClock, collector

SPEC = {"windows": {"seconds": 10, "baseline": 2, "recovery": 1}}


def task(seconds: str = "25") -> dict[str, Any]:
    """A task whose fault lasts so long."""
    env = [{"name": "TOTAL_CHAOS_DURATION", "value": seconds}, {"name": "RAMP_TIME", "value": ""}]
    return {"name": "one", "definition": {"chaos": {"experiment": "pod-delete", "env": env}}}


def test_windows_are_ordered_back_to_back_and_the_baseline_is_waited_for() -> None:
    """Two of baseline, as many of the fault as it lasts with its preparation, one of recovery."""
    with collector() as found:
        assert found.runner().before_group(SPEC, [task("5"), task()]) == ""
        assert found.windows() == [
            ("10:00:17", "baseline"),
            ("10:00:27", "baseline"),
            *((f"10:0{at // 60}:{at % 60:02d}", "fault") for at in range(37, 87, 10)),
            ("10:01:27", "recovery"),
        ]
        assert found.clock.now_ns == NOW_NS + 37 * NS_PER_SECOND


def test_next_group_is_observed_behind_the_recovery_of_the_one_before() -> None:
    """Its own baseline follows at once."""
    with collector() as found:
        runner = found.runner()
        assert runner.before_group(SPEC, [task()]) == ""
        assert runner.before_group(SPEC, [task()]) == ""
        assert found.windows()[8] == ("10:01:37", "baseline")
        assert found.clock.now_ns == NOW_NS + 117 * NS_PER_SECOND


def test_schedule_that_is_in_the_way_is_waited_for() -> None:
    """The hourly window of 10:15 is not cut: the order is the one behind it."""
    with collector() as found:
        found.clock.now_ns += 14 * 60 * NS_PER_SECOND
        assert found.runner().before_group(SPEC, [task()]) == ""
        assert found.windows()[0] == ("10:16:00", "baseline")


@pytest.mark.parametrize(
    ("cron", "listening", "token", "said"),
    [
        ("* * * * *", True, TOKEN, "answered 409: window 2026-11-24T10:00:17Z overlaps"),
        ("15 * * * *", False, TOKEN, "no agent waits for ordered windows: expected node.orders"),
        ("15 * * * *", True, "wrong", "answered 401: expected Authorization: Token"),
    ],
)
def test_collector_that_says_no_is_the_reason_to_inject_nothing(
    cron: str, listening: bool, token: str, said: str
) -> None:
    """A schedule without a gap, agents that do not listen, a token that is not theirs."""
    with collector(cron, listening=listening) as found:
        assert said in found.runner(token).before_group(SPEC, [task()])


def test_orders_that_were_lost_meanwhile_are_the_reason_to_inject_nothing() -> None:
    """The collector was started anew without its file: it does not know the run when the baseline is over."""
    with collector() as found:

        def lose() -> None:
            found.orders.book = OrderBook(lambda _start_ns, _end_ns: None, "another")

        found.clock.events.append((NOW_NS + 20 * NS_PER_SECOND, lose))
        why = found.runner().before_group(SPEC, [task()])
    assert "answered 404: no window of this run is known" in why


def test_windows_are_ordered_by_who_wants_them_only() -> None:
    """Without `spec.windows` nobody is asked; with it, and without a collector, nothing is injected."""
    clock = SteppedClock()
    assert RunWindows(None, "run-1", clock.wait, clock).before_group({}, [task()]) == ""
    assert RunWindows(None, "run-1", clock.wait, clock).before_group(SPEC, [task()]) == NO_COLLECTOR
    assert clock.now_ns == NOW_NS


@pytest.mark.parametrize("answer", [GivenAnswer(200, b"<html>"), GivenAnswer(502, b"<html>"), GivenAnswer(200, b"{}")])
def test_port_that_answers_something_else_is_tried_again_and_then_named(
    answer: GivenAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy, another program: its answer is no order that was taken."""
    monkeypatch.setattr("chaos.runner.run_windows.TRY_SECONDS", 0.2)
    clock = SteppedClock()
    with answering(lambda _request: answer) as url, closing(WindowClient(url, TOKEN)) as client:
        why = RunWindows(client, "run-1", clock.wait, clock).before_group(SPEC, [task()])
    assert f"answered {answer.status} without a collector's words" in why
    assert clock.now_ns > NOW_NS


def test_run_that_is_asked_to_stop_waits_for_nothing() -> None:
    """The wait for room, and for the baseline, ends with the run."""
    with collector() as found:
        stopped = RunWindows(found.client(), "run-1", lambda _seconds: True, found.clock)
        assert stopped.before_group(SPEC, [task()]) == ""
        assert found.clock.now_ns == NOW_NS
