"""Scheduler come once, in UTC; the settings that cannot be listed are refused at the start."""

import datetime as dt
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from collector import app
from collector.app import checked_selection, collect
from collector.directory.live_directory import LiveDirectory
from collector.inventory.inventory import Inventory
from collector.inventory.metrics import InventoryMetrics
from collector.inventory.scheduler import Scheduler
from delivery.spool import Spool
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.errors import SettingsError
from podsonar.schedule import period_seconds
from podsonar.settings import CollectorSettings, Cron, Data, Kubernetes
from podsonar.timestamp import NS_PER_SECOND

START = int(dt.datetime(2026, 11, 24, 10, 0, tzinfo=dt.UTC).timestamp())


class SteppedClock:
    """A wall clock that moves when it is waited for, and jumps on command; replaces `time` and the event."""

    def __init__(self, begin: int = START) -> None:
        self.now_ns = begin * NS_PER_SECOND
        self.jumps: list[float] = []

    def __call__(self) -> int:
        """The time now."""
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Time goes by."""
        self.now_ns += int(seconds * NS_PER_SECOND)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait, and take the next jump of the clock."""
        self.advance(seconds or 0)
        if self.jumps:
            self.advance(self.jumps.pop(0))
        return False

    def is_set(self) -> bool:
        """The program is not asked to end."""
        return False


def windows(clock: SteppedClock, expression: str = "*/15 * * * *") -> tuple[Scheduler, CollectorRegistry]:
    """The windows of a schedule from 10:00 on, and their metrics."""
    registry = CollectorRegistry()
    stop: Any = clock
    return Scheduler(
        CollectorSettings(data=Data(cron=Cron(expression))), InventoryMetrics(registry), stop, clock
    ), registry


def skipped(registry: CollectorRegistry, reason: str) -> float:
    """How many windows were passed over for a reason."""
    return registry.get_sample_value("podsonar_collector_windows_skipped_total", {"reason": reason}) or 0


def test_windows_come_in_turn() -> None:
    """Each tick is one window, and none is missed where listing is quick."""
    clock = SteppedClock()
    found, registry = windows(clock)
    ids = []
    for _ in range(3):
        window = found.next()
        assert window is not None
        ids.append(window.id[11:16])
        clock.advance(60)
        found.mark_listed()
    assert ids == ["10:15", "10:30", "10:45"]
    assert (skipped(registry, "missed"), skipped(registry, "overlap")) == (0, 0)


def test_window_that_begins_while_one_is_listed_is_skipped_and_counted() -> None:
    """Listing for 40 minutes passes over two windows; they are not caught up with."""
    clock = SteppedClock()
    found, registry = windows(clock)
    assert found.next() is not None
    clock.advance(40 * 60)
    found.mark_listed()
    window = found.next()
    assert window is not None
    assert window.id[11:16] == "11:00"
    assert skipped(registry, "overlap") == 2


def test_row_54_clock_that_jumps_ahead_is_caught_up_with_once() -> None:
    """After a day's jump one window is listed, the newest, and the others are counted."""
    clock = SteppedClock()
    found, registry = windows(clock)
    clock.jumps = [86_400]
    window = found.next()
    assert window is not None
    assert window.id == "2026-11-25T10:00:00Z"
    assert skipped(registry, "missed") == 95
    after = found.next()
    assert after is not None
    assert after.id == "2026-11-25T10:15:00Z"


def test_row_54_clock_that_jumps_back_repeats_no_window() -> None:
    """An hour back: the windows that were taken do not come again, and no time is negative."""
    clock = SteppedClock()
    found, _ = windows(clock)
    first = found.next()
    assert first is not None
    found.mark_listed()
    clock.advance(-3600)
    second = found.next()
    assert second is not None
    assert (first.id[11:16], second.id[11:16]) == ("10:15", "10:30")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
def test_row_54_daylight_saving_changes_nothing(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """The zone of the machine does not matter: an hourly window comes 24 times on the day that has 25 hours, or 23."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for day in (dt.datetime(2026, 10, 24, 23, 30, tzinfo=dt.UTC), dt.datetime(2026, 3, 28, 23, 30, tzinfo=dt.UTC)):
            clock = SteppedClock(int(day.timestamp()))
            found, registry = windows(clock, "0 * * * *")
            starts = []
            for _ in range(24):
                window = found.next()
                assert window is not None
                starts.append(window.start_ns)
                found.mark_listed()
            assert {after - before for before, after in pairwise(starts)} == {3600 * NS_PER_SECOND}
            assert skipped(registry, "missed") == 0
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize(("expression", "seconds"), [("*/5 * * * *", 300), ("15 * * * *", 1800), ("0 3 * * *", 1800)])
def test_run_ends_with_its_period_or_after_half_an_hour(expression: str, seconds: int) -> None:
    """A list never runs into the next window, and never longer than 30 minutes."""
    found, _ = windows(SteppedClock(), expression)
    window = found.next()
    assert window is not None
    before = time.monotonic()
    end = found.limits(window).deadline
    assert before <= end - min(seconds, period_seconds(expression, window) - found.late_seconds) <= time.monotonic()


@pytest.mark.parametrize(("minutes", "longest"), [(1, 6), (2, 10), (14, 10)])
def test_lists_begin_soon_after_their_tick_and_not_all_at_once(minutes: int, longest: float) -> None:
    """Within ten seconds and a tenth of the window, each by chance; the windows themselves stay on their ticks."""
    clock = SteppedClock()
    stop: Any = clock
    settings = CollectorSettings(data=Data(collection_window_in_min=minutes, cron=Cron("*/15 * * * *")))
    found = Scheduler(settings, InventoryMetrics(CollectorRegistry()), stop, clock)
    late = []
    for _ in range(100):
        window = found.next()
        assert window is not None
        assert window.start_ns % (900 * NS_PER_SECOND) == 0
        late.append((clock() - window.start_ns) / NS_PER_SECOND)
        found.mark_listed()
    assert 0 <= min(late) < longest / 4
    assert longest * 3 / 4 < max(late) <= longest


def test_window_that_is_late_already_waits_no_longer() -> None:
    """What the machine slept through is listed at once: the wait counts from the tick."""
    clock = SteppedClock()
    found, _ = windows(clock)
    clock.jumps = [1200]
    window = found.next()
    assert window is not None
    assert clock() == window.start_ns + 315 * NS_PER_SECOND  # the first step of the wait is 15 s


class Namespaces:
    """Serves namespaces for a selector that it takes; refuses all others as the API server would."""

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """One namespace, or 400."""
        if path != "/api/v1/namespaces":
            return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7"}, "items": []})
        if query["labelSelector"] != "team=shop":
            return 400, None, b"{}"
        items = [{"metadata": {"name": "shop", "uid": "u"}}]
        return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7"}, "items": items})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (CollectorSettings(data=Data(namespace_selector="team in shop")), "namespaceSelector is 'team in shop'"),
        (
            CollectorSettings(
                data=Data(namespace_selector="team=shop"), kubernetes=Kubernetes(namespaced=True, namespace="a")
            ),
            "a Role cannot list namespaces",
        ),
        (CollectorSettings(kubernetes=Kubernetes(namespaced=True)), "namespaced is true without a namespace"),
    ],
)
def test_settings_that_cannot_be_listed_are_refused(settings: CollectorSettings, said: str) -> None:
    """A selector that the API server does not take, or one that Roles cannot serve, stops the program with the key."""
    source: Any = Namespaces()
    with pytest.raises(SettingsError, match=said):
        checked_selection(source, settings)


def test_selection_is_known_before_the_first_window_and_follows_each(tmp_path: Path) -> None:
    """Sources outside the selected namespaces are left out from the start, and each window selects anew."""
    source: Any = Namespaces()
    settings = CollectorSettings(data=Data(namespace_selector="team=shop"))
    selection = checked_selection(source, settings)
    assert selection.namespace("bank") == "namespace_not_observed"
    assert selection.namespace("shop") is None
    live = LiveDirectory(source, Directory(Selection.of(settings, frozenset())), None, 60.0)
    spool = Spool(tmp_path)
    window = app.window_now(settings)
    collect(Inventory(source, settings, window, Selection.of(settings)), spool, live)
    assert live.directory.selection.selected == {"shop"}
    assert spool.stats().batches == 1
    spool.close()


def test_stop_while_waiting_ends_the_windows() -> None:
    """SIGTERM between windows ends the program at once."""
    stop = threading.Event()
    stop.set()
    found = Scheduler(CollectorSettings(), InventoryMetrics(CollectorRegistry()), stop)
    assert found.next() is None
