"""The kept directory: what it learns of controllers, how it follows a kind through every way a watch can end."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.directory import reflector
from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import Reflector
from collector.k8s.kinds import WATCHED
from directory.interval import REPORT_NS
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Query
from podsonar.errors import ApiServerError, WatchRefusedError
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.collector.scripted_api import ScriptedApi, bookmark, event

PODS = next(kind for kind in WATCHED if kind.name == "Pod")
SETTINGS = CollectorSettings()
ADDRESS = "10.244.0.9"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once; how long they wait is no matter of these tests."""
    monkeypatch.setattr(reflector, "FIRST_WAIT_SECONDS", 0.001)


def owned(name: str, owner: str | None = None, owner_kind: str = "") -> dict[str, Any]:
    """An object under a controller; its uid is its name."""
    references = [{"kind": owner_kind, "name": owner, "uid": owner, "controller": True}] if owner else []
    meta = {"name": name, "uid": name, "namespace": "shop", "resourceVersion": "8", "ownerReferences": references}
    return {"metadata": meta}


def pod(name: str, address: str = ADDRESS, started_ns: int = 0) -> dict[str, Any]:
    """A running pod with a container that has run since a time."""
    state = {"running": {"startedAt": rfc3339(started_ns)}}
    status = {"podIP": address, "phase": "Running", "startTime": rfc3339(started_ns)}
    return {**owned(name), "status": {**status, "containerStatuses": [{"state": state}]}}


def live_directory(api: ScriptedApi, file: Path | None = None) -> LiveDirectory:
    """A directory of the cluster, not started."""
    return LiveDirectory(api, Directory(Selection.of(SETTINGS)), None, 60.0, file=file)


def until(seen: Callable[[], object]) -> None:
    """Return once it is so; fail after a minute."""
    deadline = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < deadline, "not seen within 60 s"
        time.sleep(0.005)


@pytest.fixture
def followed() -> Iterator[Callable[[LiveDirectory], Reflector]]:
    """Starts the follower of pods alone; it ends with the test."""
    started: list[tuple[Reflector, threading.Thread]] = []

    def start(live: LiveDirectory) -> Reflector:
        one = live.reflectors["Pod"]
        thread = threading.Thread(target=one.run)
        started.append((one, thread))
        thread.start()
        return one

    yield start
    for one, thread in started:
        one.end()
        thread.join(60)
        assert not thread.is_alive()


def names(live: LiveDirectory, *at_ns: int) -> list[str | None]:
    """Who is named for the address at each time."""
    return [answer.name for answer in live.answers([Query(ADDRESS, 80, when, when) for when in at_ns])]


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


def test_watch_list_is_taken_where_the_server_has_it(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """Every object in one stream, its end marked by the server; no list is made."""
    api = ScriptedApi(watch_list=True)
    live = live_directory(api)
    api.script.put([event("ADDED", pod("a")), event("ADDED", pod("b", "10.244.0.10")), bookmark("31", end=True)])
    followed(live)
    until(lambda: len(api.asked) == 2)
    assert (api.listed, len(live.directory.pods), api.asked[1]["resourceVersion"]) == (0, 2, "31")
    assert live.metrics.streamed.labels("Pod")._value.get() == 1


@pytest.mark.parametrize("said", [[bookmark("8")], [event("ADDED", pod("a")), bookmark("8")]])
def test_server_that_ignores_the_watch_list_request_is_listed_by_pages(
    said: list[bytes], followed: Callable[[LiveDirectory], Reflector]
) -> None:
    """An old server begins a plain watch: its first bookmark ends nothing, so nothing is taken as gone."""
    api = ScriptedApi({"pods": [pod("a"), pod("b", "10.244.0.10")]}, watch_list=True)
    live = live_directory(api)
    api.script.put(list(said))
    followed(live)
    until(lambda: live.whole == {"Pod"})
    assert (api.listed, len(live.directory.pods)) == (1, 2)


def test_watch_list_that_breaks_proves_no_absence(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """Half of the initial events and then nothing: the other half is not gone."""
    api = ScriptedApi(watch_list=True)
    live = live_directory(api)
    both = [event("ADDED", pod("a")), event("ADDED", pod("b", "10.244.0.10"))]
    api.script.put([*both, bookmark("31", end=True)])
    api.script.put(WatchRefusedError("too old", 410))
    api.script.put([both[0], ApiServerError("cut")])
    followed(live)
    until(lambda: len(api.asked) >= 4)
    assert live.directory.missing("Pod", set()) == ["a", "b"]


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
