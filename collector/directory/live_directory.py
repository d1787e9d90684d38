"""Keeps the directory of the cluster: a reflector per kind reports every object and change; a file outlives a restart.

With Roles alone there is a reflector per kind and namespace, and none for kinds that are in no namespace: a part of the
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
from collector.directory.watch_events import Source, WatchEvent
from collector.k8s.kinds import WATCHED, WatchTarget
from directory import snapshot
from directory.interval import REPORT_NS, OwnerKey
from directory.inventory_snapshots import OWNER_KINDS
from directory.lookup import Directory
from directory.object_fields import mapping_at, text_at
from directory.pods.table import uid_key
from podsonar.directory_answer import Answer, Query
from podsonar.errors import InputError
from podsonar.owner_chain import Controller
from podsonar.supervised import place_of, run_supervised
from podsonar.timestamp import NS_PER_SECOND, rfc3339

KEEP_AFTER_END_SECONDS = 15 * 60
EXPIRE_SECONDS = 60.0
SAVE_PAUSE_SHARE = 50  # a save that takes a second is followed by 50 without one: at most 2 % of a core
QUIET_NS = 60 * NS_PER_SECOND  # a kind that has no changes has no bookmarks either
STALE_NS = 180 * NS_PER_SECOND  # without progress: three requests for it were in vain

log = structlog.get_logger()


def skipped_kinds(namespaces: Sequence[str] | None) -> dict[str, str]:
    """Return the watched kinds that Roles do not reach, and why they are not followed."""
    if namespaces is None:
        return {}
    return {kind.name: "namespaced" for kind in WATCHED if not kind.namespaced}


def watch_targets(namespaces: Sequence[str] | None) -> list[WatchTarget]:
    """Return what is followed: each watched kind in the whole cluster (None), or once in each of some namespaces."""
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
        self.save_at = 0.0  # monotonic seconds
        self.file = file
        self.metrics = metrics or DirectoryMetrics(CollectorRegistry())
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.reflectors = {target.name: Reflector(api, target, self) for target in watch_targets(namespaces)}
        self.skipped = skipped_kinds(namespaces)
        self.seen: dict[str, set[OwnerKey]] = {}
        self.began_ns: dict[str, int] = {}
        self.through_ns: dict[str, int] = {}  # until then everything about it is known, by what is followed
        self.whole: set[str] = set()
        self.refusals: dict[str, str] = {}
        self.rejects: dict[str, set[str]] = {}  # names of objects that could not be used, by what is followed
        self.failures: dict[str, str] = {}
        self.directory.incomplete = self.incomplete()
        self.metrics.watch_directory(self)

    @property
    def synced(self) -> bool:
        """Whether all that is followed was listed, or is refused for good: a server out of reach proves no absence."""
        return self.reflectors.keys() <= self.whole | self.refusals.keys()

    @property
    def as_of_ns(self) -> int:
        """The moment until which everything is known that the API server knew; 0 before the first lists."""
        if not self.synced:
            return 0
        return min((self.through_ns[name] for name in self.reflectors if name not in self.refusals), default=0)

    @property
    def stale(self) -> list[str]:
        """The watch targets without progress for too long, for any reason."""
        before_ns = time.time_ns() - STALE_NS
        return [name for name, at_ns in self.through_ns.items() if name not in self.refusals and at_ns < before_ns]

    @property
    def unready(self) -> str | None:
        """Why the directory cannot answer about the present; None if it can."""
        if not self.synced:
            return "directory_not_synced"
        return "directory_stale" if self.stale else None

    def incomplete(self) -> dict[str, str]:
        """Return why not every object is known of those kinds whose objects own addresses."""
        if self.skipped:
            return dict.fromkeys(OWNER_KINDS, "namespaced")
        reasons = {name: f"{name.lower()}_rejected" for name, names in self.rejects.items() if names}
        reasons |= {name: f"{name.lower()}_{reason}" for name, reason in self.refusals.items()}
        return {kind: reason for kind, reason in reasons.items() if kind in OWNER_KINDS}

    def start(self) -> None:
        """Follow each target in its own thread until `close`, and drop the past in another one."""
        self.restore()
        for name, reason in self.skipped.items():
            log.info("kind_not_followed", kind=name, reason=reason)
        for name, reflector in self.reflectors.items():
            threading.Thread(target=reflector.run, name=f"watch-{name}", daemon=True).start()
        threading.Thread(target=self.maintenance_loop, name="expire", daemon=True).start()

    def close(self) -> None:
        """End every thread and save what is known."""
        self.stop.set()
        for reflector in self.reflectors.values():
            reflector.end()
        self.save()

    def maintenance_loop(self) -> None:
        """Drop the past, request progress and save the rest now and then until `stop`."""
        run_supervised("maintenance", self.maintain, self.stop, self.metrics.count_loop_failure)

    def maintain(self) -> None:
        """Wait, then do one turn of maintenance; a slow disk delays the next save, never the request for progress."""
        if self.stop.wait(self.expire_seconds):
            return
        with self.lock:
            self.directory.expire(time.time_ns() - self.keep_ns)
        self.request_progress(time.time_ns() - QUIET_NS)
        began = time.monotonic()
        if began >= self.save_at:
            self.save()
            ended = time.monotonic()
            self.save_at = ended + SAVE_PAUSE_SHARE * (ended - began)

    def save(self) -> None:
        """Write what is known to the file, if there is one and anything was listed."""
        if self.file is None or not self.whole:
            return
        with self.lock:  # everything followed is named, also what has not been listed yet
            through_ns = {name: self.through_ns.get(name, 0) for name in self.reflectors}
            state = snapshot.state_of(self.directory, through_ns, time.time_ns())
        self.metrics.count_save(snapshot_file.write(self.file, state))

    def restore(self) -> None:
        """Take what an earlier process saved, if that can be trusted."""
        if self.file is None:
            return
        saved, result = snapshot_file.read(self.file, time.time_ns(), self.keep_ns)
        if saved is not None and (unfollowed := sorted(saved.through_ns.keys() - self.reflectors.keys())):
            # Nothing would report that what is known of them has ended.
            log.warning("directory_file_ignored", file=str(self.file), reason="other_namespaces", kinds=unfollowed)
            saved, result = None, "other_namespaces"
        self.metrics.count_restore(result)
        if saved is not None:
            restored, now = saved.directory, self.directory
            restored.selection, restored.configured, restored.incomplete = now.selection, now.configured, now.incomplete
            with self.lock:
                self.directory = restored
            self.through_ns.update(saved.through_ns)
            log.info("directory_remembered", pods=len(self.directory.pods), saved=rfc3339(saved.saved_ns))

    def request_progress(self, wanted_ns: int) -> None:
        """Make every watch that is behind `wanted_ns` catch up now, or prove that nothing has changed."""
        for name, reflector in self.reflectors.items():
            if name not in self.refusals and self.through_ns.get(name, 0) < wanted_ns:
                reflector.request_progress()

    def answers(self, queries: list[Query]) -> list[Answer]:
        """Return one answer per question."""
        with self.lock:
            answers = [self.directory.answer(query) for query in queries]
        self.metrics.count_answers(answers)
        return answers

    def explained(self, queries: list[Query]) -> list[list[dict[str, Any]]]:
        """Return every past and present owner of each requested address."""
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

    def list_started(self, target: WatchTarget) -> None:
        """Note that a list begins: what it does not name is gone."""
        self.seen[target.name], self.began_ns[target.name] = set(), time.time_ns()
        self.rejects[target.name] = set()

    def apply_listed(self, target: WatchTarget, obj: Mapping[str, Any]) -> None:
        """Take an object as it is in the list."""
        if self.apply(target, obj):
            self.seen[target.name].add(uid_key(obj["metadata"]["uid"]))

    def list_completed(self, target: WatchTarget) -> None:
        """Delete what the whole list does not name: it went between the last proof of it and now."""
        name, kind, at_ns = target.name, target.kind.name, time.time_ns()
        known_ns = self.through_ns.get(name, 0)
        with self.lock:
            for uid in self.directory.missing(kind, self.seen.pop(name), target.namespace):
                self.directory.delete(kind, uid, at_ns, known_ns)
            self.directory.add_unwatched(kind, max(0, known_ns - REPORT_NS), at_ns)
            self.through_ns[name] = self.began_ns.pop(name)
            self.whole.add(name)
            self.refusals.pop(name, None)
            self.directory.incomplete = self.incomplete()
        self.failures.pop(name, None)

    def apply_event(self, target: WatchTarget, event: WatchEvent) -> None:
        """Take one change of a watch."""
        uid = event.obj["metadata"]["uid"] if self.apply(target, event.obj) else None
        with self.lock:
            self.directory.incomplete = self.incomplete()
            if uid is not None and event.type == "DELETED":
                known_ns = self.through_ns.get(target.name, 0)
                self.directory.delete(target.kind.name, uid, time.time_ns(), known_ns, event.obj)

    def apply(self, target: WatchTarget, obj: Mapping[str, Any]) -> bool:
        """Take an object as it is now; one that cannot be used is counted, and its kind is not known whole."""
        kind, at_ns = target.kind.name, time.time_ns()
        meta = mapping_at(obj, "metadata") if isinstance(obj, Mapping) else {}
        name = f"{text_at(meta, 'namespace')}/{text_at(meta, 'name')}"[:120]
        try:
            with self.lock:
                self.directory.apply(kind, obj, at_ns, self.through_ns.get(target.name, 0))
        except InputError:
            reason, place = "no_identity", None
        except Exception as error:  # noqa: BLE001 - no object ends a watch
            reason, place = "unexpected", place_of(error)
        else:
            self.rejects.get(target.name, set()).discard(name)
            return True
        self.rejects.setdefault(target.name, set()).add(name)
        self.metrics.rejected.labels(kind, reason).inc()
        log.warning("object_rejected", kind=kind, name=name, reason=reason, place=place)
        return False

    def advance(self, target: WatchTarget, at_ns: int) -> None:
        """Note that everything up to that moment has been received."""
        self.through_ns[target.name] = max(at_ns, self.through_ns.get(target.name, 0))
        self.failures.pop(target.name, None)

    def record_failure(self, target: WatchTarget, reason: str, *, refused: bool) -> None:
        """Record that the target cannot be followed; `refused`: for lack of rights, or the server does not have it.

        Nothing about a refused target is known after the last proof: its objects may change unobserved. What has been
        listed before waits for `STALE_NS` first: a role that is replaced takes the right away for a moment only, and a
        question about that time gets its answer later.
        """
        self.failures[target.name] = reason
        at_ns, known_ns, kind = time.time_ns(), self.through_ns.get(target.name, 0), target.kind.name
        if not refused or (target.name in self.whole and at_ns - known_ns < STALE_NS):
            return
        with self.lock:
            self.refusals[target.name] = "unsupported" if "unsupported" in reason else "forbidden"
            for uid in self.directory.missing(kind, set(), target.namespace):
                self.directory.delete(kind, uid, at_ns, known_ns)
            self.directory.incomplete = self.incomplete()

    def count(self, target: WatchTarget, what: str) -> None:
        """Count a list, a watch, a bookmark, a probe or an error of a turn."""
        self.metrics.count(target.kind.name, what)
