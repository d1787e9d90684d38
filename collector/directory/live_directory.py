"""Keeps the directory: a follower a kind tells of every object and change; what was learned outlives a restart.

With Roles alone there is a follower a kind and namespace, and none of kinds that are in no namespace: a part of the
cluster is seen then, and the directory knows that it is one.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from collector.directory import snapshot_file
from collector.directory.metrics import DirectoryMetrics
from collector.directory.reflector import Reflector
from collector.directory.watch_events import Source
from collector.k8s.kinds import WATCHED, WatchTarget
from directory import snapshot
from directory.interval import REPORT_NS, OwnerKey
from directory.lookup import Directory
from directory.pod_table import uid_key
from podsonar.model import NS_PER_SECOND, Answer, Query, rfc3339
from podsonar.owner_chain import Controller

KEEP_AFTER_END_SECONDS = 15 * 60
EXPIRE_SECONDS = 60.0
SAVE_PAUSE_SHARE = 50  # a save that takes a second is followed by 50 without one: at most 2 % of a core
QUIET_NS = 60 * NS_PER_SECOND  # a kind that nothing happens to has no bookmarks either

log = structlog.get_logger()


def skipped_kinds(namespaces: Sequence[str] | None) -> dict[str, str]:
    """The watched kinds that Roles do not reach, and why they are not followed."""
    if namespaces is None:
        return {}
    return {kind.name: "namespaced" for kind in WATCHED if not kind.namespaced}


def watch_targets(namespaces: Sequence[str] | None) -> list[WatchTarget]:
    """What is followed: each watched kind in the whole cluster (None), or once in each of some namespaces."""
    if namespaces is None:
        return [WatchTarget(kind) for kind in WATCHED]
    names = dict.fromkeys(namespaces)
    return [WatchTarget(kind, name) for name in names for kind in WATCHED if kind.namespaced]


class LiveDirectory:
    """The directory behind a lock, with a watch of everything followed; `synced` once all of that was listed."""

    def __init__(
        self,
        api: Source,
        directory: Directory,
        namespaces: Sequence[str] | None,
        window_seconds: float,
        expire_seconds: float = EXPIRE_SECONDS,
        *,
        file: Path | None = None,
        metrics: DirectoryMetrics | None = None,
    ) -> None:
        self.directory = directory
        self.keep_ns = int((window_seconds + KEEP_AFTER_END_SECONDS) * NS_PER_SECOND)
        self.expire_seconds = expire_seconds
        self.file = file
        self.metrics = metrics or DirectoryMetrics(CollectorRegistry())
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.reflectors = {one.name: Reflector(api, one, self) for one in watch_targets(namespaces)}
        self.skipped = skipped_kinds(namespaces)
        self.directory.partial = "namespaced" if self.skipped else None
        self.seen: dict[str, set[OwnerKey]] = {}
        self.began_ns: dict[str, int] = {}
        self.through_ns: dict[str, int] = {}  # until then everything about it is known, by what is followed
        self.whole: set[str] = set()
        self.refusals: set[str] = set()
        self.failures: dict[str, str] = {}
        self.metrics.watch_directory(self)

    @property
    def synced(self) -> bool:
        """Whether all that is followed was listed, or is refused for good: a server out of reach proves no absence."""
        return self.reflectors.keys() <= self.whole | self.refusals

    @property
    def as_of_ns(self) -> int:
        """The moment until which everything is known that the API server knew; 0 before the first lists."""
        if not self.synced:
            return 0
        return min((self.through_ns[name] for name in self.reflectors if name not in self.refusals), default=0)

    def start(self) -> None:
        """Follow each from a thread of its own until `close`, and let go of the past from another."""
        self.restore()
        for name, reason in self.skipped.items():
            log.info("kind_not_followed", kind=name, reason=reason)
        for name, follower in self.reflectors.items():
            threading.Thread(target=follower.run, name=f"watch-{name}", daemon=True).start()
        threading.Thread(target=self.maintenance_loop, name="expire", daemon=True).start()

    def close(self) -> None:
        """End every thread and save what is known."""
        self.stop.set()
        for follower in self.reflectors.values():
            follower.end()
        self.save()

    def maintenance_loop(self) -> None:
        """Drop the past and save the rest now and then until `stop`."""
        pause_seconds = self.expire_seconds
        while not self.stop.wait(pause_seconds):
            with self.lock:
                self.directory.expire(time.time_ns() - self.keep_ns)
            self.request_progress(time.time_ns() - QUIET_NS)
            began = time.monotonic()
            self.save()
            pause_seconds = max(self.expire_seconds, SAVE_PAUSE_SHARE * (time.monotonic() - began))

    def save(self) -> None:
        """Write what is known to the file, if there is one and anything was listed."""
        if self.file is None or not self.whole:
            return
        with self.lock:  # everything followed is named, of which nothing was listed yet as well
            through_ns = {name: self.through_ns.get(name, 0) for name in self.reflectors}
            state = snapshot.state_of(self.directory, through_ns, time.time_ns())
        self.metrics.count_save(snapshot_file.write(self.file, state))

    def restore(self) -> None:
        """Take in what an earlier process saved, where that can be trusted."""
        if self.file is None:
            return
        found, result = snapshot_file.read(self.file, time.time_ns(), self.keep_ns)
        if found is not None and (unfollowed := sorted(found.through_ns.keys() - self.reflectors.keys())):
            # Nobody would tell that what is known of them has ended.
            log.warning("directory_file_ignored", file=str(self.file), reason="other_namespaces", kinds=unfollowed)
            found, result = None, "other_namespaces"
        self.metrics.count_restore(result)
        if found is not None:
            found.directory.selection, found.directory.partial = self.directory.selection, self.directory.partial
            with self.lock:
                self.directory = found.directory
            self.through_ns.update(found.through_ns)
            log.info("directory_remembered", pods=len(self.directory.pods), saved=rfc3339(found.saved_ns))

    def request_progress(self, wanted_ns: int) -> None:
        """Have every watch that has not told everything up to a moment find out soon whether it has."""
        for name, follower in self.reflectors.items():
            if name not in self.refusals and self.through_ns.get(name, 0) < wanted_ns:
                follower.request_progress()

    def answers(self, queries: list[Query]) -> list[Answer]:
        """One answer a question."""
        with self.lock:
            found = [self.directory.answer(query) for query in queries]
        self.metrics.count_answers(found)
        return found

    def explained(self, queries: list[Query]) -> list[list[dict[str, Any]]]:
        """Everybody who has or had each asked address."""
        with self.lock:
            return [self.directory.explain(query.address) if query.address else [] for query in queries]

    def add_controllers(self, controllers: Mapping[str, Controller]) -> None:
        """Take the controllers of an inventory; of those known before, only the ones above a known pod stay."""
        with self.lock:
            before = self.directory.controllers
            needed: dict[str, Controller] = {}
            for lowest in self.directory.pods.controllers():
                uid: str | None = lowest
                while uid in before and uid not in needed:
                    needed[uid] = before[uid]
                    parent = before[uid].parent
                    uid = parent.uid if parent else None
            self.directory.controllers = {**needed, **controllers}

    def list_started(self, one: WatchTarget) -> None:
        """A list begins: what it does not name is gone."""
        self.seen[one.name], self.began_ns[one.name] = set(), time.time_ns()

    def apply_listed(self, one: WatchTarget, obj: dict[str, Any]) -> None:
        """Take in an object as it is in the list."""
        with self.lock:
            self.directory.apply(one.kind.name, obj, time.time_ns(), self.through_ns.get(one.name, 0))
        self.seen[one.name].add(uid_key(obj["metadata"]["uid"]))

    def list_completed(self, one: WatchTarget) -> None:
        """Forget what the whole list does not name: when it went, between the last word of it and now, nobody knows."""
        name, kind, at_ns = one.name, one.kind.name, time.time_ns()
        known_ns = self.through_ns.get(name, 0)
        with self.lock:
            for uid in self.directory.missing(kind, self.seen.pop(name), one.namespace):
                self.directory.delete(kind, uid, at_ns, known_ns)
            self.directory.unwatched.append((max(0, known_ns - REPORT_NS), at_ns))
            self.through_ns[name] = self.began_ns.pop(name)
        self.whole.add(name)
        self.refusals.discard(name)
        self.failures.pop(name, None)

    def apply_event(self, one: WatchTarget, event: dict[str, Any]) -> None:
        """Take in one event of a watch."""
        obj, at_ns, known_ns = event["object"], time.time_ns(), self.through_ns[one.name]
        with self.lock:
            self.directory.apply(one.kind.name, obj, at_ns, known_ns)
            if event["type"] == "DELETED":
                self.directory.delete(one.kind.name, obj["metadata"]["uid"], at_ns, known_ns, obj)

    def advance(self, one: WatchTarget, at_ns: int) -> None:
        """Everything up to that moment has been told."""
        self.through_ns[one.name] = max(at_ns, self.through_ns[one.name])
        self.failures.pop(one.name, None)

    def record_failure(self, one: WatchTarget, reason: str, *, refused: bool) -> None:
        """It cannot be followed now; `refused`: we may not, or the server does not have it."""
        self.failures[one.name] = reason
        if refused and one.name not in self.whole:
            self.refusals.add(one.name)

    def count(self, one: WatchTarget, what: str) -> None:
        """Count a list, a watch or a bookmark."""
        self.metrics.count(one.kind.name, what)
