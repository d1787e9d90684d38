"""The HTTP protocol of every port: uvicorn's, with time-outs for head and exchange and a cap on connections.

A request whose body is not wanted any more (401, 413, 429) costs nothing beyond its answer: what still comes is thrown
away unparsed for a moment, so that the answer is not lost by a reset, and the connection is closed.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from manager.http.responses import HEAD_BYTES
from podsonar.keep_alive import SERVER_IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections at once, in all and per address, and how long each of their stages may take."""

    total: int = 1024
    per_address: int = 512  # a proxy in front is one address
    head_seconds: float = SERVER_IDLE_SECONDS  # also after an answer, for the next request
    exchange_seconds: float = 120.0  # from the whole head to the end of the answer, read by the client
    linger_seconds: float = 1.0
    linger_bytes: int = 32 << 20


@dataclass(slots=True)
class OpenConnections:
    """The open connections of one port."""

    limits: ConnectionLimits
    refused: Callable[[], object] = lambda: None
    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)

    def enter(self, address: str) -> bool:
        """Whether one more may be open; it is counted then."""
        if self.total >= self.limits.total or self.by_address[address] >= self.limits.per_address:
            self.refused()
            return False
        self.total += 1
        self.by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One is closed."""
        self.total -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]


# In an ASGI scope: a function by which the application allows an answer more time than `exchange_seconds`.
EXCHANGE = "podsonar.exchange"


class LingeringTransport:
    """A transport whose `close` waits a moment while the peer still sends, and throws that away."""

    def __init__(self, transport: asyncio.Transport, protocol: "GuardedProtocol") -> None:
        self.transport, self.protocol, self.lingering = transport, protocol, False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the transport's
        """Everything else is the transport's own."""
        return getattr(self.transport, name)

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self.lingering or self.transport.is_closing()

    def close(self) -> None:
        """Close once the peer has stopped sending, at the latest after the time to linger."""
        if self.is_closing():
            return
        if not self.protocol.body_is_pending():
            self.transport.close()
            return
        self.lingering = True
        self.protocol.linger()
        with suppress(OSError):  # the peer is gone
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.transport.resume_reading()


class AnnouncingConnection(h11.Connection):
    """The HTTP state of a connection; a response to a request whose body is not read yet announces the end.

    Without `Connection: close` (RFC 9112, 9.6) a client would send its next request where nobody reads it.
    """

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """The bytes of an event; `send` joins them."""
        closes = (b"connection", b"close")
        if isinstance(event, h11.Response) and self.their_state is h11.SEND_BODY and closes not in event.headers:
            headers = [*event.headers.raw_items(), closes]
            event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
        return super().send_with_data_passthrough(event)


class GuardedProtocol(H11Protocol):
    """One connection within the limits."""

    open_connections: OpenConnections
    timer: asyncio.TimerHandle | None = None
    address = ""
    counted = False
    thrown_away = 0

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Take a connection of that server."""
        super().__init__(*given, **named)
        self.conn = AnnouncingConnection(h11.SERVER, HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, or end it; answers are sent at once, since each is a head and a body (TCP_NODELAY)."""
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.client[0] if self.client else ""
        self.counted = self.open_connections.enter(self.address)
        if self.counted:
            self.arm(self.open_connections.limits.head_seconds, transport.close)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse; bytes of a head do not lengthen the wait for the rest of it."""
        if self.transport.is_closing():
            self.thrown_away += len(data)
            if self.thrown_away > self.open_connections.limits.linger_bytes:
                self.transport.abort()
            return
        waiting = not self.is_busy()
        super().data_received(data)
        if waiting and self.is_busy() and not self.transport.is_closing():
            self.scope[EXCHANGE] = self.allow_exchange  # type: ignore[literal-required]
            self.allow_exchange(self.open_connections.limits.exchange_seconds)

    def allow_exchange(self, seconds: float) -> None:
        """Abort the connection unless its answer is complete within that time."""
        self.arm(seconds, self.transport.abort)

    def is_busy(self) -> bool:
        """Whether a request has come whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def body_is_pending(self) -> bool:
        """Whether the peer may still be sending a body that nothing reads."""
        return self.conn.their_state is h11.SEND_BODY

    def on_response_complete(self) -> None:
        """Wait for the next head; without one if the body of this request has not been read."""
        if self.body_is_pending():
            self.transport.close()
        super().on_response_complete()
        if not self.transport.is_closing() and not self.is_busy():
            self.arm(self.open_connections.limits.head_seconds, self.transport.close)

    def linger(self) -> None:
        """Throw away what comes, for a moment."""
        self.arm(self.open_connections.limits.linger_seconds, self.transport.abort)

    def eof_received(self) -> None:
        """While lingering this is what was waited for; the transport closes then."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave nothing behind."""
        if self.timer is not None:
            self.timer.cancel()
        if self.counted:
            self.open_connections.leave(self.address)
        super().connection_lost(exc)

    def arm(self, seconds: float, act: Callable[[], object]) -> None:
        """Restart the connection's one timer."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(seconds, act)


def guarded_protocol(open_connections: OpenConnections) -> type[H11Protocol]:
    """The protocol of a port."""
    return type("PortProtocol", (GuardedProtocol,), {"open_connections": open_connections})
