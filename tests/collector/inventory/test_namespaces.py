"""With Roles alone the directory follows some namespaces, and never takes what it cannot see for absent."""

import time
from pathlib import Path
from typing import Any

import pytest

from collector.directory.live_directory import LiveDirectory
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Answer, Query
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.collector.scripted_api import ScriptedApi

BEGAN_NS = time.time_ns() - 600 * NS_PER_SECOND
SHARED = "198.51.100.7"  # of a load balancer on a node's own address
NAMES = [f"{kind} in {namespace}" for namespace in ("shop", "bank") for kind in ("Service", "Pod", "EndpointSlice")]


def meta(name: str, namespace: str) -> dict[str, Any]:
    """An object's metadata; its uid is its name."""
    return {"name": name, "uid": name, "namespace": namespace, "creationTimestamp": rfc3339(BEGAN_NS)}


def pod(name: str, namespace: str, address: str) -> dict[str, Any]:
    """A pod that has run for ten minutes."""
    state = {"running": {"startedAt": rfc3339(BEGAN_NS)}}
    status = {"podIP": address, "phase": "Running", "startTime": rfc3339(BEGAN_NS)}
    return {"metadata": meta(name, namespace), "status": {**status, "containerStatuses": [{"state": state}]}}


def service(name: str, namespace: str, address: str) -> dict[str, Any]:
    """A service with port 443 on the address of a load balancer."""
    status = {"loadBalancer": {"ingress": [{"ip": address}]}}
    return {"metadata": meta(name, namespace), "spec": {"ports": [{"port": 443}]}, "status": status}


def outside(name: str, namespace: str, address: str) -> dict[str, Any]:
    """A slice whose endpoint is no pod."""
    return {"metadata": meta(name, namespace), "endpoints": [{"addresses": [address]}]}


def cluster() -> ScriptedApi:
    """Two namespaces with a pod each, and a service and a slice in one of them."""
    return ScriptedApi(
        {
            "/api/v1/namespaces/shop/pods": [pod("front", "shop", "10.244.0.9")],
            "/api/v1/namespaces/bank/pods": [pod("ledger", "bank", "10.244.0.10")],
            "/api/v1/namespaces/shop/services": [service("front", "shop", SHARED)],
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices": [outside("database", "shop", "203.0.113.5")],
        }
    )


def kept(api: ScriptedApi, *namespaces: str, file: Path | None = None) -> LiveDirectory:
    """A directory of some namespaces, not started."""
    return LiveDirectory(api, Directory(Selection(orphaned=True)), namespaces, 60.0, file=file)


def listed(live: LiveDirectory) -> LiveDirectory:
    """The directory, everything listed once."""
    for follower in live.reflectors.values():
        follower.list_all()
    return live


def who(live: LiveDirectory, address: str, port: int = 443) -> Answer:
    """The answer about an address soon, if no event comes until then."""
    soon_ns = time.time_ns() + 10 * NS_PER_SECOND
    return live.answers([Query(address, port, soon_ns, soon_ns)])[0]


def test_each_kind_is_followed_in_each_namespace_and_nothing_beyond() -> None:
    """No path leaves the namespaces; nodes are in none, and are named as skipped; a namespace named twice is one."""
    api = cluster()
    live = listed(kept(api, "shop", "bank", "shop"))
    assert list(live.reflectors) == NAMES
    assert live.skipped == {"Node": "namespaced"}
    assert len(api.paths) == len(NAMES)
    assert all("/namespaces/shop/" in path or "/namespaces/bank/" in path for path in api.paths)
    assert {who(live, address).name for address in ("10.244.0.9", "10.244.0.10")} == {"front", "ledger"}


@pytest.mark.parametrize("last", NAMES)
def test_directory_is_complete_only_up_to_its_slowest_watch(last: str) -> None:
    """Not synced while one kind of one namespace is missing; then as of the one that is furthest behind."""
    live = kept(cluster(), "shop", "bank")
    for name, follower in live.reflectors.items():
        if name != last:
            follower.list_all()
    assert not live.synced
    assert live.as_of_ns == 0
    live.reflectors[last].list_all()
    assert live.synced
    later_ns = time.time_ns() + NS_PER_SECOND
    for name, follower in live.reflectors.items():
        if name != last:
            live.advance(follower.target, later_ns)
    assert live.as_of_ns == live.through_ns[last] < later_ns


def test_list_of_one_namespace_ends_nothing_in_another() -> None:
    """What a namespace's list does not name is gone, if it was in that namespace."""
    api = cluster()
    live = listed(kept(api, "shop", "bank"))
    api.lists = {"/api/v1/namespaces/bank/pods": api.lists["/api/v1/namespaces/bank/pods"]}
    for name in NAMES:
        if name.endswith("bank"):
            live.reflectors[name].list_all()
    assert live.directory.deleted_at == {}
    for name in NAMES:
        live.reflectors[name].list_all()
    assert set(live.directory.deleted_at) == {("Pod", "front"), ("Service", "front"), ("EndpointSlice", "database")}
    assert who(live, "10.244.0.10").name == "ledger"


def test_address_that_may_be_of_an_unseen_node_or_namespace_is_unknown() -> None:
    """Neither external nor a service by its address alone: whose it is stands where we may not look."""
    live = listed(kept(cluster(), "shop", "bank"))
    live.directory.unwatched.clear()
    for address in ("203.0.113.9", "203.0.113.5", "10.0.0.4"):
        assert (who(live, address).kind, who(live, address).reason) == ("Unknown", "namespaced")
    assert who(live, SHARED).name == "front"
    assert (who(live, SHARED, 10250).kind, who(live, SHARED, 10250).reason) == ("Unknown", "namespaced")


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        (("shop", "bank"), ("bank", "shop"), "restored"),
        (("bank",), ("shop", "bank"), "restored"),
        (("shop", "bank"), ("shop",), "other_namespaces"),
    ],
)
def test_file_of_a_namespace_that_is_followed_no_more_is_ignored(
    before: tuple[str, ...], after: tuple[str, ...], result: str, tmp_path: Path
) -> None:
    """No event would end its pods' intervals: none is better than one that stays for ever."""
    file = tmp_path / "intervals"
    first = kept(cluster(), *before, file=file)
    first.reflectors["Pod in bank"].list_all()  # the first to be listed; what else is followed is in the file as well
    first.save()
    second = kept(cluster(), *after, file=file)
    second.restore()
    assert second.metrics.restores.labels(result)._value.get() == 1
    assert len(second.directory.pods) == (1 if result == "restored" else 0)
    assert set(second.directory.incomplete.values()) == {"namespaced"}


def test_slice_remembers_its_namespace_over_a_restart(tmp_path: Path) -> None:
    """A slice that went meanwhile is missed in its own namespace, and no other's list ends it."""
    file = tmp_path / "intervals"
    listed(kept(cluster(), "shop", "bank", file=file)).save()
    second = kept(ScriptedApi(), "shop", "bank", file=file)
    second.restore()
    second.reflectors["EndpointSlice in bank"].list_all()
    assert second.directory.deleted_at == {}
    second.reflectors["EndpointSlice in shop"].list_all()
    assert set(second.directory.deleted_at) == {("EndpointSlice", "database")}
