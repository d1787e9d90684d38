"""Logs on stderr and the port for metrics and probes, the same for collector and node agent."""

import logging
import platform
import re
import sys
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from structlog.typing import EventDict, WrappedLogger

from podsonar.errors import SettingsError

disable_created_metrics()  # type: ignore[no-untyped-call]


# Control characters, and those that turn the direction of a text: on a terminal they could hide or forge lines.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
ESCAPED = {
    ord(char): char.encode("unicode_escape").decode("ascii") for char in map(chr, range(0x2070)) if UNSAFE.match(char)
}


def escape(text: str) -> str:
    """The text with every character that could act on a terminal as its escape sequence."""
    return text.translate(ESCAPED) if UNSAFE.search(text) else text


def escape_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape every text of a log line."""
    return {name: escape(value) if isinstance(value, str) else value for name, value in event.items()}


def as_text(logger: WrappedLogger, method: str, event: EventDict) -> str | bytes:
    """`key=value` text; an event that brings a whole `line` is that line, so that a log can be replayed."""
    line = event.get("line")
    if isinstance(line, str):
        return line
    return structlog.processors.LogfmtRenderer()(logger, method, event)


class LogStream:
    """A stream that fails nobody: lines that met a full disk or closed pipe are counted, and told once it works.

    Some of them may come late, from the stream's own buffer.
    """

    def __init__(self, stream: TextIO, told: Callable[[int], str]) -> None:
        self.stream, self.told, self.failed = stream, told, 0

    def write(self, text: str) -> None:
        """Write a line, after the number of lines that failed before it."""
        head = self.told(self.failed) + "\n" if self.failed else ""
        try:
            self.stream.write(head + text)
            self.stream.flush()
        except (OSError, ValueError):
            self.failed += 1
        else:
            self.failed = 0

    def flush(self) -> None:
        """Nothing is left to do after a write."""


def failed_lines(form: str) -> Callable[[int], str]:
    """The line that tells how many failed, in the logs' format."""
    if form == "json":
        return lambda number: f'{{"event": "log_stream_failed", "level": "error", "lines": {number}}}'
    return lambda number: f"event=log_stream_failed level=error lines={number}"


def log_level(level: str, form: str) -> int:
    """The number of a level; SettingsError for an unknown level or format."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise SettingsError(f"setting log.level is {level!r}, expected debug, info, warning or error")
    if form not in ("text", "json"):
        raise SettingsError(f"setting log.format is {form!r}, expected text or json")
    return number


def start_logs(level: str, form: str) -> None:
    """Log to stderr as text or JSON lines; control characters are escaped in both."""
    number = log_level(level, form)
    last = structlog.processors.JSONRenderer() if form == "json" else as_text
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            escape_values,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", LogStream(sys.stderr, failed_lines(form)))),
    )


def installed_version() -> str:
    """`<release>[+<revision>]` of what is installed here."""
    from importlib.metadata import version  # noqa: PLC0415 - the agent gets it as an argument, which saves 0.8 MiB

    return version("podsonar")


def set_build_info(registry: CollectorRegistry, component: str, installed: str | None = None) -> None:
    """`podsonar_build_info`: which version (by default the installed one) of which part runs on what."""
    names = ["version", "revision", "python_version", "component"]
    build = Gauge("podsonar_build_info", "1; the labels say what runs", names, registry=registry)
    release, _, revision = (installed or installed_version()).partition("+")
    build.labels(release, revision or "release", platform.python_version(), component).set(1)


def start_at_zero(counter: Counter, values: Iterable[str]) -> None:
    """Export 0 for each value of the label: a first event is an increase, and "none" differs from "no data"."""
    for value in values:
        counter.labels(value)


def listen_address(setting: str, listen: str) -> tuple[str, int]:
    """Host and port of `host:port`; SettingsError otherwise."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise SettingsError(f"setting {setting} is {listen!r}, expected host:port such as 0.0.0.0:9464")
    return host.strip("[]"), int(port)


def serve_metrics(listen: str, registry: CollectorRegistry, unready: Callable[[], str | None]) -> None:
    """Serve /metrics, /livez and /readyz (503 with the reason while `unready` gives one) from a thread."""
    if not listen:
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reason = unready()
            answers = {
                "/metrics": (200, generate_latest(registry)),
                "/livez": (200, b"ok\n"),
                "/readyz": (503, f"{reason}\n".encode()) if reason else (200, b"ok\n"),
            }
            status, body = answers.get(self.path, (404, b"expected /metrics, /livez or /readyz\n"))
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: scrapes come every few seconds."""

    try:
        server = ThreadingHTTPServer(listen_address("metrics.listen", listen), Handler)
    except OSError as error:
        raise SettingsError(f"setting metrics.listen is {listen!r}: {error.strerror}; expected a free port") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
