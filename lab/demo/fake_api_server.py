"""Serves recorded objects over HTTP in the shape of the Kubernetes API: paged lists and watches with bookmarks.

Used if no real API server can run. It checks neither identity nor permission.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

PLURALS = {
    "namespaces": "Namespace",
    "nodes": "Node",
    "services": "Service",
    "pods": "Pod",
    "replicationcontrollers": "ReplicationController",
    "replicasets": "ReplicaSet",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
    "endpointslices": "EndpointSlice",
}
VERSION = "1000"
BOOKMARK_SECONDS = 5.0


def page(objects: list[dict[str, Any]], kind: str, version: str, limit: int, start: int) -> dict[str, Any]:
    """One page of the list of a kind; `continue` is the offset of the next page."""
    chosen = [item for item in objects if item["kind"] == kind]
    end = start + limit if limit else len(chosen)
    metadata: dict[str, Any] = {"resourceVersion": VERSION}
    if end < len(chosen):
        metadata["continue"] = str(end)
        metadata["remainingItemCount"] = len(chosen) - end
    return {"kind": f"{kind}List", "apiVersion": version, "metadata": metadata, "items": chosen[start:end]}


def handler(objects: list[dict[str, Any]], closing: threading.Event) -> type[BaseHTTPRequestHandler]:
    """The request handler for these objects; watches end when `closing` is set."""

    class Handler(BaseHTTPRequestHandler):
        """GET of lists and watches."""

        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            """Print nothing about requests."""

        def do_GET(self) -> None:
            """Answer with a list, a watch, or 404."""
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            kind = PLURALS.get(parts[-1])
            if kind is None or parts[0] not in {"api", "apis"}:
                self.reply(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})
                return
            version = "v1" if parts[0] == "api" else f"{parts[1]}/{parts[2]}"
            if asked.get("watch") in {"true", "1"}:
                self.watch(kind, version, float(asked.get("timeoutSeconds", "300")))
                return
            self.reply(200, page(objects, kind, version, int(asked.get("limit", 0)), int(asked.get("continue", 0))))

        def reply(self, status: int, document: dict[str, Any]) -> None:
            """Send one JSON document."""
            body = orjson.dumps(document)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def watch(self, kind: str, version: str, seconds: float) -> None:
            """Send bookmarks until the watch times out; recorded objects never change."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            event = {"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": VERSION}}
            line = orjson.dumps({"type": "BOOKMARK", "object": event}) + b"\n"
            left = seconds
            try:
                while left > 0 and not closing.is_set():
                    self.wfile.write(line)
                    self.wfile.flush()
                    closing.wait(min(BOOKMARK_SECONDS, left))
                    left -= BOOKMARK_SECONDS
            except OSError:
                return

    return Handler


def kubeconfig(url: str) -> dict[str, Any]:
    """A kubeconfig (JSON is YAML) for the server at the URL."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": url}}],
        "users": [{"name": "lab", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }


@contextmanager
def serving(objects: list[dict[str, Any]]) -> Iterator[str]:
    """The URL of a server of these objects, until the block ends."""
    closing = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(objects, closing))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="recorded-api", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
