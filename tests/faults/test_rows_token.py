"""Rows 1 to 9: who pushes."""

import socket
import statistics
import time
from contextlib import closing

import orjson
import pytest

from manager.store.agents import remove_agent
from manager.store.database import Store
from manager.store.tokens.issued import revoke_token
from manager.store.tokens.token_format import Token, parse
from tests.faults.conftest import FaultAgent, authorized, with_token
from tests.manager.http.sockets import connect
from tests.manager.shop import NODE_A

GOOD = orjson.dumps(NODE_A)
STRANGER = "podsonar_0123456789ab_" + "A" * 43
TRIES = 500


def raw(agent: FaultAgent, text: bytes) -> bytes:
    """What comes after some bytes, until the manager closes or a second is over."""
    with connect(agent.url, 20) as sock:
        sock.sendall(text)
        received = b""
        while b"\r\n\r\n" not in received and (piece := sock.recv(65536)):
            received += piece
    return received


def wrong_secret(text: str) -> str:
    """A token with the id of a good one and another secret. A secret may hold an underscore: only `parse` knows it."""
    token = parse(text)
    assert token
    return Token(token.id, token.secret[::-1]).text()


def test_row_01_no_authorization_is_401_before_the_body(manager: FaultAgent) -> None:
    """The answer comes although not one byte of the body was sent."""
    head = (
        "POST /api/v1/collections HTTP/1.1\r\nHost: m\r\nContent-Length: 5000000\r\nContent-Type: application/json\r\n"
    )
    answer = raw(manager, f"{head}Idempotency-Key: b-1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"www-authenticate: token" in answer.lower()


def test_row_02_scheme_bearer_is_401(manager: FaultAgent) -> None:
    """An agent's token opens by scheme Token alone."""
    assert authorized(manager, f"Bearer {manager.token}", GOOD).status_code == 401


@pytest.mark.parametrize("form", ["token {}", "TOKEN {}", "Token   {}"])
def test_row_03_other_case_and_more_spaces_are_201(manager: FaultAgent, form: str) -> None:
    """A scheme has no case, and spaces separate (RFC 9110, 11.1)."""
    assert authorized(manager, form.format(manager.token), GOOD).status_code == 201


def test_row_04_two_authorizations_are_401(manager: FaultAgent) -> None:
    """Also if both are the same good one: a proxy may have looked at the other."""
    good = f"Token {manager.token}"
    assert authorized(manager, [good, good], GOOD).status_code == 401
    assert authorized(manager, [good, f"Token {STRANGER}"], GOOD).status_code == 401


@pytest.mark.parametrize(
    "token", ["ä" * 60, "\xff\xfe", "A" * 10_000, STRANGER + "é", "podsonar__", "podsonar_" + "_" * 60]
)
def test_row_05_odd_token_is_401(manager: FaultAgent, token: str) -> None:
    """No text in the place of a token is an error of the manager's."""
    assert authorized(manager, f"Token {token}", GOOD).status_code == 401


def test_row_05_token_with_nul_is_no_request(manager: FaultAgent) -> None:
    """A header with a NUL is no HTTP: refused, and no 500."""
    head = b"POST /api/v1/collections HTTP/1.1\r\nHost: m\r\nAuthorization: Token a\0b\r\nContent-Length: 2\r\n\r\n{}"
    assert raw(manager, head)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401")


def test_row_06_token_of_a_removed_agent_is_404(manager: FaultAgent) -> None:
    """The holder of a good token is told that its agent is gone."""
    with closing(Store(manager.database)) as store:
        remove_agent(store, manager.agent, 5)
    assert authorized(manager, f"Token {manager.token}", GOOD).status_code == 404


def test_row_07_token_of_an_agent_that_never_was_is_401(manager: FaultAgent) -> None:
    """A token of the right form that nobody made, and one with a good id."""
    assert authorized(manager, f"Token {STRANGER}", GOOD).status_code == 401
    assert authorized(manager, f"Token {wrong_secret(manager.token)}", GOOD).status_code == 401


def test_row_08_revoked_and_expired_tokens_are_401_and_a_second_one_is_201(manager: FaultAgent) -> None:
    """Two tokens of one agent are good at a time."""
    second, expired, revoked = manager.new_token(), manager.new_token(expires_ns=2), manager.new_token()
    with closing(Store(manager.database)) as store:
        revoke_token(store, revoked.id, time.time_ns())
    for token, status in ((second, 201), (expired, 401), (revoked, 401)):
        assert authorized(manager, f"Token {with_token(manager, token).token}", GOOD).status_code == status
    assert authorized(manager, f"Token {manager.token}", GOOD).status_code == 201


@pytest.mark.long
def test_row_09_wrong_id_and_wrong_secret_take_the_same_time(manager: FaultAgent) -> None:
    """The times of either tell nothing: each median lies within the middle half of the other's times."""
    texts = [f"Token {STRANGER}", f"Token {wrong_secret(manager.token)}"]
    seconds: list[list[float]] = [[], []]
    for number in range(2 * TRIES):
        address, _, port = manager.url.removeprefix("http://").partition(":")
        with socket.socket() as sock:
            source = number // 8 + 1  # ten failures close an address
            sock.bind((f"127.2.{source >> 8}.{source & 255}", 0))
            sock.connect((address, int(port)))
            head = f"POST /api/v1/collections HTTP/1.1\r\nHost: m\r\nAuthorization: {texts[number % 2]}\r\n\r\n"
            began = time.perf_counter()
            sock.sendall(head.encode())
            answer = sock.recv(65536)
            seconds[number % 2].append(time.perf_counter() - began)
            assert answer.startswith(b"HTTP/1.1 401"), answer
    for one, other in (seconds, seconds[::-1]):
        low, _, high = statistics.quantiles(other, n=4)
        assert low <= statistics.median(one) <= high
