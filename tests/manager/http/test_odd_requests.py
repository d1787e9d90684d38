"""manager/http over real sockets: a request that is odd or refused ends its connection, and is answered once."""

import gzip
from collections.abc import Iterator

import orjson
import pytest

from manager.http.connections import ConnectionLimits
from manager.server import serving
from tests.manager.conftest import CLIENT, Running
from tests.manager.http.sockets import connect, push_head, read_all
from tests.manager.shop import NODE_A

GOOD = orjson.dumps(NODE_A)


@pytest.mark.parametrize(
    "lines",
    [
        (f"Content-Length: {len(GOOD)}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", f"Content-Length: {len(GOOD)}"),
        ("Transfer-Encoding: chunked", "Content-Length: 0"),
    ],
)
def test_request_with_two_lengths_is_400_and_ends_the_connection(standing: Running, lines: tuple[str, ...]) -> None:
    """Nothing behind it is taken for another request."""
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    with connect(standing.url) as sock:
        sock.sendall(push_head(standing.token, *lines) + body + b"GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Encoding: gzip", "Content-Encoding: gzip"),
        ("Content-Encoding: identity", "Content-Encoding: gzip"),
        ("Content-Encoding: gzip", "Content-Encoding: identity"),
        ("Content-Encoding: gzip", "Content-Encoding: br"),
    ],
)
def test_two_content_encodings_are_415(standing: Running, lines: tuple[str, ...]) -> None:
    """Whichever of them came first."""
    body = gzip.compress(GOOD)
    with connect(standing.url) as sock:
        sock.sendall(push_head(standing.token, *lines, f"Content-Length: {len(body)}") + body)
        assert sock.recv(4096).startswith(b"HTTP/1.1 415 ")


@pytest.mark.parametrize(
    "path", ["/healthz/", "/api/v1/agents/", "/page", "/api/v1/agents/lab/map/", "//evil.example/", "/page/"]
)
def test_no_answer_redirects(standing: Running, path: str) -> None:
    """A redirect would lead to whatever Host the request names."""
    answer = CLIENT.get(standing.url + path, headers={"Host": "evil.example", "X-API-Key": standing.key})
    assert (answer.status_code, answer.headers.get("location")) == (404, None)


@pytest.mark.parametrize("authorization", ["", "Token nonsense", "Bearer x"])
def test_body_after_a_refusal_is_thrown_away_and_the_connection_closed(standing: Running, authorization: str) -> None:
    """Chunks of nobody are not parsed: what follows the 401 has no second answer, however much of it comes."""
    line = f"Authorization: {authorization}\r\n" if authorization else ""
    head = f"POST /api/v1/collections HTTP/1.1\r\nHost: m\r\n{line}Transfer-Encoding: chunked\r\n\r\n"
    with connect(standing.url) as sock:
        sock.sendall(head.encode())
        sent = 0
        try:
            while sent < 256 << 20:
                sock.sendall(b"1\r\na\r\n" * 10_000)
                sent += 60_000
        except OSError:
            pass
        assert sent < 256 << 20
    with connect(standing.url) as sock:
        sock.sendall(head.encode() + b"1\r\na\r\n" * 100)
        answer = read_all(sock)
    assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 429 "))
    assert answer.count(b"HTTP/1.1 ") == 1


REFUSED_UNREAD = {
    "401 push": ("POST", "/api/v1/collections", "Authorization: Token x", b"HTTP/1.1 401 "),
    "401 API": ("DELETE", "/api/v1/agents/lab", "X-API-Key: x", b"HTTP/1.1 401 "),
    "403 API": ("DELETE", "/api/v1/agents/lab", "X-API-Key: {key}", b"HTTP/1.1 403 "),
    "400 API": ("DELETE", "/api/v1/agents/%00", "X-API-Key: {key}", b"HTTP/1.1 40"),
    "404": ("POST", "/api/v1/nothing", "X-API-Key: {key}", b"HTTP/1.1 404 "),
    "405": ("PUT", "/healthz", "X-API-Key: {key}", b"HTTP/1.1 405 "),
    "401 delegate": ("POST", "/v1/delegates/poll", "Authorization: Token x", b"HTTP/1.1 401 "),
}


@pytest.fixture(scope="module")
def lingering(standing: Running) -> Iterator[Running]:
    """A manager over the same database that waits for what a peer still sends, however slow the machine is."""
    with serving(standing.database, connections=ConnectionLimits(linger_seconds=60.0)) as url:
        yield Running(url, standing.database, standing.token, standing.key)


@pytest.mark.parametrize(("method", "path", "line", "status"), REFUSED_UNREAD.values(), ids=REFUSED_UNREAD)
def test_refusal_of_an_unread_body_announces_the_end_of_the_connection(
    lingering: Running, method: str, path: str, line: str, status: bytes
) -> None:
    """A client that keeps connections sends no other request there; one whose body has come may go on."""
    head = f"{method} {path} HTTP/1.1\r\nHost: m\r\n{line.format(key=lingering.key)}\r\nContent-Length: 2\r\n\r\n"
    with connect(lingering.url) as sock:
        sock.sendall(head.encode())
        sock.settimeout(30)
        received = b""
        while b"\r\n\r\n" not in received:
            received += sock.recv(4096)
        sock.sendall(b"{}")
        received += read_all(sock)
    assert received.startswith(status)
    assert b"\r\nconnection: close\r\n" in received.lower()
    with connect(lingering.url) as sock:
        sock.sendall(head.encode() + b"{}GET /healthz HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        first, _, second = read_all(sock).partition(b"HTTP/1.1 200 ")
    assert first.startswith(status)
    assert b"\r\nconnection: close\r\n" not in first.lower()
    assert second
