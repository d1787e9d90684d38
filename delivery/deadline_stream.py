"""Connections whose every operation ends by one deadline, whatever the peer does: httpcore's network backend.

A time limit per operation does not bound an exchange: a peer that sends or takes one byte now and then starts it anew
each time. TLS runs over memory buffers, so that each byte of it, too, passes the one stream that knows the deadline.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import httpcore

READ_BYTES = 64 << 10
T = TypeVar("T")


class Deadline:
    """The moment by which the current exchange has ended."""

    def __init__(self) -> None:
        self.at = 0.0

    def start(self, seconds: float) -> None:
        """Give the next exchange that long."""
        self.at = time.monotonic() + seconds

    def left(self, most: float | None) -> float:
        """Seconds that an operation may take; TimeoutError if none are left."""
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time of the exchange is over")
        return seconds if most is None else min(seconds, most)


@contextmanager
def translated(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    """Raise httpcore's exceptions in place of the system's."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be encoded
        raise failure(str(error)) from error


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens TCP connections for httpcore."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """The first address of the host that takes the connection."""
        with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            failed: OSError = OSError("the host name has no address")
            for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                connection = socket.socket(family, kind, protocol)
                try:
                    connection.settimeout(self.deadline.left(timeout))
                    connection.connect(address)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                except OSError as error:
                    connection.close()
                    failed = error
                else:
                    return SocketStream(connection, self.deadline)
            raise failed


class SocketStream(httpcore.NetworkStream):
    """A TCP connection."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self.connection = connection
        self.deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes; none at the end of the stream."""
        with translated(httpcore.ReadTimeout, httpcore.ReadError):
            self.connection.settimeout(self.deadline.left(timeout))
            return self.connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all bytes."""
        rest = memoryview(buffer)
        with translated(httpcore.WriteTimeout, httpcore.WriteError):
            while rest:
                self.connection.settimeout(self.deadline.left(timeout))
                rest = rest[self.connection.send(rest) :]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """A TLS connection over this one."""
        return TlsStream(self, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> object:
        """`is_readable`: whether the peer sent something or closed; `socket`; None for what httpcore asks beside."""
        if info == "is_readable":
            poll = select.poll()
            try:
                poll.register(self.connection, select.POLLIN)
            except (ValueError, OSError):
                return True  # closed
            return bool(poll.poll(0))
        return self.connection if info == "socket" else None


class TlsStream(httpcore.NetworkStream):
    """TLS over any stream, also over another TLS stream as behind an https:// proxy."""

    def __init__(
        self, inner: httpcore.NetworkStream, context: ssl.SSLContext, hostname: str | None, timeout: float | None
    ) -> None:
        self.inner = inner
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=hostname)
        try:
            with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
                self.run(self.tls.do_handshake, timeout)
        except BaseException:
            inner.close()
            raise

    def run(self, operation: Callable[[], T], timeout: float | None) -> T:
        """The operation's result, after as many reads and writes below as it needs."""
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self.send_outgoing(timeout)
            else:
                self.send_outgoing(timeout)
                return result
            received = self.inner.read(READ_BYTES, timeout)
            self.incoming.write(received) if received else self.incoming.write_eof()

    def send_outgoing(self, timeout: float | None) -> None:
        """Write what TLS has ready for the peer."""
        if ready := self.outgoing.read():
            self.inner.write(ready, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes; none at the end of the stream."""
        with translated(httpcore.ReadTimeout, httpcore.ReadError):
            try:
                return self.run(partial(self.tls.read, max_bytes), timeout)
            except ssl.SSLZeroReturnError:
                return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all bytes."""
        with translated(httpcore.WriteTimeout, httpcore.WriteError):
            rest = memoryview(buffer)
            while rest:
                piece = rest[:READ_BYTES]
                rest = rest[self.run(partial(self.tls.write, piece), timeout) :]

    def close(self) -> None:
        """Close the connection below."""
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """A TLS connection inside this one."""
        return TlsStream(self, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> object:
        """`ssl_object`, or what the stream below has."""
        return self.tls if info == "ssl_object" else self.inner.get_extra_info(info)
