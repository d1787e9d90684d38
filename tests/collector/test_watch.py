"""The kept directory: what it learns of controllers, which lines it believes, and whom it answers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from collector.directory_server import application
from collector.inventory import Inventory
from collector.kinds import WATCHED
from collector.service import collect
from collector.watch import KeptDirectory
from discovery.directory import Directory
from discovery.errors import ApiServerError
from discovery.records import Query, Window
from discovery.selection import Selection
from discovery.settings import CollectorSettings
from discovery.spool import Spool

PODS = next(kind for kind in WATCHED if kind.name == "Pod")
SETTINGS = CollectorSettings()


def owned(name: str, owner: str | None = None, owner_kind: str = "") -> dict[str, Any]:
    """An object under a controller; its uid is its name."""
    references = [{"kind": owner_kind, "name": owner, "uid": owner, "controller": True}] if owner else []
    meta = {"name": name, "uid": name, "namespace": "shop", "resourceVersion": "8", "ownerReferences": references}
    return {"metadata": meta}


class Cluster:
    """Serves whole lists by plural, and watches that say the given lines and then end; no versions, no rights."""

    def __init__(self, lists: dict[str, list[dict[str, Any]]], lines: list[bytes] | None = None) -> None:
        self.lists, self.said = lists, lines or []

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """The whole list."""
        items = self.lists.get(path.rsplit("/", 1)[1], [])
        return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7"}, "items": items})

    def lines(self, path: str, query: dict[str, str | int]) -> Iterator[bytes]:
        """The given lines."""
        yield from self.said


def kept(cluster: Cluster) -> KeptDirectory:
    """A directory of the cluster, not started."""
    return KeptDirectory(cluster, Directory(Selection.of(SETTINGS)), None, 60.0)


def workload(directory: KeptDirectory, pod_uid: str) -> str | None:
    """The name of a pod's root workload."""
    found = directory.directory.answer(Query(pod_uid=pod_uid)).workload
    return f"{found['kind']}/{found['name']}" if found else None


def test_pod_has_its_root_workload_once_an_inventory_was_taken(tmp_path: Path) -> None:
    """Controllers are not watched: the live directory has them from the inventory, and keeps those of known pods."""
    lists = {
        "pods": [owned("web-1-x", "web-1", "ReplicaSet")],
        "replicasets": [owned("web-1", "web", "Deployment"), owned("old-1", "old", "Deployment")],
        "deployments": [owned("web"), owned("old")],
    }
    cluster = Cluster(lists)
    live = kept(cluster)
    live.list(PODS)
    assert workload(live, "web-1-x") == "ReplicaSet/web-1"
    spool = Spool(tmp_path)
    collect(Inventory(cluster, SETTINGS, Window(0, 60), Selection.of(SETTINGS)), spool, live)
    assert workload(live, "web-1-x") == "Deployment/web"
    collect(Inventory(Cluster({}), SETTINGS, Window(60, 120), Selection.of(SETTINGS)), spool, live)
    spool.close()
    assert workload(live, "web-1-x") == "Deployment/web"
    assert set(live.directory.owners) == {"web-1", "web"}


@pytest.mark.parametrize(
    "line",
    [b"", b"upstream timed out", b"[]", b'"text"', b'{"type":"ADDED"}', b'{"type":"ADDED","object":{"metadata":{}}}'],
)
def test_watch_line_that_is_no_event_asks_for_a_new_list(line: bytes) -> None:
    """What an intermediary writes into a watch ends it as an error, which lists again; it never ends the thread."""
    event = orjson.dumps({"type": "ADDED", "object": owned("web-1-x")})
    events = kept(Cluster({}, [event, line])).events(PODS, "7")
    assert next(events)["object"]["metadata"]["name"] == "web-1-x"
    with pytest.raises(ApiServerError, match=f"watch pods: a line of {len(line)} bytes is no event"):
        next(events)


def test_watch_that_the_server_ends_says_its_words() -> None:
    """An ERROR event (an expired version) asks for a new list."""
    ended = orjson.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
    with pytest.raises(ApiServerError, match="too old resource version"):
        next(kept(Cluster({}, [ended])).events(PODS, "7"))


def test_past_is_dropped_on_a_timer() -> None:
    """A watch that never fails never lists again: what ended long ago goes all the same."""
    live = KeptDirectory(Cluster({}), Directory(Selection.of(SETTINGS)), None, 60.0, expire_seconds=0.01)
    live.directory.observe("Pod", owned("web-1-x"), 0)
    live.directory.forget("Pod", "web-1-x", 1)
    timer = threading.Thread(target=live.keep_expiring)
    timer.start()
    deadline = time.monotonic() + 5
    while live.directory.pods and time.monotonic() < deadline:
        time.sleep(0.01)
    live.stop.set()
    timer.join()
    assert live.directory.pods == {}


async def ask(given: str | None) -> httpx.Response:
    """One question to the directory."""
    transport = httpx.ASGITransport(application(kept(Cluster({})), lambda: "right"))
    headers = {"Authorization": given} if given else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://directory") as client:
        return await client.post("/v1/resolve", headers=headers, json={"queries": []})


@pytest.mark.parametrize("given", [None, "Token wrong", "Bearer right"])
def test_question_without_the_token_is_refused_by_scheme(given: str | None) -> None:
    """401 names the scheme that the client must use."""
    answer = asyncio.run(ask(given))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Token")


def test_question_with_the_token_before_the_first_list_must_wait() -> None:
    """A directory that has not listed everything answers nobody, and asks for no token."""
    answer = asyncio.run(ask("Token right"))
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (503, False)
