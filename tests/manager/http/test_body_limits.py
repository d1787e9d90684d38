"""body_limits.py over real sockets: pushes that are slow, too large, cut short or too many (faults by row)."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from manager.http.body_limits import PushLimits
from manager.http.connections import ConnectionLimits
from manager.server import serving
from tests.manager.conftest import CLIENT, Running, running_on
from tests.manager.fresh_database import fresh_id
from tests.manager.http.sockets import connect
from tests.manager.shop import NODE_A

GOOD = orjson.dumps(NODE_A)


@contextmanager
def sending(url: str, begun: bytes) -> Iterator[socket.socket]:
    """A connection on which so much has been sent at once: its time to send a head begins with it."""
    with connect(url, 60) as made:
        made.sendall(begun)
        yield made


def head(running: Running, *lines: str) -> bytes:
    """The head of a push, with more lines."""
    named = f"Idempotency-Key: {fresh_id()}"
    first = ("POST /api/v1/collections HTTP/1.1", "Host: m", "Content-Type: application/json", named)
    return "\r\n".join((*first, *lines, "", "")).replace("TOKEN", running.token).encode("latin-1")


def status_of(sock: socket.socket) -> int:
    """The status of the answer; 0 where the connection is closed without one."""
    line = sock.recv(4096).split(b"\r\n")[0]
    return int(line.split()[1]) if line else 0


AUTHORIZED = "Authorization: Token TOKEN"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"Content-Length: {1 << 40}"], 401),
        (["authorization:   tOkEn    TOKEN  "], 201),
        ([AUTHORIZED, AUTHORIZED], 401),
        (["Authorization: Token \xff\xfe"], 401),
        (["Authorization: Token \xe9" * 20], 401),
        (["Authorization: Token " + "A" * 10_000], 401),
        ([AUTHORIZED, "Content-Encoding: "], 201),
        ([AUTHORIZED, f"Content-Length: {(8 << 20) + 1}"], 413),
    ],
)
def test_head_decides_before_the_body(standing: Running, lines: list[str], status: int) -> None:
    """Rows 1 to 5, 11, 17: who asks is looked at first and in every spelling; what is refused is not read."""
    if not any(line.startswith("Content-Length") for line in lines):
        lines = [*lines, f"Content-Length: {len(GOOD)}"]
    with connect(standing.url, 60) as sock:
        sock.sendall(head(standing, *lines) + (GOOD if status == 201 else b""))
        assert status_of(sock) == status


def test_head_larger_than_16_kib_is_refused(standing: Running) -> None:
    """431 where it came in one piece, 400 where it was given up half way."""
    with connect(standing.url, 60) as sock:
        sock.sendall(head(standing, AUTHORIZED, "X-Long: " + "A" * 40_000, "Content-Length: 2"))
        assert status_of(sock) in (400, 431)


@contextmanager
def limited(tmp_path: Path, connections: ConnectionLimits | None = None, **limits: Any) -> Iterator[Running]:
    """A manager with other limits."""
    connections = connections or ConnectionLimits()
    with (
        running_on(f"sqlite:///{tmp_path}/manager.db") as made,
        serving(made.database, limits=PushLimits(**limits), connections=connections) as url,
    ):
        yield Running(url, made.database, made.token, made.key)


def test_row_36_slow_senders_are_sent_away_and_hold_up_nobody(tmp_path: Path) -> None:
    """Row 36: silent connections and slow heads are closed, slow and silent bodies get 408; good pushes go on."""
    with ExitStack() as stack:
        hasty = stack.enter_context(
            limited(tmp_path, ConnectionLimits(head_seconds=1.0), body_seconds=3.0, slow_seconds=1.0)
        )
        begun = head(hasty, AUTHORIZED, "Content-Length: 5000")
        silent = stack.enter_context(connect(hasty.url, 60))
        sent = (begun[:20], begun, begun)
        slow_head, slow_body, silent_body = (stack.enter_context(sending(hasty.url, one)) for one in sent)
        assert hasty.push(NODE_A).status_code == 201
        while not readable(slow_body):
            slow_body.sendall(b" ")
            time.sleep(0.05)
        assert [status_of(sock) for sock in (slow_body, silent_body, silent, slow_head)] == [408, 408, 0, 0]
        assert hasty.push(NODE_A).json()["duplicate"] is True


def readable(sock: socket.socket) -> bool:
    """Whether there is an answer, or an end."""
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        sock.setblocking(True)
    return True


def test_pushes_above_the_limit_get_503_with_retry_after(tmp_path: Path) -> None:
    """Beyond three a push gets 503 with a Retry-After of its own; reads and health go on; then there is room again."""
    with limited(tmp_path, under_way=3, body_seconds=300, slow_seconds=300) as small:
        begun = head(small, AUTHORIZED, "Content-Length: 5000")
        with ExitStack() as stack:
            while (answer := small.push(NODE_A)).status_code != 503:
                assert answer.status_code == 201
                stack.enter_context(connect(small.url, 60)).sendall(begun)
            assert 1 <= int(answer.headers["retry-after"]) <= 30
            assert CLIENT.get(f"{small.url}/healthz").status_code == 200
            assert small.get("/agents")["items"]
        while small.push(NODE_A).status_code != 201:
            time.sleep(0.05)


def test_answer_to_a_body_that_is_too_large_arrives_whole(standing: Running) -> None:
    """Row 12: a client that sends the whole body first gets the answer every time, and the connection ends in order."""
    length = (8 << 20) + 1
    with serving(standing.database, connections=ConnectionLimits(linger_seconds=60.0)) as url:
        for _ in range(5):
            with connect(url, 60) as sock:
                sock.sendall(head(standing, AUTHORIZED, f"Content-Length: {length}") + b" " * length)
                with sock.makefile("rb") as answer:
                    said = answer.read()
            assert said.startswith(b"HTTP/1.1 413 ")
            assert b"body is larger than" in said


def test_endless_body_is_cut_at_the_limit(standing: Running) -> None:
    """Row 12: a body without a length gets 413 once it is too large, though it never ends."""
    with connect(standing.url, 60) as sock:
        sock.sendall(head(standing, AUTHORIZED, "Transfer-Encoding: chunked"))
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(1024):
            try:
                sock.sendall(piece)
            except OSError:
                break
        else:
            pytest.fail("64 MiB were taken")


def test_body_that_ends_early_is_no_batch_and_no_error(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    """Row 13: fewer bytes than Content-Length, then the end: nothing is stored, and no traceback is written."""
    with connect(running.url, 60) as sock:
        sock.sendall(head(running, AUTHORIZED, "Content-Length: 5000") + GOOD[:100])
        sock.shutdown(socket.SHUT_WR)
        sock.recv(4096)
    assert running.push(NODE_A).json()["stored"] is True
    assert "Traceback" not in "".join(capfd.readouterr())
