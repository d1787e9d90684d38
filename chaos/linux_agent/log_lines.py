"""The log lines of one task: numbered requests of which each is sent until it is taken, and the whole as a text."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

LINES_PER_REQUEST = 500
KEPT_LINES = 10_000


class TaskLog:
    """Lines from any thread; one thread sends them."""

    def __init__(self, task: dict[str, Any], clock: Callable[[], float]) -> None:
        self.task, self.clock = task, clock
        self.lock = threading.Lock()
        self.lines: list[dict[str, Any]] = []
        self.left_out = 0
        self.sent = 0
        self.request: tuple[str, int, bytes] | None = None

    def write(self, out: str, level: str = "info", **args: str) -> None:
        """Add a line."""
        time = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line: dict[str, Any] = {"level": level, "pos": 0, "out": out, "time": time}
        with self.lock:
            if len(self.lines) >= KEPT_LINES:
                self.left_out += 1
            else:
                self.lines.append(line | {"args": args} if args else line)

    def next_request(self) -> tuple[str, bytes] | None:
        """The id and body of the next request, the same until `taken`; None if there is nothing to send."""
        if self.request is None:
            with self.lock:
                lines = self.lines[self.sent : self.sent + LINES_PER_REQUEST]
            if not lines:
                return None
            names = {"streamID": self.task["streamID"], "accountID": self.task["accountID"]}
            request_id = f"{self.task['lceUID']}-{self.sent}"
            self.request = (request_id, len(lines), orjson.dumps(names | {"logs": lines}))
        return self.request[0], self.request[2]

    def taken(self) -> None:
        """The manager has the request's lines, or will never take them."""
        if self.request is not None:
            self.sent += self.request[1]
            self.request = None

    def text(self) -> str:
        """Every line as a text for the result."""
        with self.lock:
            rows = [line_text(line) for line in self.lines]
            if self.left_out:
                rows.append(f"{self.left_out} lines left out")
        return "\n".join(rows)


def line_text(line: dict[str, Any]) -> str:
    """A line as a text: time, level, text, arguments."""
    args = [f"{name}={value}" for name, value in line.get("args", {}).items()]
    return " ".join([line["time"], line["level"], line["out"], *args])
