"""A stopped agent whose disk goes with it delivers first, as far as `node.stopSeconds` gives it time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest

from discovery.codec import unpack
from discovery.records import Query
from discovery.tenures import SETTLE_NS
from node_agent.waiting import Waiting
from tests.acceptance.agent_process import agent
from tests.node_agent import stages

pytestmark = pytest.mark.kernel


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


def test_stopped_with_time_to_deliver_waits_for_settled_answers_and_pushes(tmp_path: Path) -> None:
    """What a pod did a moment ago can be asked about in ten seconds: it is, and arrives, before the agent ends."""
    now_ns = time.time_ns()
    seen = stages.flow(7, "10.96.0.10", 23)._replace(first_ns=now_ns, last_ns=now_ns)
    Waiting(tmp_path / "spool").put(stages.capture([seen]))
    with answering() as (url, came):
        node = {"stopSeconds": 22}
        with agent(tmp_path, starts_in=600, node=node, manager={"url": url}, directory={"url": url}) as running:
            running.until_said("event=next_window")
            running.process.terminate()
            assert running.process.wait(22) == 0, running.said
            assert running.kept() == []
        ((at_ns, body),) = came
    assert at_ns >= now_ns + SETTLE_NS
    (one,) = body["connectionList"]  # type: ignore[misc]
    assert one["attempts"] == 23
