"""Follows a kind, in one namespace or all: everything once, then each change, from the last version on or anew."""

import random
import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import orjson
import structlog

from collector.directory.watch_events import Lines, ListAgainError, Observer, Source, event_of
from collector.k8s.kinds import WatchTarget
from collector.k8s.paged_list import Listed, list_pages, wait_seconds
from podsonar.errors import ApiServerError, WatchRefusedError
from podsonar.model import NS_PER_SECOND

WATCH_SECONDS = 300
SPREAD_SECONDS = 60  # more, by chance: the watches of many collectors do not end together
SHORT_SECONDS = 4  # a server sends a bookmark two seconds before a watch's end, if its version has moved
REOPENED_NS = NS_PER_SECOND  # a watch that goes on within this time has missed nothing for longer than that
NEW_LIST_STATUS = (400, 404, 410, 422)
LIST_STATUS = {"unauthorized": 401, "forbidden": 403, "unsupported": 404}
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
WATCH_LIST = {
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "resourceVersion": "",
    "allowWatchBookmarks": "true",
}

log = structlog.get_logger()


class Reflector:
    """The thread that lists and watches one kind, in one namespace or all; reports every change to its observer."""

    def __init__(self, api: Source, target: WatchTarget, observer: Observer) -> None:
        self.api = api
        self.target = target
        self.kind = target.kind
        self.path = target.kind.path(target.namespace)
        self.observer = observer
        self.stop = threading.Event()
        self.progress_requested = False
        self.stream: Lines | None = None
        self.opened_ns = 0
        self.following = self.cut_by_us = False
        self.watch_list = True
        self.failures = 0

    def run(self) -> None:
        """Follow the kind until `stop`, whatever happens."""
        reason = "start"
        while not self.stop.is_set():
            try:
                self.observer.count(self.target, f"list_{reason}")
                version = self.list_all()
                self.following = True
                self.watch_changes(version)
            except ListAgainError as error:
                self.following = False
                log.info("watch_expired", kind=self.target.name, error=str(error))
                reason = "expired"
                self.pause(error)
            except ApiServerError as error:
                self.following = False
                status = error.status if isinstance(error, WatchRefusedError) else 0
                self.observer.record_failure(self.target, str(error), refused=status in (403, 404))
                log.warning("list_failed", kind=self.target.name, error=str(error))
                reason = "failed"
                self.pause(error)

    def end(self) -> None:
        """Let `run` return."""
        self.stop.set()
        self.cut()

    def cut(self) -> None:
        """End the watch that is open."""
        stream = self.stream
        if stream is not None:
            stream.cut()

    def request_progress(self) -> None:
        """Have the watch find out soon whether it has told everything: it goes on after a probe, as a short one."""
        if not self.progress_requested:
            self.progress_requested = True
            if self.following:  # a list is left alone: it ends with news as well
                self.cut_by_us = True
                self.cut()

    def pause(self, error: ApiServerError) -> None:
        """Wait before the next try: as the server wishes, else longer each time, by chance; 401 renews our identity."""
        retry_after = error.retry_after if isinstance(error, WatchRefusedError) else None
        if isinstance(error, WatchRefusedError) and error.status == 401:
            try:
                self.api.renew()
            except ApiServerError as unreadable:
                log.warning("identity_unreadable", error=str(unreadable))
        longest = min(FIRST_WAIT_SECONDS * 2.0 ** min(self.failures, 10), LONGEST_WAIT_SECONDS)
        self.failures += 1
        chance = random.uniform(0, longest)  # noqa: S311 - no secret
        self.stop.wait(wait_seconds(retry_after, 0) if retry_after else chance)

    def list_all(self) -> str:
        """Tell of every object; the version to watch from. By a watch list where the server has it, else by pages."""
        if self.watch_list:
            try:
                return self.list_by_watch()
            except WatchRefusedError as error:
                if error.status not in (400, 422):
                    raise
                self.watch_list = False
                log.info("watch_list_unsupported", kind=self.target.name, said=str(error))
        return self.list_by_pages()

    def list_by_watch(self) -> str:
        """Every object by a watch list; WatchRefusedError 400 where the server ignores that it was asked for one."""
        self.observer.list_started(self.target)
        with closing(self.watch_events(dict(WATCH_LIST), WATCH_SECONDS)) as events:
            for event in events:
                obj = event["object"]
                if event["type"] != "BOOKMARK":
                    self.observer.apply_listed(self.target, obj)
                    continue
                if (obj["metadata"].get("annotations") or {}).get(INITIAL_EVENTS_END) != "true":
                    raise WatchRefusedError(f"watch {self.path}: a bookmark before the end of the initial events", 400)
                self.observer.list_completed(self.target)
                self.observer.count(self.target, "streamed")
                version: str = obj["metadata"]["resourceVersion"]
                return version
        raise ApiServerError(f"watch {self.path} ended before every object was told")

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        self.stop.wait(seconds)

    def list_by_pages(self) -> str:
        """Every object by pages."""
        listed = Listed()
        self.observer.list_started(self.target)
        for page in list_pages(self.api, self.kind, self.target.namespace, listed, self.sleep):
            if not page:  # the list began again: who was in the old snapshot alone is gone
                self.observer.list_started(self.target)
            for obj in page:
                self.observer.apply_listed(self.target, obj)
        if listed.reason:
            text, status = f"list of {self.kind.plural}: {listed.reason}", LIST_STATUS.get(listed.reason)
            raise WatchRefusedError(text, status) if status else ApiServerError(text)
        self.observer.list_completed(self.target)
        return listed.resource_version

    def watch_changes(self, version: str) -> None:
        """Tell of every change after a version, through every watch that ends; ListAgainError where that cannot be.

        After a bookmark everything is known up to the moment; so it is after each event that follows, and in the next
        watch where that begins at once.
        """
        current, ended_ns = False, time.monotonic_ns()
        while not self.stop.is_set():
            chance = random.randrange(SPREAD_SECONDS)  # noqa: S311
            seconds = SHORT_SECONDS if self.progress_requested else WATCH_SECONDS + chance
            query: dict[str, str | int] = {"resourceVersion": version, "allowWatchBookmarks": "true"}
            try:
                if self.progress_requested and self.unmoved(version):
                    self.progress_requested = False
                    continue
                for event in self.watch_events(query, seconds):
                    current = current and self.opened_ns - ended_ns < REOPENED_NS
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] == "BOOKMARK":
                        current, self.progress_requested = True, False
                        self.observer.count(self.target, "bookmark")
                    else:
                        self.observer.apply_event(self.target, event)
                    if current:
                        self.observer.advance(self.target, time.time_ns())
                    self.failures = 0
            except (ListAgainError, WatchRefusedError) as error:
                self.handle_refusal(error)
                current = False
            except ApiServerError as error:
                if not self.cut_by_us and not self.stop.is_set():
                    log.warning("watch_cut", kind=self.target.name, error=str(error))
                    self.observer.count(self.target, "cut")
                    self.pause(error)
                self.cut_by_us = False
                current = False
            ended_ns = time.monotonic_ns()

    def unmoved(self, version: str) -> bool:
        """Whether nothing at all has changed since a version: then everything is known up to this moment.

        The smallest consistent list tells. Where something has (most often of another kind), asking has moved the
        version of the server's watch cache on, and the next watch's bookmark comes with it: an unmoved one has none.
        """
        began_ns = time.time_ns()
        status, retry_after, body = self.api.page(self.path, {"limit": 1})
        if status != 200:
            raise WatchRefusedError(f"list of {self.kind.plural} answered {status}", status, retry_after)
        try:
            same = bool(orjson.loads(body)["metadata"]["resourceVersion"] == version)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ApiServerError(f"list of {self.kind.plural}: {len(body)} bytes are no list") from error
        if same:
            self.observer.advance(self.target, began_ns)
        return same

    def handle_refusal(self, error: ApiServerError) -> None:
        """Wait where the watch may go on from its version; ListAgainError where it may not."""
        if isinstance(error, WatchRefusedError) and error.status not in NEW_LIST_STATUS:
            self.observer.record_failure(self.target, str(error), refused=False)
            log.warning("watch_refused", kind=self.target.name, error=str(error))
            self.pause(error)
            return
        raise ListAgainError(str(error)) from error

    def watch_events(self, query: dict[str, str | int], seconds: int) -> Generator[dict[str, Any], None, None]:
        """The events of one watch."""
        self.observer.count(self.target, "watch")
        stream = self.api.watch(self.path, query, seconds)
        self.stream, self.opened_ns = stream, time.monotonic_ns()
        try:
            if self.stop.is_set() or (self.progress_requested and self.following and seconds > SHORT_SECONDS):
                return  # progress was requested, or the end, while there was nothing to cut
            for line in stream.lines():
                yield event_of(line, self.kind)
        finally:
            self.stream = None
