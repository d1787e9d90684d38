"""When an owner had an address: what containers and looks prove of it, and how long it is kept."""

from typing import Any

from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Query
from podsonar.owner_chain import ControllerReference
from podsonar.timestamp import rfc3339
from tests.directory.test_lookup import at, cluster, named, pod, with_status


def running(started: int, **last: Any) -> dict[str, Any]:
    """The status of a pod whose one container has run since a second."""
    return {"containerStatuses": [{"state": {"running": {"startedAt": rfc3339(at(started))}}, "lastState": last}]}


def terminated(started: int, finished: int) -> dict[str, Any]:
    """The state of a container that ran from one second to another."""
    return {"terminated": {"startedAt": rfc3339(at(started)), "finishedAt": rfc3339(at(finished))}}


def test_running_container_proves_an_address_before_the_pod_was_first_seen() -> None:
    """A container starts after its sandbox has its address; the start is rounded down to a second."""
    directory = Directory()
    directory.apply("Pod", with_status(pod("old", "10.244.0.9", 100), running(110)), at(5000))
    assert named(directory, "10.244.0.9", 99, 105, 112, 113, 4000) == [None, None, None, "old", "old"]


def test_container_end_proves_an_address_until_then() -> None:
    """Long after deletion was asked for, the pod still has its address: its last container shows until when."""
    directory = Directory()
    alive = with_status(pod("slow", "10.244.0.9", 100), running(110))
    directory.apply("Pod", alive, at(120))
    deletion = {"deletionTimestamp": rfc3339(at(260)), "deletionGracePeriodSeconds": 60}
    directory.apply("Pod", with_status(alive, {}, **deletion), at(200))
    assert named(directory, "10.244.0.9", 190, 191, 240) == ["slow", None, None]
    last = with_status(alive, {"containerStatuses": [{"state": terminated(110, 250)}]}, **deletion)
    directory.apply("Pod", last, at(253))
    directory.delete("Pod", "slow", at(254), last=last)
    assert named(directory, "10.244.0.9", 191, 248, 249) == ["slow", "slow", None]


def test_new_sandbox_of_the_same_pod_has_its_address_from_its_own_containers_start() -> None:
    """After a node came back a pod has another address; the start time of old is no proof for it."""
    directory = Directory()
    directory.apply("Pod", with_status(pod("back", "10.244.0.9", 100), running(110)), at(120))
    directory.apply("Pod", with_status(pod("back", "10.244.0.10", 100), running(400, **terminated(110, 300))), at(402))
    assert named(directory, "10.244.0.9", 200, 298, 299, 350) == ["back", "back", None, None]
    assert named(directory, "10.244.0.10", 200, 402, 403) == [None, None, "back"]


def test_pod_gone_while_nobody_watched_ends_between_the_last_look_and_the_list() -> None:
    """Until the last look it was there; from then on nothing is sure, nor is a place where objects may come and go."""
    directory = Directory()
    directory.apply("Pod", pod("former", "2001:db8::9", 100), at(100))
    directory.apply("Pod", pod("stays", "2001:db8::a", 100), at(100))
    directory.add_unwatched("Pod", at(200), at(300))
    directory.apply("Pod", pod("stays", "2001:db8::a", 100), at(300), at(200))
    assert directory.missing("Pod", {"stays"}) == ["former"]
    directory.delete("Pod", "former", at(300), at(200))
    directory.apply("Pod", pod("latter", "2001:db8::9", 290), at(310))
    assert named(directory, "2001:db8::9", 190, 191, 250, 295, 312) == ["former", None, None, None, "latter"]
    assert named(directory, "2001:db8::a", 150, 250, 350) == ["stays"] * 3
    asked = {second: directory.answer(Query("203.0.113.9", 80, at(second), at(second))) for second in (150, 250, 350)}
    assert [answer.kind for answer in asked.values()] == ["External", "Unknown", "External"]
    assert asked[250].reason == "not_watched_then"


def test_pod_that_flaps_keeps_a_bounded_number_of_tenures() -> None:
    """A pod that loses and finds its address a thousand times costs no more than sixteen."""
    directory = Directory()
    for second in range(100, 2100, 2):
        directory.apply("Pod", pod("flaps", "10.244.0.9", 100), at(second))
        directory.apply("Pod", {**pod("flaps", "10.244.0.9", 100), "status": {"phase": "Running"}}, at(second + 1))
    assert len(directory.explain("10.244.0.9")) == 16


def test_what_ended_long_ago_is_let_go_and_what_lives_stays() -> None:
    """Expiry takes gone objects, lost addresses and their names; never an owner that is still there."""
    directory = cluster()
    directory.apply("Pod", pod("moved", "10.244.0.7", 100), at(100))
    directory.apply("Pod", pod("moved", "10.244.0.8", 100), at(400))
    directory.delete("Service", "web", at(450))
    directory.expire(at(500))
    assert directory.pods.get("first") is None
    assert directory.answer(Query("10.244.0.5", 80, at(150), at(150))).kind == "Unknown"
    assert named(directory, "10.244.0.5", 900) == ["second"]
    assert directory.explain("10.244.0.7") == []
    assert named(directory, "10.244.0.8", 900) == ["moved"]
    assert directory.answer(Query("10.96.0.1", 80, at(300), at(300))).kind == "Unknown"
    assert named(directory, "10.96.0.2", 900, port=443) == ["edge"]


def test_names_that_no_pod_carries_any_more_are_let_go() -> None:
    """Controllers come and go for months: what is kept once for many pods does not grow for ever."""
    directory = Directory(Selection(orphaned=True))
    for number in range(5000):
        owner = {"kind": "Job", "name": f"job-{number}", "uid": f"job-{number}", "controller": True}
        obj = pod(f"p{number}", "10.244.0.9", number)
        directory.apply("Pod", {**obj, "metadata": {**obj["metadata"], "ownerReferences": [owner]}}, at(number))
        directory.delete("Pod", f"p{number}", at(number))
        directory.expire(at(number - 5))
    assert len(directory.pods) <= 6
    assert len(directory.pods.shared.values) < 1200
    found = directory.pods.get("p4999")
    assert found is not None
    assert found.controller == ControllerReference("batch", "Job", "job-4999", "job-4999")
    assert (found.namespace, found.node) == ("shop", "n1")


def test_explanation_names_every_owner_of_an_address_with_its_times() -> None:
    """For the question why: who had it, and between which moments that is sure or possible."""
    found = cluster().explain("10.244.0.5")
    assert [(one["kind"], one["name"], one["maybeTo"]) for one in found] == [
        ("Pod", "first", rfc3339(at(200))),
        ("Pod", "second", None),
    ]
    assert found[0]["sureFrom"] == rfc3339(at(100))
    assert found[0]["sureTo"] == rfc3339(at(192))
