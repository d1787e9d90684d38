"""How the manager ends: within ten seconds of SIGTERM, whatever a peer does."""

import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from tests.manager.conftest import Running
from tests.manager.manager_process import ManagerProcess, manager_process
from tests.manager.postgresql import PostgresqlServer
from tests.manager.shop import NODE_A

pytestmark = pytest.mark.long

END_SECONDS = 10


def end(made: ManagerProcess) -> int:
    """The exit code after SIGTERM; an error with the manager's log if there is none in ten seconds."""
    made.process.send_signal(signal.SIGTERM)
    try:
        return made.process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no end within {END_SECONDS} s: {made.log.read_text()}") from None


def test_idle_manager_ends_with_code_0(tmp_path: Path) -> None:
    """Nothing is under way."""
    with manager_process(tmp_path) as made:
        assert end(made) == 0


def test_unread_answer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A client that reads nothing of its answer, one that sends half a head, and one in the middle of a body."""
    with manager_process(tmp_path) as made:
        address = ("127.0.0.1", int(made.url.rpartition(":")[2]))
        unread, half, body = (socket.create_connection(address) for _ in range(3))
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: m\r\n\r\n" * 40)  # 400 KiB each
        assert unread.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        half.sendall(b"GET / HTTP/1.1\r\nHo")
        head = f"POST /api/v1/collections HTTP/1.1\r\nHost: m\r\nAuthorization: Token {made.token}\r\n"
        body.sendall(
            f"{head}Content-Type: application/json\r\nIdempotency-Key: b\r\nContent-Length: 99\r\n\r\n".encode()
        )
        assert httpx.get(f"{made.url}/healthz", timeout=60).status_code == 200
        assert end(made) == 0
        for sock in (unread, half, body):
            sock.close()


@pytest.mark.postgresql
def test_database_that_stands_still_holds_up_neither_callers_nor_the_end(tmp_path: Path) -> None:
    """Pushes, reads and probes get 503 while every process of PostgreSQL is stopped, and SIGTERM ends the manager."""
    server = PostgresqlServer()
    try:
        with manager_process(tmp_path, server.new_database()) as made:
            assert made.push(NODE_A, "b-1").status_code == 201
            statuses: list[int] = []
            with server.standing_still():
                threads = [threading.Thread(target=lambda at=at: statuses.append(answer(made, at))) for at in range(6)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
                assert statuses == [503] * 6
            while made.push(NODE_A, "b-2").status_code != 201:
                pass
            with server.standing_still():
                thread = threading.Thread(target=lambda: answer(made, 0))
                thread.start()
                assert end(made) == 0
                thread.join(60)
    finally:
        server.remove()


def answer(made: Running, at: int) -> int:
    """The status of a push, a read or the probe; 0 if the connection ended."""
    try:
        if at < 2:
            return made.push(NODE_A, f"b-{at + 10}").status_code
        path = "/readyz" if at == 2 else "/api/v1/agents"
        return httpx.get(made.url + path, headers={"X-API-Key": made.key}, timeout=60).status_code
    except httpx.TransportError:
        return 0
