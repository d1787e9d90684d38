"""The page's own files beside prepared answers of the API: for tests of what the page makes of a map."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from manager.http.responses import SECURITY_HEADERS

PAGE = Path(__file__).parents[2] / "manager" / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def packed(maps: list[dict[str, Any]]) -> dict[str, bytes]:
    """Gzipped maps by window; `latest` is the first."""
    bodies = {one["window"]["id"]: gzip.compress(orjson.dumps(one), 5) for one in maps}
    return {"latest": next(iter(bodies.values())), **bodies} if bodies else {}


@contextmanager
def serving_page(maps: list[dict[str, Any]], agents: tuple[str, ...] = ("lab",)) -> Iterator[str]:
    """The URL of a server with the manager's headers and these maps, for as long as the block lasts."""
    bodies = packed(maps)
    listed = gzip.compress(orjson.dumps({"items": [{"identity": name, "name": name} for name in agents]}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.startswith("/api/v1/agents/"):
                wanted = parse_qs(url.query).get("window", ["latest"])[0]
                body = bodies.get(wanted)
                self.answer(200 if body else 404, body or gzip.compress(b"{}"), "application/json", packed=True)
            elif url.path == "/api/v1/agents":
                self.answer(200, listed, "application/json", packed=True)
            else:
                name = "index.html" if url.path == "/" else url.path.removeprefix("/page/")
                file = PAGE / name
                found = file.is_file() and file.parent == PAGE
                self.answer(
                    200 if found else 404, file.read_bytes() if found else b"", TYPES.get(file.suffix, "text/plain")
                )

        def answer(self, status: int, body: bytes, media_type: str, *, packed: bool = False) -> None:
            self.send_response(status)
            for header, value in SECURITY_HEADERS.items():
                self.send_header(header, value)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be silent: the tests look at the page."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
