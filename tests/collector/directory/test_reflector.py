"""collector/directory/reflector.py: how a kind is followed through every way in which a watch can end."""

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.directory import reflector
from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import Reflector
from podsonar.errors import ApiServerError, WatchRefusedError
from podsonar.timestamp import NS_PER_SECOND
from tests.collector.directory.followed_pods import followed as followed  # noqa: PLC0414 - a fixture
from tests.collector.directory.followed_pods import live_directory, names, pod, until
from tests.collector.directory.followed_pods import no_waiting as no_waiting  # noqa: PLC0414 - a fixture
from tests.collector.scripted_api import ScriptedApi, bookmark, event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"upstream timed out",
        b"[]",
        b'"text"',
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":null}',
        b'{"type":"NEWS","object":{"metadata":{"resourceVersion":"9"}}}',
        orjson.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}),
        orjson.dumps({"type": "ERROR", "object": {"code": 500, "message": "internal error"}}),
        WatchRefusedError("too old", 410),
        WatchRefusedError("invalid version", 400),
    ],
)
def test_watch_that_cannot_go_on_is_followed_by_a_list_that_keeps_the_intervals(
    line: bytes | Exception, followed: Callable[[LiveDirectory], Reflector]
) -> None:
    """410, an ERROR or what an intermediary writes: a new list; who is still there has had its address all the time."""
    now_ns = time.time_ns()
    stays = pod("stays", started_ns=now_ns - 600 * NS_PER_SECOND)
    restarted = pod("stays", started_ns=now_ns - NS_PER_SECOND)  # its container began again: no proof of before
    api = ScriptedApi({"pods": [stays]})
    live = live_directory(api)
    api.script.put(line if isinstance(line, WatchRefusedError) else [event("MODIFIED", stays), line])
    api.script.put([bookmark("9")])
    listed = live.list_completed

    def then_restarted(kind: Any) -> None:
        listed(kind)
        api.lists["pods"] = [restarted]

    live.list_completed = then_restarted  # type: ignore[method-assign]
    followed(live)
    until(lambda: live.metrics.lists.labels("Pod", "expired")._value.get() == 1 and len(api.asked) >= 4)
    assert names(live, now_ns - 300 * NS_PER_SECOND) == ["stays"]


def test_broken_watch_goes_on_from_its_last_version_without_a_list(
    followed: Callable[[LiveDirectory], Reflector],
) -> None:
    """A cut connection or a busy server costs no list: the next watch begins where this one stopped."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    api.script.put([event("ADDED", pod("a"), "21"), ApiServerError("cut")])
    api.script.put(WatchRefusedError("busy", 429, "0"))
    api.script.put(WatchRefusedError("overloaded", 503))
    api.script.put([bookmark("25")])
    followed(live)
    until(lambda: len(api.asked) == 6)
    assert [query["resourceVersion"] for query in api.asked] == ["", "7", "21", "21", "21", "25"]
    assert api.listed == 1
    assert live.metrics.cuts.labels("Pod")._value.get() == 1


def test_refused_token_is_read_again_and_the_watch_goes_on(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """A rotated token that the client has not noticed: 401 renews the identity, then tries again."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    for _ in range(2):
        api.script.put(WatchRefusedError("who are you", 401))
    api.script.put([bookmark("9")])
    followed(live)
    until(lambda: "Pod" in live.through_ns and len(api.asked) == 5)
    assert (api.renewed, api.listed) == (2, 1)


@pytest.mark.parametrize("refused", ["watch", "probe", "both"])
def test_right_that_is_away_for_a_moment_costs_no_list_and_no_memory(
    refused: str, followed: Callable[[LiveDirectory], Reflector]
) -> None:
    """A binding is deleted and made again: the watch goes on from its version, and what is outside stays so."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    reflector = followed(live)
    until(lambda: reflector.stream is not None and reflector.following)
    before = live.directory.unwatched["Pod"]
    api.script.put([event("ADDED", pod("a"), "21"), bookmark("25")])
    if refused != "probe":
        api.watch_status = 403
    if refused != "watch":
        api.list_status = 403
    reflector.request_progress()
    until(lambda: "Pod" in live.failures)
    api.list_status, api.watch_status, api.version = 200, 200, "25"
    until(lambda: reflector.proof.received == "25")
    assert {query["resourceVersion"] for query in api.asked[1:-1]} == {"7"}
    assert live.metrics.lists.labels("Pod", "expired")._value.get() == 0
    assert live.directory.unwatched["Pod"] == before
    assert len(live.directory.pods) == 1


def test_right_that_stays_away_leads_to_a_list(
    monkeypatch: pytest.MonkeyPatch, followed: Callable[[LiveDirectory], Reflector]
) -> None:
    """Then the list decides, and what it cannot name is not known any more."""
    monkeypatch.setattr(reflector, "FORBIDDEN_SECONDS", 0.0)
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    api.script.put(WatchRefusedError("no", 403))
    followed(live)
    until(lambda: live.metrics.lists.labels("Pod", "expired")._value.get() == 1 and len(api.asked) == 3)
    assert [query["resourceVersion"] for query in api.asked] == ["", "7", "7"]


def test_kind_that_we_may_not_list_does_not_hold_up_the_others(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """403 is an answer: the directory is ready without that kind, and reports why."""
    api = ScriptedApi()
    api.list_status = 403
    live = live_directory(api)
    followed(live)
    until(lambda: live.refusals == {"Pod": "forbidden"})
    assert live.failures["Pod"] == "list of pods: forbidden"
    assert not live.synced
