"""An API server that answers by a script: lists by path or plural, and watches one after the other from a script.

It checks neither versions nor rights, and a watch that has no script says nothing until it is cut.
"""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import orjson

from collector.directory.watch_events import Lines
from podsonar.errors import WatchRefusedError

Step = bytes | Exception


def event(kind: str, obj: dict[str, Any], version: str = "8") -> bytes:
    """One line of a watch."""
    return orjson.dumps({"type": kind, "object": {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}})


def bookmark(version: str, *, end: bool = False) -> bytes:
    """A bookmark, or the one that ends the initial events."""
    notes = {"annotations": {"k8s.io/initial-events-end": "true"}} if end else {}
    return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version, **notes}}})


class ScriptedWatch:
    """A watch that sends its lines, breaks at an exception, and without a script waits to be cut."""

    def __init__(self, steps: list[Step] | None) -> None:
        self.steps = steps
        self.was_cut = threading.Event()

    def lines(self) -> Iterator[bytes]:
        """The lines."""
        if self.steps is None:
            self.was_cut.wait(30)
            return
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step

    def cut(self) -> None:
        """End it."""
        self.was_cut.set()


class ScriptedApi:
    """Lists and watches as scripted; `asked` has every watch's query, `paths` every path, `renewed` counts renewals."""

    def __init__(self, lists: dict[str, list[dict[str, Any]]] | None = None, *, watch_list: bool = False) -> None:
        self.lists = lists or {}
        self.version = "7"
        self.watch_list = watch_list
        self.script: queue.Queue[list[Step] | Exception] = queue.Queue()
        self.asked: list[dict[str, str | int]] = []
        self.paths: set[str] = set()
        self.listed = 0
        self.renewed = 0
        self.list_status = self.watch_status = 200

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """The whole list."""
        self.listed += 1
        self.paths.add(path)
        items = self.lists.get(path, self.lists.get(path.rsplit("/", 1)[1], []))
        body = {"metadata": {"resourceVersion": self.version}, "items": items}
        return self.list_status, None, orjson.dumps(body)

    def watch(self, path: str, query: dict[str, str | int], seconds: int) -> Lines:
        """The next scripted watch."""
        self.asked.append(query)
        self.paths.add(path)
        if "sendInitialEvents" in query and not self.watch_list:
            raise WatchRefusedError("sendInitialEvents is forbidden for watch", 422)
        if self.watch_status != 200:
            raise WatchRefusedError("no", self.watch_status)
        try:
            step = self.script.get_nowait()
        except queue.Empty:
            return ScriptedWatch(None)
        if isinstance(step, Exception):
            raise step
        return ScriptedWatch(step)

    def renew(self) -> None:
        """Count it."""
        self.renewed += 1
