"""Lists and watches one kind, in one namespace or all: everything once, then each change from the last version on.

Every loop has a pace (`podsonar.supervised.Backoff`) that only progress resets: a new version, not an answer.
"""

import random
import threading
import time
from collections.abc import Generator
from contextlib import closing

import orjson
import structlog

from collector.directory.progress_proof import ProgressProof
from collector.directory.watch_events import Lines, ListAgainError, Observer, Source, WatchEvent, event_of, is_forbidden
from collector.k8s.kinds import WatchTarget
from collector.k8s.paged_list import Listed, list_pages, wait_seconds
from podsonar.errors import ApiServerError, WatchRefusedError
from podsonar.supervised import Backoff, run_supervised

WATCH_SECONDS = 300
SPREAD_SECONDS = 60  # more, by chance: the watches of many collectors do not end together
SHORT_SECONDS = 4  # a server sends a bookmark two seconds before a watch's end, if its version has moved
LASTING_SECONDS = 2.0  # a watch that ends earlier and brought nothing is opened again at a pace
STEADY_SECONDS = 60.0  # after a list: one that is needed again earlier is made at a pace
PROBE_SECONDS = 10.0  # between the probes of a watch that has events
PROBE_PACE_SECONDS = 1.0  # between the probes that are requested
MOST_UNPROVEN, MOST_BEHIND = 5, 45  # probes in a row, each followed by a watch of 4 s; then the kind is listed again
MOST_BROKEN_WATCH_LISTS = 3
NEW_LIST_STATUS = (400, 404, 410, 422)
FORBIDDEN_SECONDS = 120.0  # a role or binding that is replaced takes the right away for a moment; then a list decides
LIST_STATUS = {"unauthorized": 401, "forbidden": 403, "unsupported": 404}
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
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
        self.list_reason = "start"
        self.proof = ProgressProof("")
        self.progress_requested = False
        self.stream: Lines | None = None
        self.following = self.cut_by_us = False
        self.watch_list = True
        self.broken_watch_lists = 0
        self.listed_at = self.probed_at = float("-inf")  # monotonic seconds
        self.forbidden_at: float | None = None  # since when the watch is refused for lack of rights
        self.list_pace = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self.watch_pace = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)

    def run(self) -> None:
        """Follow the kind until `stop`, whatever is answered and whatever an object holds."""
        pace = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        run_supervised(
            f"watch-{self.kind.name}",
            self.list_and_watch,
            self.stop,
            lambda _name: self.observer.count(self.target, "loop_failed"),
            pace,
        )

    def list_and_watch(self) -> None:
        """List everything and watch it until that cannot go on; then wait as long as a new list has to."""
        try:
            self.observer.count(self.target, f"list_{self.list_reason}")
            self.list_reason = "failed"
            self.proof = ProgressProof(self.list_all())
            self.listed_at = time.monotonic()
            self.following = True
            while not self.stop.is_set():
                self.watch_once()
        except ListAgainError as error:
            log.info("watch_expired", kind=self.target.name, error=str(error))
            self.list_reason = "expired"
            self.pause(error, self.list_pace_now())
        except ApiServerError as error:
            status = error.status if isinstance(error, WatchRefusedError) else 0
            self.observer.record_failure(self.target, str(error), refused=status in (403, 404))
            log.warning("list_failed", kind=self.target.name, error=str(error))
            self.pause(error, self.list_pace_now())
        finally:
            self.following = False

    def list_pace_now(self) -> Backoff:
        """Return the pace of lists, from its beginning if the last list has lasted."""
        if time.monotonic() - self.listed_at >= STEADY_SECONDS and self.list_reason == "expired":
            self.list_pace.reset()
        return self.list_pace

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
        """Have the watch prove soon that everything has been received: a probe, then a short watch if it needs one."""
        if self.progress_requested or time.monotonic() - self.probed_at < PROBE_PACE_SECONDS:
            return
        self.progress_requested = True
        if self.following:  # a list is left alone: it ends with proof as well
            self.cut_by_us = True
            self.cut()

    def pause(self, error: ApiServerError, pace: Backoff) -> None:
        """Wait at a pace before the next try, or longer if the server asks for it; 401 renews the identity."""
        retry_after = error.retry_after if isinstance(error, WatchRefusedError) else None
        if isinstance(error, WatchRefusedError) and error.status == 401:
            try:
                self.api.renew()
            except ApiServerError as unreadable:
                log.warning("identity_unreadable", error=str(unreadable))
        seconds = pace.next_seconds()
        self.stop.wait(max(seconds, wait_seconds(retry_after, 0)) if retry_after else seconds)

    def list_all(self) -> str:
        """Report every object, by a watch list or by pages; return the version to watch from."""
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
        """List by a watch list; WatchRefusedError 400 from a server that takes the request for a plain watch."""
        self.observer.list_started(self.target)
        with closing(self.watch_events(dict(WATCH_LIST), WATCH_SECONDS)) as events:
            for event in events:
                if event.type != "BOOKMARK":
                    self.observer.apply_listed(self.target, event.obj)
                    continue
                if not event.ends_initial_events or not event.version:
                    raise WatchRefusedError(f"watch {self.path}: a bookmark before the end of the initial events", 400)
                self.broken_watch_lists = 0
                self.observer.list_completed(self.target)
                self.observer.count(self.target, "streamed")
                return event.version
        self.broken_watch_lists += 1
        self.watch_list = self.broken_watch_lists < MOST_BROKEN_WATCH_LISTS
        raise ApiServerError(f"watch {self.path} ended before every object was sent")

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        self.stop.wait(seconds)

    def list_by_pages(self) -> str:
        """List by pages."""
        listed = Listed()
        self.observer.list_started(self.target)
        for page in list_pages(self.api, self.kind, self.target.namespace, listed, self.sleep):
            if not page:  # the list began again: what was in the old snapshot alone is gone
                self.observer.list_started(self.target)
            for obj in page:
                self.observer.apply_listed(self.target, obj)
        if listed.reason:
            text, status = f"list of {self.kind.plural}: {listed.reason}", LIST_STATUS.get(listed.reason)
            raise WatchRefusedError(text, status) if status else ApiServerError(text)
        self.observer.list_completed(self.target)
        return listed.resource_version

    def watch_once(self) -> None:
        """Report every change of one watch, from the last version on; ListAgainError if it cannot go on from there."""
        before, began = self.proof.received, time.monotonic()
        error: ApiServerError | None = None
        try:
            self.receive_events()
        except ApiServerError as raised:
            error = raised
        ours, self.cut_by_us = self.cut_by_us or self.stop.is_set(), False
        brought = self.proof.received != before
        if brought:
            self.watch_pace.reset()
        if not is_forbidden(error):
            self.forbidden_at = None
        if isinstance(error, ListAgainError | WatchRefusedError):
            self.handle_refusal(error)
        elif ours:
            return
        elif error is not None:
            log.warning("watch_cut", kind=self.target.name, error=str(error))
            self.observer.count(self.target, "cut")
            self.pause(error, self.watch_pace)
        elif not brought and time.monotonic() - began < LASTING_SECONDS:
            self.stop.wait(self.watch_pace.next_seconds())

    def receive_events(self) -> None:
        """Open one watch and report its changes; with progress requested a short one, after a probe that needs it."""
        if self.progress_requested:
            self.probe_for_short_watch()
        chance = random.randrange(SPREAD_SECONDS)  # noqa: S311
        seconds = SHORT_SECONDS if self.progress_requested else WATCH_SECONDS + chance
        query: dict[str, str | int] = {"resourceVersion": self.proof.received, "allowWatchBookmarks": "true"}
        with closing(self.watch_events(query, seconds)) as events:
            for event in events:
                if event.type == "BOOKMARK":
                    self.observer.count(self.target, "bookmark")
                else:
                    self.observer.apply_event(self.target, event)
                if event.version:
                    self.advance(self.proof.receive(event.version))
                self.probe_beside_events()

    def advance(self, proven_ns: int | None) -> None:
        """Report the moment up to which everything has been received, if one is proven now."""
        if proven_ns is not None:
            self.progress_requested = False
            self.observer.count(self.target, "proven")
            self.observer.advance(self.target, proven_ns)

    def probe(self) -> None:
        """Read the version of the cluster at this moment, by the smallest consistent list (`ProgressProof`).

        Asking also moves the version of the server's watch cache on (consistent reads from the cache, Kubernetes 1.31),
        and the bookmark of the next watch comes with it.
        """
        self.probed_at, began_ns = time.monotonic(), time.time_ns()
        self.observer.count(self.target, "probe")
        status, retry_after, body = self.api.page(self.path, {"limit": 1})
        if status != 200:
            raise WatchRefusedError(f"list of {self.kind.plural} answered {status}", status, retry_after)
        try:
            version = str(orjson.loads(body)["metadata"]["resourceVersion"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ApiServerError(f"list of {self.kind.plural}: {len(body)} bytes are no list") from error
        self.advance(self.proof.probed(version, began_ns))

    def probe_for_short_watch(self) -> None:
        """Probe as requested; ListAgainError if the watches that followed the last ones proved none of them."""
        if self.proof.unproven >= (MOST_BEHIND if self.proof.probe_version is None else MOST_UNPROVEN):
            raise ListAgainError(f"watch {self.kind.plural}: nothing received proves {self.proof.unproven} probes")
        self.proof.unproven += 1
        try:
            self.probe()
        except ApiServerError:
            self.proof.unproven -= 1  # it was not made, and no watch follows it
            raise

    def probe_beside_events(self) -> None:
        """Probe without ending the watch: a probe that fails is counted and proves nothing."""
        due = time.monotonic() - max(self.probed_at, self.listed_at) > PROBE_SECONDS
        if not due or self.proof.probe_version is not None:  # one that waits for its proof is not replaced
            return
        try:
            self.probe()
        except ApiServerError as error:
            self.observer.count(self.target, "probe_failed")
            log.info("probe_failed", kind=self.target.name, error=str(error))

    def handle_refusal(self, error: ApiServerError) -> None:
        """Wait if the watch may go on from its version, without rights for a while; ListAgainError if it may not."""
        if is_forbidden(error):
            self.forbidden_at = self.forbidden_at or time.monotonic()
            waits = time.monotonic() - self.forbidden_at < FORBIDDEN_SECONDS
        else:
            waits = isinstance(error, WatchRefusedError) and error.status not in NEW_LIST_STATUS
        if waits:
            self.observer.record_failure(self.target, str(error), refused=False)
            log.warning("watch_refused", kind=self.target.name, error=str(error))
            self.pause(error, self.watch_pace)
            return
        raise ListAgainError(str(error)) from error

    def watch_events(self, query: dict[str, str | int], seconds: int) -> Generator[WatchEvent, None, None]:
        """Yield the events of one watch."""
        self.observer.count(self.target, "watch")
        stream = self.api.watch(self.path, query, seconds)
        self.stream = stream
        try:
            if self.stop.is_set() or (self.progress_requested and self.following and seconds > SHORT_SECONDS):
                return  # progress was requested, or the end, while there was nothing to cut
            for line in stream.lines():
                yield event_of(line, self.kind)
        finally:
            self.stream = None
