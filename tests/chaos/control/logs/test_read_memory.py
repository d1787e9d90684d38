"""What reading streams and blobs costs the manager: bounded, whatever was written, and however slowly it is read."""

import gzip
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import orjson
import pytest

from chaos.control.logs.handlers import READERS
from tests.chaos.conftest import ACCOUNT, log_token
from tests.manager.http.sockets import connect
from tests.manager.manager_process import MIB, ManagerProcess, manager_process

STREAMED = 100 * 2000


class Logs:
    """A manager, a token that writes and reads, and what reading costs."""

    def __init__(self, manager: ManagerProcess) -> None:
        self.manager, self.token = manager, log_token(manager.database)
        self.client = httpx.Client(timeout=120, trust_env=False, headers={"X-Harness-Token": self.token})

    def send(self, method: str, path: str, key: str, content: bytes) -> None:
        """A request that is taken."""
        query = {"accountID": ACCOUNT, "key": key}
        headers = {"Content-Encoding": "gzip"}
        url = f"{self.manager.url}/log-service{path}"
        answer = self.client.request(method, url, params=query, headers=headers, content=gzip.compress(content, 1))
        assert answer.status_code == 204, answer.text

    def read(self, key: str, **query: str) -> tuple[int, int]:
        """How many lines there are, and by how much memory grew at most until they were read."""
        before = self.manager.memory("VmRSS")
        self.manager.reset_peak()
        url, count = f"{self.manager.url}/log-service/blob", 0
        with self.client.stream("GET", url, params={"accountID": ACCOUNT, "key": key} | query) as answer:
            assert answer.status_code == 200
            for piece in answer.iter_bytes():
                count += piece.count(b"\n")
        return count, self.manager.memory("VmHWM") - before


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    """A manager in a process of its own, warm."""
    with manager_process(tmp_path_factory.mktemp("manager")) as manager:
        made = Logs(manager)
        made.send("POST", "/blob", "warm", b'{"out":"a"}')
        made.read("warm")
        yield made
        made.client.close()


def test_stream_with_an_uploaded_line_is_read_in_bounded_memory(logs: Logs) -> None:
    """200,000 lines of which none has a position, and one that was uploaded: no line is kept."""
    for number in range(0, STREAMED, 2000):
        lines = [{"out": f"line {place}", "pos": 0} for place in range(number, number + 2000)]
        logs.send("PUT", "/stream", "long", orjson.dumps(lines))
    logs.send("POST", "/blob", "long", b'{"out":"uploaded"}')
    count, grown = logs.read("long")
    assert count == STREAMED + 1
    assert grown < 48 * MIB


def test_blob_of_short_lines_is_read_in_bounded_memory(logs: Logs) -> None:
    """A blob of a million lines: itself, some marks per line, and none of its lines."""
    logs.send("POST", "/blob", "blob", b"".join(b'{"a":%d}\n' % place for place in range(500_000)))
    count, grown = logs.read("blob")
    assert (count, grown < 64 * MIB) == (500_000, True)


def test_slow_readers_hold_no_more_than_there_is_room_for(logs: Logs) -> None:
    """Beyond it 429 or 503; when they are gone, others are served."""
    rows = (f"{secrets.token_hex(50)}{'x' * 900}\n".encode() for _ in range(24_000))
    logs.send("POST", "/blob", "large", b"".join(rows))
    before = logs.manager.memory("VmRSS")
    logs.manager.reset_peak()
    target = f"/log-service/blob?accountID={ACCOUNT}&key=large&raw=true"
    answers = []
    with ExitStack() as opened:
        for _ in range(20):
            sock = opened.enter_context(closing(connect(logs.manager.url)))
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: m\r\nX-Harness-Token: {logs.token}\r\n\r\n".encode())
            answers.append(sock.recv(1024)[9:12])
        assert logs.manager.memory("VmHWM") - before < READERS.held_bytes + 48 * MIB
    assert answers.count(b"200") >= 2
    assert set(answers) - {b"200"} == {b"429"}
    for _ in range(3):
        assert logs.read("large", raw="true")[0] == 24_000
