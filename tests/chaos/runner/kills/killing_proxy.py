"""Stands between a runner and its manager, and kills the runner at one of its events, before it arrives or after.

What it does not do: time-outs and partial bodies, which tests of the manager make.
"""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from tests.manager.conftest import CLIENT

Side = Literal["before", "after"]
KEPT_HEADERS = ("X-Access-Key", "Content-Type", "Accept")


class KillingProxy(ThreadingHTTPServer):
    """Forwards to `url`; the event of that number (1: the first) is the runner's last."""

    daemon_threads = True

    def __init__(self, url: str, number: int, side: Side) -> None:
        super().__init__(("127.0.0.1", 0), ForwardHandler)
        self.upstream, self.number, self.side = url, number, side
        self.pid = 0
        self.events = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its own URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def kill(self) -> None:
        """Kill the runner, once."""
        pid, self.pid = self.pid, 0
        if pid:
            os.kill(pid, signal.SIGKILL)

    def handle_error(self, request: object, client_address: object) -> None:
        """The runner that was killed reads no answer."""


class ForwardHandler(BaseHTTPRequestHandler):
    """One request of the runner."""

    server: KillingProxy

    def do_GET(self) -> None:
        """Forward."""
        self.forward(b"")

    def do_POST(self) -> None:
        """Forward an event, unless it is the one."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.events += 1
            is_the_one = self.server.events == self.server.number
        if is_the_one and self.server.side == "before":
            self.server.kill()
            return
        self.forward(body, kill=is_the_one)

    def forward(self, body: bytes, *, kill: bool = False) -> None:
        """Answer what the manager answers."""
        headers = {name: self.headers[name] for name in KEPT_HEADERS if name in self.headers}
        url = self.server.upstream + self.path
        answer = CLIENT.request(self.command, url, headers=headers, content=body)
        if kill:
            self.server.kill()
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""
