"""A proxy between the collector and a real API server that does to chosen requests what networks and servers do.

Plain HTTP towards the collector, TLS towards the server; the collector's own Authorization header goes through.
"""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

from lab.controlplane.server import ControlPlane


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the collector: its path, its query, and its number among those for that path, from 1."""

    path: str
    query: dict[str, str]
    number: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What the collector gets: sent as it stands, or cut after some bytes, or with a silence after some bytes."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    chunked: bool = False
    stall_after: int | None = None
    until: threading.Event | None = None


# What becomes of a request: `ask` gives the real server's reply, for the query as it is or another one.
Ask = Callable[[dict[str, str] | None], Reply]
Fault = Callable[[Request, Ask], Reply | None]


class FaultProxy:
    """Listens on loopback; `fault` may answer in place of the server; `seen` are the requests so far."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path, fault: Fault) -> None:
        self.fault = fault
        self.seen: list[Request] = []
        self.lock = threading.Lock()
        self.address = urlsplit(plane.url)
        self.context = ssl.create_default_context(cafile=str(plane.ca_file))
        self.kubeconfig = kubeconfig

    def upstream(self, path: str, authorization: str) -> Reply:
        """The real server's reply."""
        connection: HTTPConnection = HTTPSConnection(
            self.address.hostname or "", self.address.port, context=self.context, timeout=60
        )
        try:
            connection.request("GET", path, headers={"Authorization": authorization, "Accept": "application/json"})
            response = connection.getresponse()
            return Reply(response.status, response.read())
        finally:
            connection.close()

    def reply(self, target: str, authorization: str) -> Reply:
        """What the collector gets for a request."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self.lock:
            number = 1 + sum(one.path == url.path for one in self.seen)
            request = Request(url.path, query, number)
            self.seen.append(request)

        def ask(changed: dict[str, str] | None = None) -> Reply:
            from urllib.parse import urlencode

            return self.upstream(f"{url.path}?{urlencode(query if changed is None else changed)}", authorization)

        return self.fault(request, ask) or ask()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The HTTP side."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                reply = proxy.reply(self.path, self.headers.get("Authorization", ""))
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                body = reply.body if reply.cut_after is None else reply.body[: reply.cut_after]
                if reply.chunked:
                    self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
                    body = b"" if reply.cut_after is not None else b"0\r\n\r\n"
                if reply.until is not None:
                    self.wfile.write(body[: reply.stall_after])
                    reply.until.wait(120)
                    self.close_connection = True
                    return
                self.wfile.write(body)
                self.close_connection = reply.cut_after is not None

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def write_kubeconfig(self, path: Path, url: str, token_file: Path | None) -> Path:
        """The collector's kubeconfig, with the proxy for a server, and perhaps its token in a file of its own."""
        document = orjson.loads(self.kubeconfig.read_bytes())
        document["clusters"][0]["cluster"] = {"server": url}
        if token_file is not None:
            document["users"][0]["user"] = {"tokenFile": str(token_file)}
        path.write_bytes(orjson.dumps(document))
        return path


@contextmanager
def serving(proxy: FaultProxy) -> Iterator[str]:
    """The proxy's URL, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), proxy.handler())
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="fault-proxy", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
