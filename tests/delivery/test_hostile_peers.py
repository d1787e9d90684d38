"""Whatever a peer answers, the sender goes on: nothing ends its loop, nothing is kept or followed."""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from delivery.batch import Batch
from delivery.push import PushOutcome
from podsonar.json_gzip import deflated, pack
from tests.answering_server import GivenAnswer, answering
from tests.delivery.pushers import CREATED_NS, pusher_of
from tests.delivery.test_push_faults import raw_server

LENGTH = b"Content-Length: 0\r\n\r\n"


def answer_with(response: bytes) -> Callable[[socket.socket], None]:
    """A peer that gives every request this response."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(response)

    return serve


def read_request(connection: socket.socket) -> None:
    """Read a whole request: bytes that nobody read would end the connection by a reset, and the response with it."""
    with connection.makefile("rb") as received:
        length = 0
        while (line := received.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        received.read(length)


LOCATIONS = (
    b"https://other.example/x",
    b"manager.example.com:8443/api/v1/collections",
    b"localhost:8080/x",
    b"https:/login.example.com/x",
    b"mailto:admin@example.com",
    b"http://",
    b"https://[fe80::1%25eth0]/",
    b"http://a b/",
    b"http://a:b/",
    b"",
    b"\xff\xfe",
    b"http://" + b"a" * 70000,
)

COOKIES = ("a=\u00fc".encode(), b"a=\xff", b"AWSALB=abc; Path=/", b"=; Max-Age=-1; Domain=.\xc3")


@pytest.mark.parametrize("location", LOCATIONS)
def test_row_46_redirects_are_not_parsed(tmp_path: Path, location: bytes) -> None:
    """Any Location: the queue is held, the batch stays, and the next response counts."""
    listener, url = raw_server(answer_with(b"HTTP/1.1 307 X\r\nLocation: " + location + b"\r\n" + LENGTH))
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        outcome = pusher.step()
        assert (outcome.code, outcome.held, outcome.wait_seconds) == ("307", True, 30)
        assert pusher.spool.stats().batches == 1


@pytest.mark.parametrize("cookie", COOKIES)
def test_cookies_are_not_kept(tmp_path: Path, cookie: bytes) -> None:
    """Any Set-Cookie on a stored batch: the next one is sent without it."""
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heads.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 201 X\r\nSet-Cookie: " + cookie + b"\r\nConnection: close\r\n" + LENGTH)

    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url, 3) as pusher:
        assert [pusher.step().code for _ in range(4)] == ["201", "201", "201", "idle"]
    assert not any(b"cookie" in head.lower() for head in heads)


def random_response(chance: random.Random) -> bytes:
    """A response that may be anything: odd status lines, headers, lengths, bodies, or no HTTP at all."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(2000))
    status = chance.choice([*range(100, 104), 200, 201, 204, *range(300, 309), *range(400, 432), *range(500, 512), 999])
    lines = [f"HTTP/1.{chance.randrange(2)} {status} ".encode() + chance.choice([b"", b"OK", b"\xff", b"x" * 5000])]
    values = [b"", b"\xff\xfe", b"0", b"-1", b"chunked", b"gzip", b"9" * 400, *LOCATIONS, *COOKIES]
    names = [b"Location", b"Set-Cookie", b"Content-Length", b"Transfer-Encoding", b"Retry-After", b"Content-Encoding"]
    names += [b"X-" + b"y" * chance.randrange(3000), b"Connection", b"bad name", b"Upgrade"]
    lines += [chance.choice(names) + b": " + chance.choice(values) for _ in range(chance.randrange(6))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + chance.randbytes(chance.randrange(3000))


@pytest.mark.parametrize("seed", range(4))
def test_random_responses_end_no_loop(tmp_path: Path, seed: int) -> None:
    """Every response is an outcome of the step, and a batch is either there or accounted for."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible test

    def serve(connection: socket.socket) -> None:
        answer_with(random_response(chance))(connection)

    listener, url = raw_server(serve)
    codes = []
    with closing(listener), pusher_of(tmp_path, url, 60) as pusher:
        for _ in range(60):
            outcome = pusher.step(2.0)
            codes.append(outcome.code)
        rejected = len(list((tmp_path / "spool").glob("rejected/*")))
        gone = 60 - pusher.spool.stats().batches
    settled = sum(code in ("201", "400", "409", "413", "422") for code in codes)
    assert gone == settled
    assert rejected == min(20, sum(code in ("400", "409", "413", "422") for code in codes))


def endless_zeros() -> bytes:
    """Gzip of more than the largest body that is split."""
    return deflated(b"\0" * (1 << 20) for _ in range(140))


@pytest.mark.parametrize(
    "payload",
    [
        b"no gzip",
        pack([]),
        pack({"connectionList": 7}),
        pack({"connectionList": [1, 2]}),
        pack({"connectionList": [{"attempts": "x"}, {"attempts": -1}]}),
        pack({"connectionList": [{}, {}], "observation": []}),
        deflated([b"[" * 100_000]),
        pack({"connectionList": [{}, {}]})[:-9],
        endless_zeros(),
    ],
)
def test_body_that_cannot_be_split_is_set_aside(tmp_path: Path, payload: bytes) -> None:
    """413 on whatever a file holds: quarantined, and the next batch is sent."""
    script = iter([413, 201])
    with answering(lambda _posted: GivenAnswer(next(script))) as url, pusher_of(tmp_path, url, 0) as pusher:
        pusher.spool.put(Batch("c-odd", "connections", CREATED_NS, payload))
        pusher.spool.put(Batch("c-good", "connections", CREATED_NS, pack({})))
        assert [pusher.step().code for _ in range(3)] == ["413", "201", "idle"]
        assert [path.name for path in (tmp_path / "spool/rejected").iterdir()] == ["000000000001-c-odd.batch"]


@pytest.mark.parametrize(("first", "second"), [(404, 401), (302, 405), (200, 404)])
def test_row_47_held_queue_goes_on_when_the_peer_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, second: int
) -> None:
    """A gateway's own page for 15 minutes to wait: once the peer answers a request without a token otherwise."""
    monkeypatch.setattr("delivery.push.PEER_SECONDS", 0.0)
    monkeypatch.setattr("delivery.push.TOKEN_SECONDS", 0.01)
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        status = first if len(asked) < 4 else second
        connection.sendall(f"HTTP/1.1 {status} X\r\nConnection: close\r\n".encode() + LENGTH)

    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        pusher.token.read()
        pusher.pause(PushOutcome(str(first), 900.0, held=True), threading.Event())
    assert len(asked) == 4
    assert all(request.startswith(b"HEAD ") and b"Token" not in request for request in asked)


def test_peer_that_refuses_the_token_is_not_asked_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without a token would count against this address."""
    monkeypatch.setattr("delivery.push.PEER_SECONDS", 0.0)
    asked: list[bytes] = []
    listener, url = raw_server(lambda connection: asked.append(connection.recv(65536)))
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        pusher.token.read()
        pusher.pause(PushOutcome("401", 0.2, held=True), threading.Event())
    assert asked == []
