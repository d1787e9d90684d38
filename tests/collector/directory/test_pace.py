"""Every loop of a reflector has a pace that an answer alone does not reset: it has to bring something."""

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import LONGEST_WAIT_SECONDS
from collector.k8s.kinds import WatchTarget
from directory.lookup import Directory
from podsonar.errors import ApiServerError, WatchRefusedError
from tests.collector.directory.followed_pods import PODS, pod
from tests.collector.scripted_api import ScriptedApi, bookmark, event

REQUESTS = 60


class CountedStop:
    """An event that waits in no time, notes how long it would have waited, and is set after so many requests."""

    def __init__(self, api: "OddApi") -> None:
        self.api = api
        self.waited: list[float] = []
        self.over = False

    def wait(self, seconds: float | None = None) -> bool:
        """Note a wait."""
        self.waited.append(seconds or 0.0)
        return self.is_set()

    def is_set(self) -> bool:
        """Whether it is over."""
        return self.over or self.api.requests >= REQUESTS or len(self.waited) >= REQUESTS

    def set(self) -> None:
        """End it."""
        self.over = True


class OddWatch:
    """A watch that has these lines and ends at once."""

    def __init__(self, steps: list[bytes | Exception]) -> None:
        self.steps = steps

    def lines(self) -> Iterator[bytes]:
        """Yield the lines."""
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step

    def cut(self) -> None:
        """Nothing is open."""


class OddApi(ScriptedApi):
    """Every watch is answered in the same odd way; `requests` counts them and the lists."""

    def __init__(self, steps: list[bytes | Exception] | Exception, *, watch_list: bool = False) -> None:
        super().__init__({"pods": [pod("web")]}, watch_list=watch_list)
        self.steps = steps
        self.requests = 0

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """Count it."""
        self.requests += 1
        return super().page(path, query)

    def watch(self, path: str, query: dict[str, str | int], seconds: int) -> Any:
        """Answer it in the odd way."""
        self.asked.append(query)
        if "sendInitialEvents" in query and not self.watch_list:
            raise WatchRefusedError("sendInitialEvents is forbidden for watch", 422)
        self.requests += 1
        if isinstance(self.steps, Exception):
            raise self.steps
        return OddWatch(self.steps)


GONE = orjson.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
STALE_EVENT = event("MODIFIED", pod("web"), "5")
NEW_EVENT = event("MODIFIED", pod("web"), "9")


@pytest.mark.parametrize(
    ("steps", "watch_list"),
    [
        ([], False),
        ([bookmark("7")], False),
        ([STALE_EVENT], False),
        ([NEW_EVENT], False),  # new once, and never again
        ([GONE], False),
        ([STALE_EVENT, GONE], False),
        ([NEW_EVENT, GONE], False),  # after each list
        ([b"<html>"], False),
        ([b'{"type":"BOOKMARK","object":{}}'], False),
        ([ApiServerError("cut")], False),
        ([event("ADDED", pod("web"))], True),  # a watch list without its end
        (WatchRefusedError("busy", 429, "0"), False),
        (WatchRefusedError("overloaded", 503), False),
        (WatchRefusedError("who", 401), False),
        (WatchRefusedError("no", 403), False),
        (WatchRefusedError("gone", 410), False),
    ],
)
def test_server_that_brings_nothing_is_asked_at_a_growing_pace(steps: Any, watch_list: bool) -> None:
    """The first seconds see a few requests, and after a minute there is one each 15 to 30 s."""
    api = OddApi(steps, watch_list=watch_list)
    live = LiveDirectory(api, Directory(), None, 60.0)
    reflector = live.reflectors["Pod"]
    stop = CountedStop(api)
    reflector.stop = stop  # type: ignore[assignment]
    reflector.run()
    assert len(stop.waited) >= api.requests // 3
    assert sum(stop.waited[:6]) >= 7  # at least half of 1, 2 and 4 s, by the pace of lists and by that of watches
    assert min(stop.waited[-5:]) >= LONGEST_WAIT_SECONDS / 2


def test_watch_that_brings_something_each_time_is_opened_again_at_once() -> None:
    """A server that ends each watch after one new change costs as many watches as there are changes."""

    class OneByOne(OddApi):
        def watch(self, path: str, query: dict[str, str | int], seconds: int) -> Any:
            """One new change."""
            if "sendInitialEvents" in query:
                return super().watch(path, query, seconds)
            self.requests += 1
            return OddWatch([event("MODIFIED", pod("web"), str(int(query["resourceVersion"]) + 1))])

    api = OneByOne([])
    live = LiveDirectory(api, Directory(), None, 60.0)
    stop = CountedStop(api)
    live.reflectors["Pod"].stop = stop  # type: ignore[assignment]
    live.reflectors["Pod"].run()
    assert (api.requests, stop.waited) == (REQUESTS, [])


def test_watch_list_that_never_ends_is_given_up_for_pages() -> None:
    """After three of them the kind is listed by pages."""
    api = OddApi([event("ADDED", pod("web"))], watch_list=True)
    live = LiveDirectory(api, Directory(), None, 60.0)
    live.reflectors["Pod"].stop = CountedStop(api)  # type: ignore[assignment]
    live.reflectors["Pod"].run()
    assert "Pod" in live.whole
    assert WatchTarget(PODS).name in live.through_ns


@pytest.mark.parametrize("version", ["6", "8"])
def test_probe_that_nothing_proves_leads_to_a_list_at_last(version: str) -> None:
    """A server whose bookmarks do not follow, or that answers from the past, is listed again, at a pace."""
    api = OddApi([])
    live = LiveDirectory(api, Directory(), None, 60.0)
    reflector = live.reflectors["Pod"]
    reflector.list_all()
    reflector.proof.received = "7"
    api.version = version
    reasons = []
    for _ in range(50):
        try:
            reflector.probe_for_short_watch()
        except ApiServerError as error:
            reasons.append(str(error))
            break
    assert reasons == [f"watch pods: nothing received proves {5 if version == '8' else 45} probes"]
    assert live.as_of_ns == 0


def test_slow_disk_delays_saves_and_no_request_for_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that takes long is followed by a pause 50 times as long; the watches are asked at every turn."""
    live = LiveDirectory(ScriptedApi(), Directory(), None, 60.0, expire_seconds=0.001)
    saves, requests = [0], [0]

    def slow_save() -> None:
        saves[0] += 1
        time.sleep(0.1)

    def count_request(_wanted_ns: int) -> None:
        requests[0] += 1

    monkeypatch.setattr(live, "save", slow_save)
    monkeypatch.setattr(live, "request_progress", count_request)
    for _ in range(20):
        live.maintain()
    assert (saves[0], requests[0]) == (1, 20)
