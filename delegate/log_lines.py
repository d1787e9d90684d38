"""The log of a task, line by line into its stream at the manager; a log that cannot be written holds no work up.

Lines are numbered from 1 per attempt, so that one that is sent again is stored once.
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlencode

from delegate.task import Task
from podsonar.errors import ManagerUnavailableError, TokenError
from podsonar.timestamp import rfc3339

LINES_KEPT = 1000
LINES_PER_REQUEST = 200


class LogService(Protocol):
    """Where streams are: `delegate.poll.Manager`."""

    def log(self, method: str, query: str, lines: list[dict[str, Any]] | None) -> int:
        """The status of one request to the log service."""


class LogLines:
    """The stream of one attempt of a task; `count(result, number)` gets what became of lines."""

    def __init__(self, service: LogService, task: Task, count: Callable[[str, int], object]) -> None:
        self.service, self.count = service, count
        self.query = urlencode({"accountID": task.log.account, "key": task.log.key})
        self.writer = {"PodName": f"{socket.gethostname()}-{task.id}-{task.attempt}"}
        self.lock = threading.Lock()
        self.position = 0
        self.waiting: list[dict[str, Any]] = []
        self.wanted = bool(task.log.key)

    def write(self, text: str, level: str = "info") -> None:
        """Add a line, and send what waits."""
        if not self.wanted:
            return
        with self.lock:
            self.position += 1
            line = {
                "level": level,
                "pos": self.position,
                "out": text,
                "time": rfc3339(time.time_ns()),
                "args": self.writer,
            }
            self.waiting.append(line)
            if len(self.waiting) > LINES_KEPT:
                del self.waiting[0]
                self.count("dropped", 1)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the log service takes it."""
        with self.lock:
            while self.waiting:
                some = self.waiting[:LINES_PER_REQUEST]
                try:
                    status = self.service.log("PUT", self.query, some)
                except (ManagerUnavailableError, TokenError):
                    return
                if status in (401, 403, 404):
                    self.count("refused", len(self.waiting))
                    self.waiting.clear()
                    self.wanted = False
                if status != 204:
                    return
                del self.waiting[: len(some)]
                self.count("sent", len(some))

    def end(self) -> None:
        """Send what waits for the last time; what stays is counted."""
        self.flush()
        if self.waiting:
            self.count("dropped", len(self.waiting))
