"""No object ends a watch: what cannot be used is counted, its kind is not whole, and readiness follows progress."""

import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.directory import live_directory as live_directory_module
from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import Reflector
from collector.directory.watch_events import WatchEvent
from collector.k8s.kinds import WATCHED, WatchTarget
from directory.interval import FOREVER
from directory.lookup import Directory
from podsonar.directory_answer import Query
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.collector.directory.followed_pods import PODS, followed, live_directory, names, no_waiting, pod, until
from tests.collector.scripted_api import ScriptedApi, bookmark, event

__all__ = ["followed", "no_waiting"]
TARGET = WatchTarget(PODS)
CENTURIES = 20_000_000_000  # seconds


def deleted(grace: Any, when: Any = None) -> dict[str, Any]:
    """A pod that is being deleted."""
    obj = pod("long", "10.244.0.9", time.time_ns() - 3600 * NS_PER_SECOND)
    obj["metadata"] |= {"deletionTimestamp": when or rfc3339(time.time_ns()), "deletionGracePeriodSeconds": grace}
    return obj


@pytest.mark.parametrize(
    "odd",
    [
        deleted(CENTURIES),
        deleted(-1),
        deleted("30"),
        deleted(True),
        deleted(None, 7),
        deleted(30, "9999-12-31T23:59:59Z"),
        deleted(30, "0001-01-01T00:00:00+23:59"),
        {**pod("a"), "status": {"podIP": "10.244.0.9", "podIPs": [None, 7, {"ip": None}, {"ip": ["x"]}]}},
        {**pod("a"), "status": "Running"},
        {**pod("a"), "spec": []},
        {"metadata": {"name": "a", "namespace": "shop"}},
        {"metadata": {"uid": "a"}},
        {"metadata": {"uid": 7, "name": "a"}},
        {"metadata": {"uid": "a", "name": "a", "ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}},
        {"metadata": {"uid": "a", "name": "a", "ownerReferences": {"controller": True}}},
        {"metadata": {"uid": "a", "name": "a", "annotations": ["kubernetes.io/config.hash"]}},
        {"metadata": {"uid": "a", "name": "a", "creationTimestamp": "9999-99-99T99:99:99Z"}},
        {"metadata": []},
        {},
    ],
)
def test_watch_goes_on_after_any_object(odd: dict[str, Any], followed: Callable[[LiveDirectory], Reflector]) -> None:
    """The next event of the same watch is taken, and the thread lives."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    line = orjson.dumps({"type": "MODIFIED", "object": odd})
    after = pod("after", "10.244.0.77", time.time_ns() - 600 * NS_PER_SECOND)
    api.script.put([line, event("DELETED", {"metadata": {"name": "gone", "uid": "gone"}}), event("ADDED", after, "9")])
    reflector = followed(live)
    until(lambda: live.directory.pods.get("after") is not None)
    assert reflector.list_reason != "expired"
    assert api.listed == 1


def listed_except(live: LiveDirectory, *left_out: str) -> None:
    """List every kind but some."""
    for name, reflector in live.reflectors.items():
        if name not in left_out:
            reflector.list_all()


def outside(live: LiveDirectory) -> tuple[str, str | None]:
    """The answer about a public address, soon."""
    soon_ns = time.time_ns() + 60 * NS_PER_SECOND
    (answer,) = live.answers([Query("198.51.100.7", 443, soon_ns, soon_ns)])
    return answer.kind, answer.reason


def test_object_without_identity_leaves_its_kind_unknown_until_it_is_whole_or_gone() -> None:
    """It may have any address: nobody is called external meanwhile."""
    api = ScriptedApi({"pods": [{"metadata": {"name": "odd", "namespace": "shop"}}, pod("web")]})
    live = live_directory(api)
    listed_except(live)
    assert outside(live) == ("Unknown", "pod_rejected")
    assert live.metrics.rejected.labels("Pod", "no_identity")._value.get() == 1
    live.apply_event(
        TARGET, WatchEvent("MODIFIED", {"metadata": {"name": "odd", "namespace": "shop", "uid": "u"}}, "9")
    )
    assert outside(live) == ("External", None)
    live.apply_event(TARGET, WatchEvent("MODIFIED", {"metadata": {"uid": "v"}}, "10"))
    assert outside(live) == ("Unknown", "pod_rejected")
    live.reflectors["Pod"].list_all()
    assert outside(live) == ("Unknown", "pod_rejected")
    api.lists["pods"] = [pod("web")]
    live.reflectors["Pod"].list_all()
    assert outside(live) == ("External", None)


@pytest.mark.parametrize("kind", ["Pod", "Service", "Node"])
def test_refused_kind_leaves_nobody_external_and_keeps_no_owner(kind: str) -> None:
    """403 for good: the directory is ready for the rest; what it knew of that kind ended with the last proof."""
    began = time.time_ns() - 3600 * NS_PER_SECOND
    live = live_directory(ScriptedApi({"pods": [pod("web", started_ns=began)]}))
    listed_except(live)
    assert outside(live) == ("External", None)
    live.through_ns[kind] = time.time_ns() - live_directory_module.STALE_NS
    live.record_failure(live.reflectors[kind].target, "list: forbidden", refused=True)
    assert live.synced
    assert outside(live) == ("Unknown", f"{kind.lower()}_forbidden")
    before_ns, after_ns = began + 600 * NS_PER_SECOND, time.time_ns() + 60 * NS_PER_SECOND
    assert names(live, before_ns, after_ns) == ["web", None if kind == "Pod" else "web"]
    live.reflectors[kind].list_all()
    assert outside(live) == ("External", None)


@pytest.mark.parametrize("kind", ["Pod", "Service", "Node"])
def test_right_that_is_missing_for_a_moment_costs_no_answer(kind: str) -> None:
    """A role is replaced: questions about that time wait for the next list, and all that was known stays known."""
    began = time.time_ns() - 3600 * NS_PER_SECOND
    live = live_directory(ScriptedApi({"pods": [pod("web", started_ns=began)]}))
    listed_except(live)
    known_ns = live.through_ns[kind] = time.time_ns() - 60 * NS_PER_SECOND
    live.record_failure(live.reflectors[kind].target, "list: forbidden", refused=True)
    assert (live.refusals, live.as_of_ns) == ({}, known_ns)
    live.reflectors[kind].list_all()
    assert live.as_of_ns > known_ns
    assert names(live, began + 600 * NS_PER_SECOND, time.time_ns()) == ["web", "web"]


def test_watch_without_progress_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason, a dead thread too: health is measured by what has been received."""
    live = live_directory(ScriptedApi())
    assert live.unready == "directory_not_synced"
    listed_except(live)
    assert live.unready is None
    live.through_ns["Service"] -= live_directory_module.STALE_NS
    assert (live.stale, live.unready) == (["Service"], "directory_stale")
    live.refusals["Service"] = "forbidden"
    assert live.unready is None


def test_error_of_the_program_is_counted_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch, followed: Callable[[LiveDirectory], Reflector]
) -> None:
    """An observer that raises ends a turn, not the thread."""
    live = live_directory(ScriptedApi({"pods": [pod("web")]}))
    completed, failed = live.list_completed, threading.Event()

    def fails_once(target: WatchTarget) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        completed(target)

    monkeypatch.setattr(live, "list_completed", fails_once)
    followed(live)
    until(lambda: "Pod" in live.whole)
    assert live.metrics.loop_failures.labels("watch")._value.get() == 1


KEYS = st.sampled_from(
    """
    metadata spec status uid name namespace podIP podIPs ip hostIP phase ports annotations ownerReferences controller
    kind containerStatuses state running startedAt deletionTimestamp deletionGracePeriodSeconds clusterIP clusterIPs
    externalIPs loadBalancer ingress addresses address type podCIDRs endpoints targetRef nodeName hostNetwork containers
    hostPort port nodePort protocol creationTimestamp startTime finishedAt terminated lastState
    kubernetes.io/config.hash kubernetes.io/config.mirror
    """.split()  # noqa: SIM905
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["10.244.0.9", "010.0.0.1", "::1", "Running", "Failed", "0001-01-01T00:00:00Z", "None", "Node"]),
    st.sampled_from(["9999-12-31T23:59:59-23:59", "2026-11-29T10:00:00.5Z", "InternalIP", "10.0.0.0/33", "a", "u"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=24
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6).map(
    lambda fields: (
        {**fields, "metadata": {"uid": "u", "name": "a"} | fields["metadata"]}
        if isinstance(fields.get("metadata"), dict)
        else fields
    )
)
WHOLE: dict[str, Any] = {
    "metadata": {
        "uid": "u",
        "name": "a",
        "namespace": "shop",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-01T00:10:00Z",
        "deletionGracePeriodSeconds": 30,
        "annotations": {"kubernetes.io/config.hash": "h", "kubernetes.io/config.mirror": "h"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n", "controller": True}],
    },
    "spec": {
        "nodeName": "n1",
        "podCIDRs": ["10.244.0.0/24"],
        "clusterIPs": ["10.96.0.1"],
        "externalIPs": ["203.0.113.1"],
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}],
        "containers": [{"ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.1"}]}],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.244.0.9",
        "podIPs": [{"ip": "10.244.0.9"}],
        "hostIPs": [{"ip": "10.0.0.1"}],
        "startTime": "2026-01-01T00:00:00Z",
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "loadBalancer": {"ingress": [{"ip": "203.0.113.2"}]},
        "containerStatuses": [
            {
                "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}},
                "lastState": {
                    "terminated": {"startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z"}
                },
            }
        ],
    },
    "endpoints": [{"addresses": ["10.7.7.7"], "targetRef": None}],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for key, one in inner for place in places(one, (*path, key))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A document with another value at one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


SPOILED = st.builds(replaced, st.just(WHOLE), st.sampled_from(places(WHOLE)[1:]), VALUES)
CHANGES = st.sampled_from(["ADDED", "MODIFIED", "DELETED"])
STATES = st.lists(st.tuples(CHANGES, st.one_of(OBJECTS, SPOILED)), min_size=1, max_size=6)


@given(st.sampled_from([kind.name for kind in WATCHED]), STATES)
def test_object_of_any_shape_is_a_value_or_a_counted_reject(
    kind: str, states: list[tuple[str, dict[str, Any]]]
) -> None:
    """Nothing is raised, by the object, by answers about it, by the saved state; no object needs the last resort."""
    live = LiveDirectory(ScriptedApi(), Directory(), None, 60.0)
    listed_except(live)
    target = live.reflectors[kind].target
    for change, obj in states:
        live.apply_event(target, WatchEvent(change, obj, "9"))
        live.answers([Query("10.244.0.9", 80, 1, 2), Query("10.0.0.1", 80, 1, FOREVER), Query(pod_uid="u", node="a")])
        live.explained([Query("10.244.0.9", 80, 1, 2)])
    assert live.metrics.rejected.labels(kind, "unexpected")._value.get() == 0
    state = live_directory_module.snapshot.state_of(live.directory, {}, 1)
    live_directory_module.snapshot.decode(live_directory_module.snapshot.encode(state))
    live.directory.expire(time.time_ns())


def test_bookmark_without_a_version_proves_nothing(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """It is counted, and the watch goes on."""
    api = ScriptedApi({"pods": []})
    live = live_directory(api)
    api.script.put([b'{"type":"BOOKMARK","object":{}}', bookmark("9"), event("ADDED", pod("after"), "10")])
    reflector = followed(live)
    until(lambda: live.directory.pods.get("after") is not None)
    assert reflector.proof.received == "10"
    assert api.listed == 1
