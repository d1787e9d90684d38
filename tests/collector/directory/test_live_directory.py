"""collector/directory/live_directory.py: what it learns of controllers, and up to when everything is known."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import Reflector
from directory.interval import REPORT_NS
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Query
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.collector.directory.followed_pods import ADDRESS, SETTINGS, live_directory, names, owned, pod, until
from tests.collector.directory.followed_pods import followed as followed  # noqa: PLC0414 - a fixture
from tests.collector.directory.followed_pods import no_waiting as no_waiting  # noqa: PLC0414 - a fixture
from tests.collector.scripted_api import ScriptedApi, bookmark, event


def workload(directory: LiveDirectory, pod_uid: str) -> str | None:
    """The name of a pod's root workload."""
    found = directory.directory.answer(Query(pod_uid=pod_uid)).workload
    return f"{found['kind']}/{found['name']}" if found else None


def test_pod_has_its_root_workload_once_an_inventory_was_taken() -> None:
    """Controllers are not watched: the live directory learns them, and keeps those above known pods."""
    live = live_directory(ScriptedApi({"pods": [owned("web-1-x", "web-1", "ReplicaSet")]}))
    live.reflectors["Pod"].list_all()
    assert workload(live, "web-1-x") == "ReplicaSet/web-1"
    learned = Directory()
    for kind, obj in (
        ("ReplicaSet", owned("web-1", "web", "Deployment")),
        ("ReplicaSet", owned("old-1", "old", "Deployment")),
        ("Deployment", owned("web")),
        ("Deployment", owned("old")),
    ):
        learned.apply(kind, obj, 0)
    live.add_controllers(learned.controllers)
    assert workload(live, "web-1-x") == "Deployment/web"
    live.add_controllers({})
    assert workload(live, "web-1-x") == "Deployment/web"
    assert set(live.directory.controllers) == {"web-1", "web"}


def test_pod_gone_while_the_watch_was_down_ends_between_the_last_word_and_the_list() -> None:
    """Nobody knows when: it is certain up to the last word of it, and possible until the list."""
    now_ns = time.time_ns()
    api = ScriptedApi({"pods": [pod("former", started_ns=now_ns - 3600 * NS_PER_SECOND)]})
    live = live_directory(api)
    pods = live.reflectors["Pod"]
    pods.list_all()
    last_word_ns = now_ns - 60 * NS_PER_SECOND
    live.through_ns["Pod"] = last_word_ns
    api.lists["pods"] = []
    pods.list_all()
    (interval,) = live.directory.explain(ADDRESS)
    assert interval["sureTo"] == rfc3339(last_word_ns - REPORT_NS)
    assert interval["maybeTo"] >= rfc3339(now_ns)
    assert names(live, now_ns - 600 * NS_PER_SECOND, last_word_ns, now_ns) == ["former", None, None]


def test_everything_is_known_up_to_a_probe_once_its_version_is_received(
    followed: Callable[[LiveDirectory], Reflector],
) -> None:
    """When an event or bookmark is read proves nothing; that it is at or after the version of a probe does."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    reflector = followed(live)
    until(lambda: reflector.stream is not None and reflector.following)
    listed_ns = live.through_ns["Pod"]
    api.version = "20"
    api.script.put([event("ADDED", pod("a"), "10"), bookmark("19"), event("MODIFIED", pod("a"), "20")])
    proven: list[tuple[str, int]] = []
    advance = live.advance

    def seen_advance(target: Any, at_ns: int) -> None:
        proven.append((reflector.proof.received, at_ns))
        advance(target, at_ns)

    live.advance = seen_advance  # type: ignore[method-assign]
    before_ns = time.time_ns()
    reflector.request_progress()
    until(lambda: proven)
    (version, at_ns), *_ = proven
    assert version == "20"
    assert listed_ns < before_ns <= at_ns < time.time_ns()


@pytest.mark.parametrize("moved", [False, True])
def test_silent_watch_is_asked_how_far_it_has_come(moved: bool, followed: Callable[[LiveDirectory], Reflector]) -> None:
    """A version that nothing has moved proves that all is known; where it moved, a short watch's bookmark does."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    one = followed(live)
    until(lambda: one.stream is not None and one.following)
    api.version = "8" if moved else "7"
    if moved:
        api.script.put([bookmark("8")])
    asked_ns = time.time_ns()
    until(lambda: (one.request_progress(), live.through_ns["Pod"] >= asked_ns)[1])
    assert live.metrics.bookmarks.labels("Pod")._value.get() == (1 if moved else 0)


def test_past_is_dropped_on_a_timer() -> None:
    """A watch that never fails never lists again: what ended long ago goes all the same."""
    live = LiveDirectory(ScriptedApi(), Directory(Selection.of(SETTINGS)), None, 60.0, expire_seconds=0.01)
    live.directory.apply("Pod", owned("web-1-x"), 0)
    live.directory.delete("Pod", "web-1-x", 1)
    timer = threading.Thread(target=live.maintenance_loop)
    timer.start()
    until(lambda: not len(live.directory.pods))
    live.close()
    timer.join()
