"""A live directory over a scripted API server, and pods that it follows."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.directory import reflector
from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import Reflector
from collector.k8s.kinds import WATCHED
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Query
from podsonar.settings import CollectorSettings
from podsonar.timestamp import rfc3339
from tests.collector.scripted_api import ScriptedApi

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
