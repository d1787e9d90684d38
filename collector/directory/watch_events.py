"""The protocols of a reflector: the source of watches, the observer of changes, and the event in a line of a watch."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from collector.k8s.kinds import Kind, WatchTarget
from collector.k8s.paged_list import PageSource
from directory.object_fields import mapping_at, text_at
from podsonar.errors import ApiServerError, WatchRefusedError

CHANGES = ("ADDED", "MODIFIED", "DELETED")
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Lines(Protocol):
    """An open watch: `cluster_api.watch_stream.Stream`."""

    def lines(self) -> Iterator[bytes]:
        """Yield its lines until it ends."""

    def cut(self) -> None:
        """End it from another thread."""


class Source(PageSource, Protocol):
    """Where pages and watches come from: `cluster_api.client.ApiClient`."""

    def watch(self, path: str, query: dict[str, str | int], seconds: int) -> Lines:
        """Return an open watch."""

    def renew(self) -> None:
        """Read configuration and token again."""


class Observer(Protocol):
    """Who is notified: `collector.directory.live_directory.LiveDirectory`."""

    def list_started(self, target: WatchTarget) -> None:
        """Note that a list begins: what it does not name is gone."""

    def apply_listed(self, target: WatchTarget, obj: Mapping[str, Any]) -> None:
        """Take an object as it is in the list."""

    def list_completed(self, target: WatchTarget) -> None:
        """Note that the list was whole."""

    def apply_event(self, target: WatchTarget, event: "WatchEvent") -> None:
        """Take one change of the watch."""

    def advance(self, target: WatchTarget, at_ns: int) -> None:
        """Note that everything up to that moment has been received."""

    def record_failure(self, target: WatchTarget, reason: str, *, refused: bool) -> None:
        """Record that the target cannot be followed; `refused`: for lack of rights, or the server does not have it."""

    def count(self, target: WatchTarget, what: str) -> None:
        """Count a list or a watch that begins (for this reason), a bookmark, a probe, or an error of a turn."""


class ListAgainError(ApiServerError):
    """The watch cannot go on from its version."""


def is_forbidden(error: ApiServerError | None) -> bool:
    """Whether a request was refused for lack of rights."""
    return isinstance(error, WatchRefusedError) and error.status == 403


class WatchEvent(NamedTuple):
    """One line of a watch; `version` is empty if the object shows none."""

    type: str
    obj: Mapping[str, Any]
    version: str

    @property
    def ends_initial_events(self) -> bool:
        """Whether it is the bookmark after the last object of a watch list."""
        annotations = mapping_at(mapping_at(self.obj, "metadata"), "annotations")
        return self.type == "BOOKMARK" and annotations.get(INITIAL_EVENTS_END) == "true"


def event_of(line: bytes, kind: Kind) -> WatchEvent:
    """Return the event in a line of a watch; ListAgainError if the server ends the watch by it, or it holds none.

    The object of a change is passed on as it is: what is wrong with one object ends no watch.
    """
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ListAgainError(f"watch {kind.plural}: a line of {len(line)} bytes is no event") from error
    obj = event.get("object") if isinstance(event, dict) else None
    if not isinstance(obj, dict) or event.get("type") not in (*CHANGES, "BOOKMARK", "ERROR"):
        raise ListAgainError(f"watch {kind.plural}: a line of {len(line)} bytes is no event")
    if event["type"] == "ERROR":
        text, code = text_at(obj, "message")[:200] or "ended", obj.get("code")
        if code in (401, 429):
            raise WatchRefusedError(f"watch {kind.plural}: {text}", code)
        raise ListAgainError(f"watch {kind.plural}: {text}")
    return WatchEvent(event["type"], obj, text_at(mapping_at(obj, "metadata"), "resourceVersion"))
