"""Stands between a runner and its manager, and kills the manager twice at each event: before it arrives, and after.

The manager comes again on the same database, with another address. Requests wait meanwhile.
"""

import threading
from contextlib import ExitStack
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.chaos.runner.kills.killing_proxy import KEPT_HEADERS
from tests.manager.conftest import CLIENT
from tests.manager.manager_process import ManagerProcess, manager_process


class DyingManager(ThreadingHTTPServer):
    """Forwards to a manager of its own."""

    daemon_threads = True

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(("127.0.0.1", 0), ForwardHandler)
        self.folder, self.stack, self.database = folder, stack, f"sqlite:///{folder}/manager.db"
        self.kills = 0
        self.attempts: dict[str, int] = {}
        self.lock = threading.Lock()
        self.manager = self.begin()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its own URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> ManagerProcess:
        """Start the manager."""
        place = self.folder / f"manager-{self.kills}"
        place.mkdir()
        return self.stack.enter_context(manager_process(place, self.database))

    def kill(self) -> None:
        """Kill the manager, and start it again."""
        self.manager.process.kill()
        self.manager.process.wait()
        self.kills += 1
        self.manager = self.begin()

    def handle_error(self, request: object, client_address: object) -> None:
        """A runner whose request was not answered has closed its connection."""


class ForwardHandler(BaseHTTPRequestHandler):
    """One request of the runner."""

    server: DyingManager

    def do_GET(self) -> None:
        """Forward."""
        with self.server.lock:
            self.forward(b"", answered=True)

    def do_POST(self) -> None:
        """Forward an event; the manager dies before the first try and after the second."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = sha256(body).hexdigest()
        with self.server.lock:
            number = self.server.attempts[digest] = self.server.attempts.get(digest, 0) + 1
            if number > 1:
                self.forward(body, answered=number > 2)
            if number <= 2:
                self.server.kill()

    def forward(self, body: bytes, *, answered: bool) -> None:
        """Let the manager answer, and pass the answer on."""
        headers = {name: self.headers[name] for name in KEPT_HEADERS if name in self.headers}
        answer = CLIENT.request(self.command, self.server.manager.url + self.path, headers=headers, content=body)
        if answered:
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""
