"""The HTTP protocol of the manager: uvicorn's, and no connection waits for ever for the head of a request."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class HeaderTimeoutProtocol(H11Protocol):
    """Closes a connection whose next request's head is not there in time, whether it is slow or sends nothing."""

    head_seconds: float
    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From the first moment on."""
        super().connection_made(transport)
        self.wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Bytes of a head do not lengthen the wait; a whole head ends it."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.stop_waiting()

    def on_response_complete(self) -> None:
        """After each answer anew."""
        super().on_response_complete()
        self.wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left behind."""
        self.stop_waiting()
        super().connection_lost(exc)

    def wait_for_head(self) -> None:
        """Close the connection in a while, unless a request comes."""
        if self.waiting is None and not self.transport.is_closing():
            self.waiting = self.loop.call_later(self.head_seconds, self.transport.close)

    def stop_waiting(self) -> None:
        """A request is there."""
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None


def protocol_with_timeout(head_seconds: float) -> type[H11Protocol]:
    """The protocol with that much patience."""
    return type("Impatient", (HeaderTimeoutProtocol,), {"head_seconds": head_seconds})
