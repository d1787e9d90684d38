"""Row 36 against the program as it is deployed: a thousand connections that do nothing."""

import contextlib
import socket
from contextlib import ExitStack

import pytest

from tests.faults.conftest import FaultAgent
from tests.manager.fresh_database import fresh_id
from tests.manager.shop import NODE_A

IDLE = 1000


@pytest.mark.long
def test_row_36_thousand_idle_connections_hold_up_nobody(manager: FaultAgent) -> None:
    """Some are refused, the others closed when no head comes; pushes and reads of another address go on meanwhile."""
    host, _, port = manager.url.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        idle = []
        for number in range(IDLE):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.3.0.1", 0))
            with contextlib.suppress(OSError):
                sock.connect((host, int(port)))
                if number % 2:
                    sock.sendall(b"POST /api/v1/collections HTTP/1.1\r\nHost: ")
            idle.append(sock)
        for _ in range(5):
            assert manager.push(NODE_A, fresh_id()).status_code == 201
            assert manager.status("/map").status_code == 200
        for sock in idle:
            sock.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) in (b"", b"H")  # the end, or the head of a 408
