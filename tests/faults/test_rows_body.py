"""Rows 10 to 23: bodies that are no batch, or more than one may be."""

import gzip
import socket
import zlib
from collections.abc import Iterator

import orjson
import pytest

from tests.faults.conftest import FaultAgent, authorized
from tests.manager.fresh_database import fresh_id
from tests.manager.http.sockets import connect, push_head, read_all
from tests.manager.shop import NODE_A, inventory, observed, pod

GOOD = orjson.dumps(NODE_A)
MIB = 1 << 20
PLAIN = {"Content-Encoding": "identity"}


def bomb(plain_mib: int) -> bytes:
    """Gzip of zeros: one deflate block of a MiB, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(b"\0" * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b"\0" * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first + block * (plain_mib - 1) + b"\x03\0" + b"\0" * 8


def connected(agent: FaultAgent, *lines: str) -> socket.socket:
    """A connection on which the head of a push was sent."""
    sock = connect(agent.url, 60)
    sock.sendall(push_head(agent.token, *lines))
    return sock


def answer_on(sock: socket.socket) -> bytes:
    """The status line's code, and then the connection must end."""
    return read_all(sock)[9:12]


def test_row_10_gzip_bomb_is_413_and_costs_no_memory(manager: FaultAgent) -> None:
    """Eight MiB that would be eight GiB: given up early, at less than 64 MiB above idle."""
    body = bomb(8 * 1024)
    assert 7 * MIB < len(body) <= 8.5 * MIB
    body = bomb(8 * 1024 * (8 * MIB - 100) // len(body))
    assert manager.push(NODE_A, fresh_id()).status_code == 201
    idle = manager.memory("VmRSS")
    manager.reset_peak()
    assert manager.push(body, fresh_id()).status_code == 413
    assert manager.memory("VmHWM") - idle < 64 * MIB


def test_row_11_content_length_beyond_the_limit_is_413_before_the_body(manager: FaultAgent) -> None:
    """Not one byte of the body is sent."""
    with connected(manager, f"Content-Length: {8 * MIB + 1}") as sock:
        assert answer_on(sock) == b"413"


def test_row_12_endless_chunked_body_is_413_at_the_limit(manager: FaultAgent) -> None:
    """Without a length it is read up to the limit, and no further."""

    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * MIB

    with connected(manager, "Transfer-Encoding: chunked") as sock:
        sent = 0
        try:
            for piece in pieces():
                sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                sent += 1
        except OSError:
            pass
        assert sent < 64
        assert answer_on(sock) in (b"413", b"")  # a reset may overtake the answer
    endless = authorized(manager, f"Token {manager.token}", b" " * (9 * MIB), **PLAIN)
    assert endless.status_code == 413


@pytest.mark.parametrize(("stated", "statuses"), [(len(GOOD) - 10, {b"400"}), (len(GOOD) + 10, {b"400", b"408", b""})])
def test_row_13_content_length_that_lies_is_refused_and_the_connection_closed(
    manager: FaultAgent, stated: int, statuses: set[bytes]
) -> None:
    """Too short: what is left is no request. Too long: the end comes first."""
    with connected(manager, f"Content-Length: {stated}") as sock:
        sock.sendall(GOOD)
        if stated > len(GOOD):
            sock.shutdown(socket.SHUT_WR)
        assert answer_on(sock) in statuses
    assert manager.read("/connections")["items"] == []


@pytest.mark.parametrize("damage", ["truncated", "crc", "trailing"])
def test_row_14_damaged_gzip_is_400(manager: FaultAgent, damage: str) -> None:
    """Nothing of it is stored."""
    whole = gzip.compress(GOOD)
    body = {"truncated": whole[:-20], "crc": whole[:-8] + b"\0" * 8, "trailing": whole + b"rubbish"}[damage]
    assert manager.push(body).status_code == 400
    assert manager.read("/connections")["items"] == []


def test_row_15_second_member_that_is_a_bomb_is_413(manager: FaultAgent) -> None:
    """The budget is that of all members together."""
    assert manager.push(gzip.compress(GOOD) + bomb(64)).status_code == 413


def test_row_16_encoding_that_is_not_the_bodys_is_400(manager: FaultAgent) -> None:
    """Either way round."""
    assert manager.push(GOOD).status_code == 400
    assert manager.push(gzip.compress(GOOD), **PLAIN).status_code == 400


@pytest.mark.parametrize(("encoding", "status"), [("br", 415), ("gzip, gzip", 415), ("zstd", 415), ("", 201)])
def test_row_17_other_encodings_are_415_and_an_empty_one_is_none(
    manager: FaultAgent, encoding: str, status: int
) -> None:
    """What is not known is not guessed."""
    assert manager.push(GOOD, **{"Content-Encoding": encoding}).status_code == status


def test_row_18_nesting_of_100_000_is_400(manager: FaultAgent) -> None:
    """In an unknown member, in a record, and in an object, where it costs that object alone."""
    deep = b"[" * 100_000 + b"]" * 100_000
    assert manager.push(b'{"x":' + deep + b"}", **PLAIN).status_code == 400
    assert manager.push(GOOD.replace(b'"attempts":23', b'"attempts":23,"x":' + deep, 1), **PLAIN).status_code == 400


def test_row_19_too_many_keys_are_400_and_too_many_records_413(manager: FaultAgent) -> None:
    """Two million keys are no batch; what is only too long may come in halves."""
    keys = b"{" + b",".join(b'"%d":1' % number for number in range(2_000_000)) + b"}"
    assert manager.push(keys[: 31 * MIB], fresh_id(), **PLAIN).status_code in (400, 413)
    assert manager.push(gzip.compress(keys, 1), fresh_id()).status_code == 400
    record = orjson.dumps(NODE_A["connectionList"][0])
    many = GOOD.replace(b'"connectionList":[', b'"connectionList":[' + (record + b",") * 100_001, 1)
    assert manager.push(gzip.compress(many, 1), fresh_id()).status_code == 413


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "18446744073709551616", '"1"', "1.5", "-1"])
def test_row_20_number_that_is_none_is_400(manager: FaultAgent, text: str) -> None:
    """Whatever stands in the place of a count."""
    body = GOOD.replace(b'"attempts":23', b'"attempts":' + text.encode(), 1)
    assert manager.push(body, **PLAIN).status_code == 400


def test_row_20_minus_zero_is_zero(manager: FaultAgent) -> None:
    """It is a whole number in JSON."""
    assert manager.push(GOOD.replace(b'"attempts":23', b'"attempts":-0', 1), **PLAIN).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b"node-a", b"no\xffde"),
        GOOD.replace(b"node-a", b"no\\ud800de"),
    ],
)
def test_row_21_text_that_is_no_utf_8_is_400(manager: FaultAgent, body: bytes) -> None:
    """BOM, UTF-16, a wrong byte, half of a pair."""
    assert manager.push(body, **PLAIN).status_code == 400


def test_row_21_of_equal_keys_the_last_one_counts(manager: FaultAgent) -> None:
    """As every reader of JSON here does."""
    assert manager.push(GOOD[:-1] + b',"nodeName":"the-last"}', **PLAIN).status_code == 201
    assert {one["spec"]["nodeName"] for one in manager.read("/connections")["items"]} == {"the-last"}


def test_row_22_nul_in_a_label_is_replaced_and_counted(manager: FaultAgent) -> None:
    """PostgreSQL holds no NUL, SQLite would: both store the same, and the batch is not lost for it."""
    before = manager.metric('podsonar_manager_cleaned_total{part="character"}')
    made = pod("nul", "10.1.1.1", "node-a", "x")
    made["metadata"]["labels"] = {"a": "x\0y"}
    assert manager.push(inventory({"podList": [made]})).status_code == 201
    (found,) = manager.read("/pods")["items"]
    assert "x\ufffdy" in orjson.dumps(found).decode()
    assert manager.metric('podsonar_manager_cleaned_total{part="character"}') == before + 1


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'"x"', b"1", b"[{}]"])
def test_row_23_body_without_a_batch_is_400(manager: FaultAgent, body: bytes) -> None:
    """No such body is stored as an empty batch."""
    assert manager.push(body, **PLAIN).status_code == 400


def test_row_23_window_without_connections_is_stored(manager: FaultAgent) -> None:
    """A node that saw nothing reports just that."""
    assert manager.push(observed("node-a", [], [])).json()["stored"] is True
