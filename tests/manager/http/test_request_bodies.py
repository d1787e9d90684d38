"""Bodies of people, runners and delegates: none is read of a stranger, and of others no more than there is room for."""

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from manager.http.request_bodies import LIMITS
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.manager.http.sockets import connect
from tests.manager.manager_process import MIB, ManagerProcess, manager_process

RUN = "?accountIdentifier=a&projectIdentifier=b&environmentIdentifier=c"
KSERVER = "/chaos/kserver/api/infra/v2/task"
ROUTES = [
    "POST /api/v1/agents",
    "POST /gateway/servicediscovery/api/v1/agents",
    "PUT /api/v1/agents/lab/tags/x",
    "POST /api/v1/agents/lab/networkmaps",
    "POST /v1/delegates/poll",
    "POST /v1/delegates/tasks/x/status",
    "POST /v1/chaos/runs",
    "POST /v1/chaos/runs/x/stop",
    f"POST {KSERVER}/response/i{RUN}",
    f"POST {KSERVER}/edge/i/e/r{RUN}",
    "POST /v1/chaos/linux/tasks",
    "POST /gratis/chaos/lserver/api/infra/task/result/x",
    "PUT /log-service/stream?accountID=a&key=b",
]
CREDENTIALS = {
    "none": "X-Nothing: x",
    "wrong": f"X-API-Key: {'a' * 63}\r\nAuthorization: Token {'a' * 40}\r\nX-Access-Key: {'a' * 32}",
}


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """The whole manager, in a process of its own."""
    with manager_process(tmp_path_factory.mktemp("manager")) as made:
        yield made


def admin_of(manager: ManagerProcess, name: str) -> str:
    """A key of scope admin."""
    with closing(Store(manager.database)) as store:
        return create_token(store, "admin", name, 1, secrets.token_bytes).text()


def begin(sock: socket.socket, route: str, credential: str, size: int) -> None:
    """Send the head of a request with so large a body."""
    lines = (f"{route} HTTP/1.1", "Host: m", "Content-Type: application/json", credential, f"Content-Length: {size}")
    sock.sendall("\r\n".join((*lines, "", "")).encode())


def send_but_one(sock: socket.socket, size: int) -> None:
    """Send the body but for its last byte, as far as the manager takes it."""
    with suppress(OSError):  # it was refused meanwhile
        sock.sendall(b"[" * (size - 1))


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("route", ROUTES)
def test_stranger_is_refused_before_the_body_comes(manager: ManagerProcess, route: str, credential: str) -> None:
    """Nothing of it was sent when the answer comes, so nothing of it takes memory."""
    with closing(connect(manager.url, 10, f"127.9.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}")) as sock:
        begin(sock, route, CREDENTIALS[credential], 1 << 20)
        assert sock.recv(65536)[9:12] in {b"401", b"403"}, route


def test_body_is_refused_by_its_length_alone(manager: ManagerProcess) -> None:
    """413 before a byte of it."""
    with closing(connect(manager.url, 10)) as sock:
        begin(sock, "POST /api/v1/agents", f"X-API-Key: {admin_of(manager, 'long')}", LIMITS.compressed_bytes + 1)
        assert sock.recv(65536)[9:12] == b"413"


def test_held_bodies_take_bounded_memory_and_no_other_sender_s_room(manager: ManagerProcess) -> None:
    """Two keys hold all they can: another one is served, and memory stays within the room that there is."""
    keys = [admin_of(manager, f"holder {number}") for number in range(2)]
    other = admin_of(manager, "other")
    size = 4 * MIB
    before = manager.memory("VmRSS")
    with ExitStack() as opened:
        held = [opened.enter_context(closing(connect(manager.url, 10))) for _ in range(24)]
        for place, sock in enumerate(held):
            begin(sock, "POST /api/v1/agents", f"X-API-Key: {keys[place % 2]}", size)
        for sock in held:
            send_but_one(sock, size)
        time.sleep(0.5)
        assert manager.memory("VmRSS") - before < LIMITS.held_bytes + 32 * MIB
        answers = []
        for sock in held:
            sock.setblocking(False)
            try:
                answers.append(sock.recv(65536)[9:12])
            except BlockingIOError:
                answers.append(b"")
        assert answers.count(b"429") >= len(held) - 2 * LIMITS.held_bytes_per_agent // size
        assert answers.count(b"")  # some are waited for
        with closing(connect(manager.url, 10)) as sock:
            begin(sock, "POST /v1/chaos/runs", f"X-API-Key: {other}", 2)
            sock.sendall(b"{}")
            assert sock.recv(65536)[9:12] == b"400"
