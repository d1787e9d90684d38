"""Where injectors report: `POST /v1/injectors/<id>` with the injector's own token, plain HTTP in the cluster."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import orjson

from chaos.injector.runner_client import PREFIX
from chaos.runner.injectors.registry import Injectors

MOST_BODY_BYTES = 16 << 10
IDLE_SECONDS = 5.0


class ReportHandler(BaseHTTPRequestHandler):
    """One report."""

    server: "InjectorServer"
    timeout = IDLE_SECONDS

    def do_POST(self) -> None:
        """Answer 200 with the command, 404 to who is none of ours, 400 to a body that is no report."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and int(length) <= MOST_BODY_BYTES):
            self.respond(400, {"message": f"Content-Length: expected at most {MOST_BODY_BYTES}"})
            return
        try:
            report = orjson.loads(self.rfile.read(int(length)))
        except orjson.JSONDecodeError:
            report = None
        if not isinstance(report, dict):
            self.respond(400, {"message": "body: expected a JSON object"})
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        known = self.path.startswith(PREFIX)
        command = self.server.injectors.hear(self.path.removeprefix(PREFIX), token, report) if known else None
        if command is None:
            self.respond(404, {"message": "no such injector"})
        else:
            self.respond(200, {"command": command})

    def respond(self, status: int, body: dict[str, str]) -> None:
        """Send the answer and close."""
        content = orjson.dumps(body)
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Write no line per request."""


class InjectorServer(ThreadingHTTPServer):
    """The server of one run; as a context it listens."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, injectors: Injectors) -> None:
        self.injectors = injectors
        super().__init__(("0.0.0.0", port), ReportHandler)  # noqa: S104 - a Service leads here, behind it a token

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is an injector's own to make again."""

    def __enter__(self) -> Self:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        threading.Thread(target=self.serve_forever, name="injectors", daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
