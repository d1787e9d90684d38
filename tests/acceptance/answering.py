"""What an agent speaks with, where that is to answer: a directory and a manager in one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson

from discovery.codec import unpack
from discovery.records import Query
from tests.node_agent import stages


@contextmanager
def answering() -> Iterator[tuple[str, list[tuple[int, dict[str, object]]]]]:
    """A directory that names everybody and a manager that stores all: their address, and when each batch came."""
    came: list[tuple[int, dict[str, object]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = 201, b"{}"
            if self.path.endswith("/resolve"):
                queries = [
                    Query(one.get("address"), pod_uid=one.get("podUid")) for one in orjson.loads(body)["queries"]
                ]
                status, answer = 200, orjson.dumps({"answers": [stages.directory(one).wire() for one in queries]})
            else:
                came.append((time.time_ns(), unpack(body)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
