"""manager/http over real sockets: a client costs the others nothing."""

import secrets
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from lab.controlplane.ports import free_ports
from manager.http.body_limits import PushLimits
from manager.http.connections import ConnectionLimits
from manager.server import bind, serving
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.manager.conftest import CLIENT, Running
from tests.manager.fresh_database import fresh_id, migrated
from tests.manager.http.sockets import connect, push_head, read_all
from tests.manager.manager_process import manager_process
from tests.manager.shop import NODE_A, inventory


@contextmanager
def limited(tmp_path: Path, connections: ConnectionLimits, limits: PushLimits | None = None) -> Iterator[Running]:
    """A manager with other limits."""
    database = f"sqlite:///{tmp_path}/manager.db"
    tokens = migrated(database)
    with serving(database, limits=limits or PushLimits(), connections=connections) as url:
        yield Running(url, database, *tokens)


def test_row_36_connections_beyond_the_cap_are_closed_at_once_and_counted(tmp_path: Path) -> None:
    """Per address and in all; a place that becomes free is for the next one."""
    with ExitStack() as stack:
        small = stack.enter_context(limited(tmp_path, ConnectionLimits(per_address=4, head_seconds=60)))
        idle = [stack.enter_context(connect(small.url)) for _ in range(4)]
        for sock in idle:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        with connect(small.url) as refused:
            assert read_all(refused) == b""
        idle.pop().close()
        while True:
            try:
                scraped = httpx.get(f"{small.url}/metrics", timeout=30, trust_env=False).text
            except httpx.TransportError:
                continue
            break
        assert "podsonar_manager_connections_refused_total 0.0" not in scraped


def test_idle_and_slow_exchanges_are_closed(tmp_path: Path) -> None:
    """A connection without a request, one after an answer, and an answer that nobody reads each end by themselves."""
    with limited(tmp_path, ConnectionLimits(head_seconds=1.0, exchange_seconds=5.0)) as hasty, ExitStack() as stack:
        assert hasty.push(inventory()).status_code == 201
        silent = stack.enter_context(connect(hasty.url))
        kept_alive = stack.enter_context(connect(hasty.url))
        kept_alive.sendall(b"GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n")
        unread = stack.enter_context(connect(hasty.url))
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: m\r\n\r\n" * 40)  # 400 KiB each
        assert unread.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        assert read_all(silent) == b""
        assert read_all(kept_alive).startswith(b"HTTP/1.1 200 ")
        unread.settimeout(0.2)
        while not ended(unread):
            pass


def ended(sock: socket.socket) -> bool:
    """Whether the manager has reset the connection, without reading what it sent."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or not sending(sock)


def sending(sock: socket.socket) -> bool:
    """Whether a byte more can be sent."""
    try:
        sock.send(b"G")
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def test_row_36_stalled_uploads_of_one_token_hold_up_no_other_agent(tmp_path: Path) -> None:
    """At its bound an agent gets 429 with Retry-After, by number and by bytes; the others go on."""
    limits = PushLimits(
        body_seconds=300,
        slow_seconds=300,
        under_way=8,
        under_way_per_agent=4,
        held_bytes=4 << 20,
        held_bytes_per_agent=2 << 20,
    )
    with limited(tmp_path, ConnectionLimits(), limits) as made, ExitStack() as stack:
        with closing(Store(made.database)) as store:
            other = create_token(store, "ingest", "other", 1, secrets.token_bytes).text()
        stalled = [stack.enter_context(connect(made.url)) for _ in range(5)]
        for sock in stalled:
            sock.sendall(push_head(made.token, "Content-Length: 5000") + b" ")
        ((refused,), _, _) = select.select(stalled, [], [], 30)  # the other four have a place then
        assert refused.recv(4096).startswith(b"HTTP/1.1 429 ")
        answer = made.push(NODE_A, fresh_id())
        assert (answer.status_code, 1 <= int(answer.headers["retry-after"]) <= 30) == (429, True)
        assert made.push(NODE_A, fresh_id(), Authorization=f"Token {other}").status_code == 201
        assert made.get("/agents")["items"]
        for sock in stalled:
            sock.close()
        while made.push(NODE_A, fresh_id()).status_code != 201:
            pass
        large = made.push(b" " * (3 << 20), fresh_id(), **{"Content-Encoding": "identity"})
        assert (large.status_code, "bytes" in large.json()["message"]) == (429, True)
        assert made.push(NODE_A, fresh_id(), Authorization=f"Token {other}").status_code == 201


def test_failed_attempts_of_an_address_are_bounded_and_lock_out_no_good_token(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ten failures have a log line each, then 429 without a look-up; a token that was good stays good there."""
    assert running.push(NODE_A, "b-1").status_code == 201
    wrong = {"Authorization": f"Token podsonar_0123456789ab_{'A' * 43}"}
    answers = [running.push(NODE_A, "b-2", **wrong).status_code for _ in range(13)]
    assert answers == [401] * 10 + [429] * 3
    assert running.push(NODE_A, "b-3").status_code == 201
    written = "".join(capfd.readouterr())
    assert written.count("push_refused") == 10
    assert "A" * 43 not in written


def test_internal_error_is_counted_logged_once_and_carries_the_policy(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """A block that cannot be read makes its reads 500, with every security header and nothing of the cause."""
    assert running.push(NODE_A, "b-1").status_code == 201
    with closing(Store(running.database)) as store, store.writing() as connection:
        connection.execute(text("update record_blocks set body = :odd"), {"odd": b"no gzip"})
    for path in ("map", "connections", "discoveredserviceconnections"):
        answer = CLIENT.get(f"{running.url}/api/v1/agents/lab/{path}", headers={"X-API-Key": running.key})
        assert (answer.status_code, answer.json()["message"]) == (500, "internal error")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "podsonar_manager_internal_errors_total 3.0" in CLIENT.get(f"{running.url}/metrics").text
    written = "".join(capfd.readouterr())
    assert (written.count("request_failed"), written.count("Traceback")) == (3, 0)


def test_sockets_are_known_as_tcp() -> None:
    """Without its protocol's number asyncio takes a socket for none of TCP, and an answer waits 40 ms (TCP_NODELAY)."""
    with bind("127.0.0.1:0", "listen") as bound:
        assert bound.proto == socket.IPPROTO_TCP


@pytest.mark.long
def test_database_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Database, write-ahead log and index have mode 600, also if the file was there with another mode."""
    (tmp_path / "manager.db").touch(0o644)
    with manager_process(tmp_path) as made:
        assert made.push(NODE_A, "b-1").status_code == 201
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("manager.db*")}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


@pytest.mark.long
def test_metrics_have_a_port_of_their_own(tmp_path: Path) -> None:
    """With `metrics.listen` the API's port has no /metrics, and the other one nothing but metrics and probes."""
    (port,) = free_ports(1)
    with manager_process(tmp_path, settings={"PODSONAR_METRICS_LISTEN": f"127.0.0.1:{port}"}) as made:
        other = f"http://127.0.0.1:{port}"
        statuses = {path: CLIENT.get(other + path).status_code for path in ("/metrics", "/livez", "/readyz", "/")}
        assert statuses == {"/metrics": 200, "/livez": 200, "/readyz": 200, "/": 404}
        assert CLIENT.get(f"{made.url}/metrics").status_code == 404
