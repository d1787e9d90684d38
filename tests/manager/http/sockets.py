"""Connections to a server, byte by byte."""

import socket

from tests.manager.fresh_database import fresh_id


def connect(url: str, seconds: float = 30, source: str = "") -> socket.socket:
    """A connection to a server, from an address if one is given; whatever is done on it may take so many seconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), seconds, (source, 0) if source else None)


def read_all(sock: socket.socket) -> bytes:
    """What comes until the manager closes the connection, or resets it."""
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def push_head(token: str, *lines: str) -> bytes:
    """The head of a push."""
    first = ("POST /api/v1/collections HTTP/1.1", "Host: m", "Content-Type: application/json")
    named = (f"Idempotency-Key: {fresh_id()}", f"Authorization: Token {token}")
    return "\r\n".join((*first, *named, *lines, "", "")).encode()
