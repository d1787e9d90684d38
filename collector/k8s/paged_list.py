"""One paged list of a kind: every object of one snapshot, or the reason why it is incomplete; never a silent gap.

The continue token stands in a page's first bytes, before the objects: the next page is fetched by a thread while the
caller works on this one. One request is in flight at a time, and no more than two pages are held.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cluster_api.large_answer import LARGE_BODY_BYTES, LargeAnswerError
from collector.k8s.kinds import API_VERSIONS, Kind
from collector.k8s.list_deadline import IncompleteError, ListLimits
from collector.k8s.list_page import parse_page
from collector.k8s.streaming_list import MalformedAnswerError, stream_groups
from delivery.push_response import retry_after_seconds
from podsonar.errors import ApiServerError
from podsonar.gc_pause import gc_paused

PAGE_OBJECTS, LATER_PAGE_OBJECTS = 500, 1000
CACHED: Final = {"resourceVersion": "0"}  # whatever the API server has in memory
RESTARTS = 2
TRIES = 5
LONGEST_WAIT_SECONDS = 60.0
LONGEST_REFUSAL_SECONDS = 15.0

Query = dict[str, str | int]


class PageSource(Protocol):
    """Where pages come from: `cluster_api.client.ApiClient`."""

    def page(self, path: str, query: Query) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of one GET; LargeAnswerError beyond what a page may hold."""


class RestartError(Exception):
    """The list's snapshot is gone (410, or another resource version): begin again."""


@dataclass(slots=True)
class Listed:
    """How a kind's list ended: `reason` is None when it is complete."""

    count: int = 0
    reason: str | None = None
    resource_version: str = ""
    pages: int = field(default=0)


def wait_seconds(retry_after: str | None, attempt: int) -> float:
    """Seconds until the next try: as the server requests, or doubling; at most a minute."""
    asked_seconds = retry_after_seconds(retry_after, time.time())
    return min(0.5 * 2.0**attempt if asked_seconds is None else asked_seconds, LONGEST_WAIT_SECONDS)


def final_reason(status: int) -> str | None:
    """Why an answer will not be another one if it is asked for again; None where it may be."""
    if status == 410:
        raise RestartError
    return {400: "bad request", 403: "forbidden", 404: "unsupported"}.get(status)


class PagedList:
    """One list of a kind in one snapshot; `fetch` may run in another thread."""

    def __init__(
        self, source: PageSource, kind: Kind, path: str, query: Query, run: ListLimits, version: Mapping[str, str]
    ) -> None:
        self.source, self.kind, self.path, self.query, self.run = source, kind, path, query, run
        self.version = version

    def fetch(self, token: str, tries: int = TRIES) -> bytes:
        """The body of one page; waits and retries where the server is busy or refuses for now."""
        # The token names the version of the list already.
        query = {**self.query, "continue": token} if token else {**self.query, **self.version}
        reason, attempt, refusals = "", 0, 0
        while attempt < tries:
            self.run.check()
            retry_after, began = None, self.run.clock()
            if self.run.unreachable_seconds <= 0:
                raise IncompleteError(reason or "unreachable: the API server did not answer other lists of this window")
            try:
                status, retry_after, body = self.source.page(self.path, query)
            except ApiServerError as error:
                reason = f"unreachable: {error}"
                self.run.unreachable_seconds -= self.run.clock() - began + wait_seconds(None, attempt)
            else:
                if status == 200:
                    return body
                final = final_reason(status)
                if final:
                    raise IncompleteError(final)
                reason = "unauthorized" if status == 401 else f"status {status}"
            seconds = wait_seconds(retry_after, attempt)
            if reason == "unauthorized":  # a token that is being rotated: the budget is that of the whole window
                if self.run.unauthorized_seconds <= 0:
                    break
                seconds = min(wait_seconds(None, refusals), LONGEST_REFUSAL_SECONDS)
                refusals += 1
                self.run.unauthorized_seconds -= seconds
            else:
                attempt += 1
            if attempt < tries:
                self.run.wait(seconds)
        raise IncompleteError(reason)

    def fetch_ahead(self, token: str) -> Future[bytes]:
        """The body of one page, on its way; the program's end does not wait for it."""
        coming: Future[bytes] = Future()

        def fetch() -> None:
            try:
                coming.set_result(self.fetch(token))
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                coming.set_exception(error)

        threading.Thread(target=fetch, name="page", daemon=True).start()
        return coming

    def parse(self, body: bytes, token: str) -> tuple[dict[str, Any], Iterator[list[dict[str, Any]]]]:
        """The metadata of a page, and its objects in groups; a malformed one is asked for again."""
        for attempt in range(TRIES):
            try:
                return parse_page(body, self.kind)
            except MalformedAnswerError as error:
                if attempt + 1 == TRIES:
                    raise IncompleteError(str(error)) from error
                self.run.wait(wait_seconds(None, attempt))
                body = self.fetch(token)
        raise IncompleteError("truncated answer")

    def pages(self, listed: Listed) -> Iterator[list[dict[str, Any]]]:
        """The objects in groups, the next page on its way; every page is of the same resource version."""
        token = ""
        seen = {token}
        body = self.fetch(token)
        while True:
            self.run.check()
            coming: Future[bytes] | None = None
            with gc_paused():
                metadata, groups = self.parse(body, token)
                body = b""
                version = metadata.get("resourceVersion", "")
                if token and version != listed.resource_version:
                    raise RestartError
                listed.resource_version = version
                token = metadata.get("continue") or ""
                if token and token not in seen:
                    coming = self.fetch_ahead(token)
                listed.pages += 1
                try:
                    for items in groups:
                        listed.count += len(items)
                        if items:
                            yield items
                except MalformedAnswerError as error:  # what it gave is void with all before it
                    if coming:
                        coming.exception()  # one request at a time
                    raise RestartError from error
                del groups, items
            if not token:
                return
            if coming is None:
                raise IncompleteError("list does not advance")
            seen.add(token)
            body = coming.result()

    def unpaged(self, listed: Listed) -> Iterator[list[dict[str, Any]]]:
        """The objects of a list in one answer, in groups, never held whole."""
        stream = getattr(self.source, "stream", None)
        if stream is None:
            raise IncompleteError("expired")
        query: Query = {**{key: value for key, value in self.query.items() if key != "limit"}, **self.version}
        try:
            status, _, pieces = stream(self.path, query)
            reason = final_reason(status) or (None if status == 200 else f"status {status}")
            if reason:
                raise IncompleteError(reason)
            for metadata, items in stream_groups(pieces, PAGE_OBJECTS):
                self.run.check()
                if metadata.get("continue"):
                    raise IncompleteError("list does not end")
                listed.resource_version = metadata.get("resourceVersion", "")
                listed.count += len(items)
                listed.pages += 1
                if items:
                    with gc_paused():
                        yield items
        except ApiServerError as error:
            raise IncompleteError(f"unreachable: {error}") from error
        except MalformedAnswerError as error:
            raise IncompleteError(str(error)) from error


def with_type(items: list[dict[str, Any]], kind: Kind) -> list[dict[str, Any]]:
    """The objects with their kind and version, which a list leaves out."""
    for item in items:
        if isinstance(item, dict):  # the consumer counts entries that are not objects
            item["kind"], item["apiVersion"] = kind.name, API_VERSIONS.get(kind.name, "v1")
    return items


def list_attempts() -> Iterator[tuple[bool, int]]:
    """How a list is tried: pages of 500, twice more with larger ones where its snapshot expires, then in one piece."""
    yield True, PAGE_OBJECTS
    for _ in range(RESTARTS):
        yield True, LATER_PAGE_OBJECTS
    yield False, 0


def list_pages(
    source: PageSource,
    kind: Kind,
    namespace: str | None,
    listed: Listed,
    sleep: Callable[[float], object] = time.sleep,
    *,
    run: ListLimits | None = None,
    selector: str = "",
    cached: bool = False,
) -> Iterator[list[dict[str, Any]]]:
    """The objects of a kind, a page at a time; `listed` has afterwards how it ended.

    A page that begins a new snapshot is preceded by an empty one: what came before is void. No other page is empty,
    though a server may answer one in the middle of a list. StoppedError where the run is asked to stop. With `cached`
    the snapshot is what the API server has in memory, and the server may ignore the pages' size.
    """
    run = run or ListLimits(sleep)
    paged_at_all = True
    for paged, limit in list_attempts():
        if paged and not paged_at_all:
            continue
        query: Query = {"limit": limit} | ({"labelSelector": selector} if selector else {})
        paged_list = PagedList(source, kind, kind.path(namespace), query, run, CACHED if cached else {})
        listed.count, listed.reason = 0, None
        try:
            for items in paged_list.pages(listed) if paged else paged_list.unpaged(listed):
                yield with_type(items, kind)
        except RestartError:
            listed.reason = "expired"
        except LargeAnswerError:  # a server that ignores `limit`
            listed.reason, paged_at_all = f"page larger than {LARGE_BODY_BYTES} bytes", False
        except IncompleteError as error:
            listed.reason = str(error)
            return
        else:
            return
        listed.count = 0
        yield []
