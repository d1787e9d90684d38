"""A peer that takes or gives a byte at a time: each exchange ends in its time."""

import random
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from delivery.batch import Batch
from lab.controlplane.certificates import Authority
from tests.delivery.pushers import CREATED_NS, pusher_of
from tests.delivery.test_manager_tls import authority, pair_for
from tests.delivery.test_push_faults import raw_server


def drip(connection: socket.socket, head: bytes, piece: bytes) -> None:
    """Answer with the head, and then with one piece after the other, until the peer has gone."""
    connection.recv(65536)
    connection.sendall(head)
    while True:
        try:
            connection.sendall(piece)
        except OSError:
            return
        time.sleep(0.05)


def drip_headers(connection: socket.socket) -> None:
    """A valid head whose headers never end."""
    drip(connection, b"HTTP/1.1 201 OK\r\n", b"X: y\r\n")


def drip_interim(connection: socket.socket) -> None:
    """Interim responses without an end."""
    drip(connection, b"", b"HTTP/1.1 100 Continue\r\n\r\n")


def drip_body(connection: socket.socket) -> None:
    """A body whose chunks come one by one, for ever."""
    drip(connection, b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")


@pytest.mark.parametrize("serve", [drip_headers, drip_interim, drip_body])
def test_exchange_ends_in_its_time_whatever_comes(tmp_path: Path, serve: Callable[[socket.socket], None]) -> None:
    """Each byte is in time, the whole is not: the attempt ends as a timeout, and the batch stays."""
    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        outcome = pusher.step(0.5)
        assert (outcome.code, outcome.reason) == ("error", "timeout")
        assert pusher.spool.stats().batches == 1


def test_peer_that_takes_a_byte_at_a_time_ends_in_its_time(tmp_path: Path) -> None:
    """A large body is written in pieces, each in time: the attempt ends as a timeout."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            while connection.recv(512):
                time.sleep(0.02)
        except OSError:
            return

    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url, 0) as pusher:
        pusher.spool.put(Batch("c-big", "connections", CREATED_NS, random.Random(1).randbytes(8 << 20)))  # noqa: S311
        outcome = pusher.step(1.0)
        assert (outcome.code, outcome.reason) == ("error", "timeout")


def test_tls_handshake_that_drips_ends_in_its_time(tmp_path: Path) -> None:
    """A server's handshake that comes a byte at a time."""
    own: Authority = authority(tmp_path, "own")
    pair = pair_for(own, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    def serve(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.recv(65536))
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        try:
            for byte in outgoing.read():
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            return

    listener, url = raw_server(serve)
    port = url.rpartition(":")[2]
    with closing(listener), pusher_of(tmp_path, f"https://localhost:{port}", 1, str(own.file)) as pusher:
        outcome = pusher.step(0.5)
        assert (outcome.code, outcome.reason) == ("error", "timeout")
