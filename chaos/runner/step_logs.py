"""The log streams of a run's steps, sent to the manager's log service by one thread; a step only ever adds to a list.

A stream's key is `<run>-<step>`. Lines are numbered from 1, so that one that is sent again is stored once. Of a log
service that does not answer the newest lines are kept; how many were lost stands in the stream where they are missing.
"""

import secrets
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import orjson
import structlog

from chaos.runner.environment import RunnerEnvironment
from podsonar.cookies import no_cookies
from podsonar.keep_alive import CLIENT_IDLE_SECONDS
from podsonar.masking import masked_text
from podsonar.supervised import Backoff, start_supervised
from podsonar.timestamp import rfc3339

LINES_KEPT = 4000  # of the whole run
LINES_PER_REQUEST = 200
LINE_CHARACTERS = 2000
TIMEOUT = httpx.Timeout(5.0, connect=3.0)
AGAIN_SECONDS = 5.0  # at most, between two tries
END_SECONDS = 5.0  # for what waits once the run is over
TAKEN = 204
REFUSED = (401, 403)  # whatever else is written, it is not for this token
UNUSABLE = (400, 413, 415)  # these lines are not taken at any time

log = structlog.get_logger()


class LineWriter(Protocol):
    """Adds a line to the log of a step."""

    def __call__(self, text: str, level: str = "info") -> object:
        """`level` is info, warn or error."""


class LogService(Protocol):
    """Where the streams are."""

    def send(self, method: str, key: str, lines: list[dict[str, Any]] | None = None) -> int:
        """The status of one request about a stream; 0 without an answer."""


class HttpLogService:
    """The manager's log service, by the token that writes this run's streams alone."""

    def __init__(self, settings: RunnerEnvironment) -> None:
        self.url, self.account = f"{settings.log_endpoint}/stream", settings.account
        self.http = httpx.Client(
            headers={"X-Harness-Token": settings.log_token, "Content-Type": "application/json"},
            cookies=no_cookies(),
            timeout=TIMEOUT,
            limits=httpx.Limits(keepalive_expiry=CLIENT_IDLE_SECONDS),
            verify=settings.verify,
        )

    def send(self, method: str, key: str, lines: list[dict[str, Any]] | None = None) -> int:
        """The status of one request about a stream; 0 without an answer."""
        query = {"accountID": self.account, "key": key}
        content = orjson.dumps(lines) if lines is not None else b""
        try:
            return self.http.request(method, self.url, params=query, content=content).status_code
        except httpx.HTTPError:
            return 0


@dataclass
class Stream:
    """One step's stream as its writer knows it; `lost_at` is the position of the last line that was lost."""

    key: str
    position: int = 0
    opened: bool = False
    closed: bool = False
    lost: int = 0
    lost_at: int = 0


@dataclass
class Waiting:
    """A line that is not sent; without one: the stream's end."""

    stream: Stream
    line: dict[str, Any] | None


class StepLogs:
    """The streams of one run. Without a service nothing is kept."""

    def __init__(self, service: LogService | None, run_id: str, hidden: tuple[str, ...] = ()) -> None:
        self.service, self.run_id, self.hidden = service, run_id, tuple(text for text in hidden if text)
        self.writer = f"{socket.gethostname()}-{secrets.token_hex(3)}"  # a runner that comes again counts anew
        self.streams: dict[str, Stream] = {}
        self.waiting: deque[Waiting] = deque()  # `lines` of them are lines, the others are ends
        self.sending: list[Waiting] = []
        self.lines = self.lost = 0
        self.lock = threading.Condition()
        self.ending, self.over = threading.Event(), threading.Event()
        self.pace = Backoff(0.5, AGAIN_SECONDS)
        self.thread = start_supervised("logs", self.turn, self.over) if service else None

    def writer_of(self, step: str) -> LineWriter:
        """What writes the step's lines."""

        def write(text: str, level: str = "info") -> None:
            self.write(step, text, level)

        return write

    def write(self, step: str, text: str, level: str = "info") -> None:
        """Add a line; returns at once, whatever the log service does. The runner's own log has the stream's order."""
        text = self.shown(text)
        with self.lock:
            log.info("step_log", step=step, text=text)
            if self.service is None:
                return
            stream = self.streams.setdefault(step, Stream(f"{self.run_id}-{step}"))
            stream.closed = False
            stream.position += 1
            self.put([Waiting(stream, self.line(level, stream.position, text))])

    def close(self, step: str) -> None:
        """The step writes no more: its stream is closed behind its lines."""
        with self.lock:
            stream = self.streams.get(step)
            if self.service is not None and stream is not None and not stream.closed:
                stream.closed = True
                self.put([Waiting(stream, None)])

    def shown(self, text: str) -> str:
        """The text without keys and tokens of this run and passwords in URLs, and not longer than a line may be."""
        for secret in self.hidden:
            text = text.replace(secret, "[redacted]")
        text = masked_text(text)
        left = len(text) - LINE_CHARACTERS
        return text if left <= 0 else f"{text[:LINE_CHARACTERS]}… {left} characters left out"

    def put(self, added: list[Waiting], *, back: bool = False) -> None:
        """Let lines wait, at the end or `back` at the beginning; beyond the limit the oldest are lost. Locked."""
        if back:
            self.waiting.extendleft(reversed(added))
        else:
            self.waiting.extend(added)
        self.lines += sum(one.line is not None for one in added)
        while self.lines > LINES_KEPT:
            place = next(at for at, one in enumerate(self.waiting) if one.line is not None)
            self.lose([self.waiting[place]])
            del self.waiting[place]
            self.lines -= 1
        self.lock.notify_all()

    def lose(self, lines: list[Waiting]) -> None:
        """Count lines that will not be sent. Locked."""
        for one in lines:
            if one.line is not None:
                self.lost += 1
                one.stream.lost += 1
                one.stream.lost_at = one.line["pos"]

    def turn(self) -> None:
        """Wait for something to send and send a part of it; a turn of the sending thread."""
        with self.lock:
            self.lock.wait_for(lambda: bool(self.waiting) or self.ending.is_set())
            if not self.waiting:
                self.over.set()
                return
            batch = self.sending = self.take()
        done = False
        try:
            done = self.send(batch)
        finally:  # what ends the turn unforeseen loses no line either
            with self.lock:
                self.sending = []
                if not done and not self.over.is_set():
                    self.put(batch, back=True)
        if done:
            self.pace.reset()
        else:
            self.over.wait(self.pace.next_seconds())

    def take(self) -> list[Waiting]:
        """The next lines of one stream, or its end. Locked."""
        batch = [self.waiting.popleft()]
        while batch[0].line is not None and self.waiting and len(batch) < LINES_PER_REQUEST:
            following = self.waiting[0]
            if following.stream is not batch[0].stream or following.line is None:
                break
            batch.append(self.waiting.popleft())
        self.lines -= sum(one.line is not None for one in batch)
        return batch

    def send(self, batch: list[Waiting]) -> bool:
        """Send a part of a stream; whether it is done with, be it stored or never to be."""
        stream = batch[0].stream
        if not stream.opened:
            status = self.ask("POST", stream.key)
            if status != TAKEN:
                return self.is_done(status, batch)
            stream.opened = True
        lines = [one.line for one in batch if one.line is not None]
        with self.lock:
            lost, note = stream.lost, self.note_of(stream)
        if note or lines:
            if not self.is_done(self.ask("PUT", stream.key, [*note, *lines]), batch):
                return False
            with self.lock:
                stream.lost -= lost
        if lines:
            return True
        stream.opened = False
        return self.is_done(self.ask("DELETE", stream.key), batch)

    def note_of(self, stream: Stream) -> list[dict[str, Any]]:
        """What stands in the place of the last line that was lost; nothing without one. Locked."""
        if not stream.lost:
            return []
        text = f"{stream.lost} lines were lost here: the log service did not take them in time"
        return [self.line("warn", stream.lost_at, text)]

    def line(self, level: str, position: int, text: str) -> dict[str, Any]:
        """A line as the log service takes it."""
        now = rfc3339(time.time_ns())
        return {"level": level, "pos": position, "out": text, "time": now, "args": {"PodName": self.writer}}

    def ask(self, method: str, key: str, lines: list[dict[str, Any]] | None = None) -> int:
        """The status of one request; 0 without an answer."""
        return self.service.send(method, key, lines) if self.service is not None else 0

    def is_done(self, status: int, batch: list[Waiting]) -> bool:
        """Whether a request need not be made again."""
        if status in UNUSABLE:
            with self.lock:
                self.lose(batch)
            log.warning("step_log_not_taken", status=status, key=batch[0].stream.key, lines=len(batch))
            return True
        return status == TAKEN or self.is_refused(status, batch)

    def is_refused(self, status: int, batch: list[Waiting]) -> bool:
        """Whether the log service wants nothing of this run: then nothing more is sent."""
        if status not in REFUSED:
            return False
        with self.lock:
            self.lose([*batch, *self.waiting])
            self.waiting.clear()
            self.lines, self.service = 0, None
        log.warning("step_logs_refused", status=status, lines=self.lost)
        return True

    def end(self, seconds: float = END_SECONDS) -> None:
        """Send what waits, for some seconds at most; what is left is counted in the runner's own log."""
        self.ending.set()
        with self.lock:
            self.lock.notify_all()
        if self.thread is not None:
            self.thread.join(seconds)
        self.over.set()
        with self.lock:
            self.lose([*self.sending, *self.waiting])
            self.waiting.clear()
        if self.lost:
            log.warning("step_log_lines_lost", lines=self.lost)


def step_logs(settings: RunnerEnvironment, run_id: str) -> StepLogs:
    """The streams of a run, if its settings name a log service and a token for it."""
    wanted = settings.log_endpoint and settings.log_token
    service = HttpLogService(settings) if wanted else None
    return StepLogs(service, run_id, (settings.access_key, settings.log_token))
