"""One paged list of a kind: every object, or the reason why the list is incomplete; never a silent gap."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from collector.kinds import API_VERSIONS, Kind
from discovery.errors import ApiServerError

PAGE_OBJECTS = 500
RESTARTS = 2
TRIES = 5
LONGEST_WAIT_SECONDS = 60.0


class Pages(Protocol):
    """Where pages come from: `collector.api_server.ApiServer`."""

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of one GET."""


class RestartError(Exception):
    """The list's snapshot is gone (410): begin again."""


class IncompleteError(Exception):
    """The list cannot be had; the text is the reason in the inventory."""


@dataclass(slots=True)
class Listed:
    """How a kind's list ended: `reason` is None when it is complete."""

    count: int = 0
    reason: str | None = None
    resource_version: str = ""
    pages: int = field(default=0)


def wait_seconds(retry_after: str | None, attempt: int) -> float:
    """How long to wait before asking again, by the server's wish or doubling."""
    if retry_after and retry_after.isdigit():
        return min(float(retry_after), LONGEST_WAIT_SECONDS)
    return min(0.5 * 2.0**attempt, LONGEST_WAIT_SECONDS)


def one_page(source: Pages, path: str, query: dict[str, str | int], sleep: Callable[[float], None]) -> dict[str, Any]:
    """One page's document; waits and asks again where the server is busy."""
    reason = ""
    for attempt in range(TRIES):
        try:
            status, retry_after, body = source.page(path, query)
        except ApiServerError as error:
            reason, retry_after = f"unreachable: {error}", None
        else:
            if status == 200:
                try:
                    document: dict[str, Any] = orjson.loads(body)
                except orjson.JSONDecodeError:
                    reason = "truncated answer"
                else:
                    return document
            elif status == 410:
                raise RestartError
            elif status in (401, 403, 404):
                raise IncompleteError({401: "unauthorized", 403: "forbidden", 404: "unsupported"}[status])
            else:
                reason = f"status {status}"
        if attempt + 1 < TRIES:
            sleep(wait_seconds(retry_after, attempt))
    raise IncompleteError(reason)


def pages(
    source: Pages, kind: Kind, namespace: str | None, listed: Listed, sleep: Callable[[float], None] = time.sleep
) -> Iterator[list[dict[str, Any]]]:
    """The objects of a kind, a page at a time; `listed` says afterwards how it ended.

    A page that begins a new snapshot (after 410) is preceded by an empty one: what came before is void. No other page
    is empty, though a server may answer one in the middle of a list.
    """
    for _restart in range(RESTARTS + 1):
        token = ""
        listed.count = 0
        try:
            while True:
                query: dict[str, str | int] = {"limit": PAGE_OBJECTS}
                if token:
                    query["continue"] = token
                document = one_page(source, kind.path(namespace), query, sleep)
                items = document.get("items") or []
                for item in items:
                    item["kind"], item["apiVersion"] = kind.name, API_VERSIONS.get(kind.name, "v1")
                listed.count += len(items)
                listed.pages += 1
                listed.resource_version = document["metadata"].get("resourceVersion", "")
                if items:
                    yield items
                token = document["metadata"].get("continue") or ""
                if not token:
                    listed.reason = None
                    return
        except RestartError:
            listed.reason = "expired"
            yield []
        except IncompleteError as error:
            listed.reason = str(error)
            return
