"""Keeps the directory: lists once, then watches pods, services, EndpointSlices and nodes; lists again when it must."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import orjson
import structlog

from collector.kinds import WATCHED, Kind
from collector.listing import Listed, Pages, pages
from discovery.directory import Directory, Owner
from discovery.errors import ApiServerError
from discovery.records import NS_PER_SECOND

RETRY_SECONDS = 5.0
KEEP_AFTER_END_SECONDS = 15 * 60
EXPIRE_SECONDS = 60.0
REFUSED = ("forbidden", "unsupported")

log = structlog.get_logger()


class Source(Pages, Protocol):
    """Where pages and events come from: `collector.api_server.ApiServer`."""

    def lines(self, path: str, query: dict[str, str | int]) -> Iterator[bytes]:
        """The lines of a watch, until the server ends it."""


class KeptDirectory:
    """The directory behind a lock, with a watch a kind; `synced` is set once every kind was listed."""

    def __init__(
        self,
        api: Source,
        directory: Directory,
        namespace: str | None,
        window_seconds: float,
        expire_seconds: float = EXPIRE_SECONDS,
    ) -> None:
        self.api = api
        self.directory = directory
        self.namespace = namespace
        self.keep_ns = int((window_seconds + KEEP_AFTER_END_SECONDS) * NS_PER_SECOND)
        self.expire_seconds = expire_seconds
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.known: dict[str, set[str]] = {kind.name: set() for kind in WATCHED}
        self.listed: set[str] = set()
        self.failed: dict[str, str] = {}

    @property
    def synced(self) -> bool:
        """Whether every watched kind was listed, or is refused for good: a server out of reach proves no absence."""
        refused = {name for name, reason in self.failed.items() if reason.endswith(REFUSED)}
        return len(self.listed | refused) == len(WATCHED)

    def start(self) -> None:
        """Watch each kind from a thread of its own until `stop`, and let go of the past from another."""
        for kind in WATCHED:
            threading.Thread(target=self.keep, args=(kind,), name=f"watch-{kind.plural}", daemon=True).start()
        threading.Thread(target=self.keep_expiring, name="expire", daemon=True).start()

    def keep_expiring(self) -> None:
        """Drop the past now and then until `stop`: a watch that never fails never lists again."""
        while not self.stop.wait(self.expire_seconds):
            with self.lock:
                self.directory.expire(time.time_ns() - self.keep_ns)

    def learn(self, owners: Mapping[str, Owner]) -> None:
        """Take in the controllers of an inventory; of those known before, only the ones above a known pod stay."""
        with self.lock:
            before = self.directory.owners
            needed: dict[str, Owner] = {}
            for pod in self.directory.pods.values():
                uid = pod.owner
                while uid in before and uid not in needed:
                    needed[uid] = before[uid]
                    uid = before[uid].parent
            self.directory.owners = {**needed, **owners}

    def keep(self, kind: Kind) -> None:
        """List and watch a kind, again after every failure."""
        while not self.stop.is_set():
            try:
                version = self.list(kind)
                for event in self.events(kind, version):
                    self.take(kind, event)
            except ApiServerError as error:
                self.failed[kind.name] = str(error)
                log.warning("watch_failed", kind=kind.name, error=str(error))
                self.stop.wait(RETRY_SECONDS)

    def list(self, kind: Kind) -> str:
        """Take in every object of a kind, forget those that are gone, and return the list's resource version."""
        listed = Listed()
        seen: set[str] = set()
        at_ns = time.time_ns()
        for page in pages(self.api, kind, self.namespace, listed):
            if not page:  # the list began again: who was in the old snapshot alone is gone
                seen = set()
            with self.lock:
                for obj in page:
                    seen.add(obj["metadata"]["uid"])
                    self.known[kind.name].add(obj["metadata"]["uid"])
                    self.observe(kind, obj, at_ns)
        if listed.reason:
            raise ApiServerError(f"list of {kind.plural}: {listed.reason}")
        with self.lock:
            for uid in self.known[kind.name] - seen:
                self.directory.forget(kind.name, uid, at_ns)
            self.directory.expire(at_ns - self.keep_ns)
        self.known[kind.name] = seen
        self.listed.add(kind.name)
        self.failed.pop(kind.name, None)
        return listed.resource_version

    def observe(self, kind: Kind, obj: dict[str, Any], at_ns: int) -> None:
        """Tell the directory of an object; EndpointSlices own no address."""
        if kind.name != "EndpointSlice":
            self.directory.observe(kind.name, obj, at_ns)

    def events(self, kind: Kind, version: str) -> Iterator[dict[str, Any]]:
        """Events after a list, through every watch that the server ends; ApiServerError where a new list is needed."""
        while not self.stop.is_set():
            query: dict[str, str | int] = {"resourceVersion": version, "allowWatchBookmarks": "true"}
            for line in self.api.lines(kind.path(self.namespace), query):
                event = event_of(line, kind)
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield event

    def take(self, kind: Kind, event: dict[str, Any]) -> None:
        """Take in one event of a watch."""
        obj, at_ns = event["object"], time.time_ns()
        uid = obj["metadata"]["uid"]
        with self.lock:
            self.observe(kind, obj, at_ns)
            if event["type"] == "DELETED":
                self.directory.forget(kind.name, uid, at_ns)
                self.known[kind.name].discard(uid)
            else:
                self.known[kind.name].add(uid)


def event_of(line: bytes, kind: Kind) -> dict[str, Any]:
    """The event in a line of a watch; ApiServerError where the server ends the watch by it or it holds none."""
    try:
        event: dict[str, Any] = orjson.loads(line)
        if event["type"] == "ERROR":
            raise ApiServerError(f"watch {kind.plural}: {event['object'].get('message', 'ended')}")
        _version = event["object"]["metadata"]["resourceVersion"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ApiServerError(f"watch {kind.plural}: a line of {len(line)} bytes is no event") from error
    return event
