"""What a follower works with: where watches come from, who is told, and the event in a line."""

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from collector.k8s.kinds import Kind, WatchTarget
from collector.k8s.paged_list import PageSource
from podsonar.errors import ApiServerError, WatchRefusedError


class Lines(Protocol):
    """An open watch: `collector.k8s.watch_stream.WatchStream`."""

    def lines(self) -> Iterator[bytes]:
        """Its lines, until it ends."""

    def cut(self) -> None:
        """End it from another thread."""


class Source(PageSource, Protocol):
    """Where pages and watches come from: `collector.k8s.client.ApiClient`."""

    def watch(self, path: str, query: dict[str, str | int], seconds: int) -> Lines:
        """An open watch."""

    def renew(self) -> None:
        """Read configuration and token again."""


class Observer(Protocol):
    """Who is told: `collector.directory.live_directory.LiveDirectory`."""

    def list_started(self, target: WatchTarget) -> None:
        """A list begins: what it does not name is gone."""

    def apply_listed(self, target: WatchTarget, obj: dict[str, Any]) -> None:
        """An object as it is in the list."""

    def list_completed(self, target: WatchTarget) -> None:
        """The list was whole."""

    def apply_event(self, target: WatchTarget, event: dict[str, Any]) -> None:
        """One event of the watch."""

    def advance(self, target: WatchTarget, at_ns: int) -> None:
        """Everything up to that moment has been told."""

    def record_failure(self, target: WatchTarget, reason: str, *, refused: bool) -> None:
        """It cannot be followed now; `refused`: we may not, or the server does not have it."""

    def count(self, target: WatchTarget, what: str) -> None:
        """A list or a watch began, for this reason; or a bookmark came."""


class ListAgainError(ApiServerError):
    """The watch cannot go on from its version."""


def event_of(line: bytes, kind: Kind) -> dict[str, Any]:
    """The event in a line of a watch; ListAgainError where the server ends the watch by it or it holds none."""
    try:
        event: dict[str, Any] = orjson.loads(line)
        if event["type"] == "ERROR":
            said, code = event["object"].get("message", "ended"), event["object"].get("code")
            if code in (401, 429):
                raise WatchRefusedError(f"watch {kind.plural}: {said}", code)
            raise ListAgainError(f"watch {kind.plural}: {said}")
        _version = event["object"]["metadata"]["resourceVersion"]
        if event["type"] != "BOOKMARK":
            _uid = event["object"]["metadata"]["uid"], event["object"]["metadata"]["name"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ListAgainError(f"watch {kind.plural}: a line of {len(line)} bytes is no event") from error
    return event
