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

from manager.history.edges.diff import absence_of, key_of
from manager.history.map_tables import totals_of
from manager.http.responses import SECURITY_HEADERS

PAGE = Path(__file__).parents[2] / "manager" / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def packed(maps: list[dict[str, Any]]) -> dict[str, bytes]:
    """Gzipped maps by window; `latest` is the first."""
    bodies = {one["window"]["id"]: gzip.compress(orjson.dumps(one), 5) for one in maps}
    return {"latest": next(iter(bodies.values())), **bodies} if bodies else {}


def of_history(maps: list[dict[str, Any]], path: str, query: dict[str, list[str]]) -> dict[str, Any]:
    """What the manager answers of many windows: its own code on the prepared maps."""
    name = path.partition("/agents/")[2].partition("/")[2]
    if name == "windows":
        return {"items": [window_of(one) for one in maps]}
    if not name:
        return {"inventory": maps[0].get("inventory") if maps else None}
    newest, before = maps[0], maps[-1]
    if name == "changes":
        known = {key_of(edge) for edge in before["edges"]} if before is not newest else set()
        ids = ("source", "destination", "port", "type")
        fresh = [edge for edge in newest["edges"] if key_of(edge) not in known]
        first = newest["window"]["id"]
        return {"new": [{part: edge[part] for part in ids} | {"firstSeen": first, "lastSeen": first} for edge in fresh]}
    if name == "edges/history":
        key = tuple(query[part][0] for part in ("source", "destination", "port", "type"))
        found = [next((edge for edge in one["edges"] if key_of(edge) == key), None) for one in reversed(maps)]
        ids = [one["window"]["id"] for one in reversed(maps)]
        seen = [window for window, edge in zip(ids, found, strict=True) if edge]
        counts = {part: [edge and edge[part] for edge in found] for part in ("attempts", "established", "failed")}
        return {"windows": ids, "firstSeen": seen[0], "lastSeen": seen[-1], **counts}
    source, destination = query["source"][0], query["destination"][0]
    edges = [one for one in newest["edges"] if (one["source"], one["destination"]) == (source, destination)]
    verdict = absence_of(newest).verdict(source, destination)
    said = {"verdict": "seen", "reasons": []} if edges else {"verdict": verdict.verdict, "reasons": verdict.reasons}
    return {"edges": edges, "records": [], "moreRecords": 0, "addresses": [], "batchesKept": False, **said}


def window_of(found: dict[str, Any]) -> dict[str, Any]:
    """A window as the manager lists it."""
    totals = totals_of(found["edges"], found["services"], found)
    return {**found["window"], "revision": 1, "totals": totals, "recall": found["recall"]["value"], "tags": []}


class PageServer(ThreadingHTTPServer):
    """A server that takes all connections that a browser opens at once, however busy the machine is."""

    request_queue_size = 128  # of 5, as by default, a sixth waits for the browser's next SYN: seconds


@contextmanager
def serving_page(maps: list[dict[str, Any]], agents: tuple[str, ...] = ("lab",)) -> Iterator[str]:
    """The URL of a server with the manager's headers and these maps, for as long as the block lasts."""
    bodies = packed(maps)
    listed = gzip.compress(orjson.dumps({"items": [{"identity": name, "name": name} for name in agents]}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # as the manager's: else a body waits 40 ms for the acknowledgement of its head

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.startswith("/api/v1/agents/") and not url.path.endswith("/map"):
                body = gzip.compress(orjson.dumps(of_history(maps, url.path, parse_qs(url.query))))
                self.answer(200, body, "application/json", packed=True)
            elif url.path.startswith("/api/v1/agents/"):
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

    server = PageServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
