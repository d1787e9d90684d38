"""An API server that keeps changes in the order of their versions, as etcd does, and delivers them as slowly as read.

It keeps one list for every path, ends a watch with a bookmark when nothing has happened for a moment, and checks
neither rights nor the times that are asked for.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson

from podsonar.errors import WatchRefusedError
from tests.collector.scripted_api import bookmark, event

IDLE_SECONDS = 0.02


class OrderedWatch:
    """The changes after a version, then a bookmark."""

    def __init__(self, api: "OrderedApi", version: int) -> None:
        self.api = api
        self.version = version
        self.was_cut = threading.Event()

    def lines(self) -> Iterator[bytes]:
        """Yield what has changed, in order, until nothing more does."""
        while not self.was_cut.is_set():
            with self.api.lock:
                newer = [change for change in self.api.changes if change[0] > self.version]
            if not newer:
                if self.was_cut.wait(IDLE_SECONDS):
                    return
                with self.api.lock:
                    idle = self.api.version == self.version
                if idle:
                    yield bookmark(str(self.version))
                    return
                continue
            for version, _at_ns, line in newer:
                yield line
                self.version = version

    def cut(self) -> None:
        """End it."""
        self.was_cut.set()


class OrderedApi:
    """Versions from 1 on; `changes` has the version, the moment and the line of each."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.version = 1
        self.objects: dict[str, dict[str, Any]] = {}
        self.changes: list[tuple[int, int, bytes]] = []

    def change(self, kind: str, obj: dict[str, Any]) -> None:
        """Something happens now."""
        with self.lock:
            self.version += 1
            uid = obj["metadata"]["uid"]
            if kind == "DELETED":
                self.objects.pop(uid, None)
            else:
                self.objects[uid] = obj
            self.changes.append((self.version, time.time_ns(), event(kind, obj, str(self.version))))

    def page(self, _path: str, _query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """The whole list as it is now."""
        with self.lock:
            body = {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.objects.values())}
        return 200, None, orjson.dumps(body)

    def watch(self, _path: str, query: dict[str, str | int], _seconds: int) -> OrderedWatch:
        """The changes after a version."""
        if "sendInitialEvents" in query:
            raise WatchRefusedError("sendInitialEvents is forbidden for watch", 422)
        return OrderedWatch(self, int(query["resourceVersion"]))

    def renew(self) -> None:
        """Nothing to renew."""
