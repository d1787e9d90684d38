"""How a push's body comes in: within a size and a time, from a bounded number of senders at once."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

CLOSE = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class PushLimits:
    """How large a body may be, as sent and once inflated; how slow; how many are taken and stored at once."""

    compressed_bytes: int = 8 * 2**20
    inflated_bytes: int = 32 * 2**20
    dropped_bytes: int = 32 * 2**20  # of a body that is too large: what is read of it for its sender's sake
    dropped_pause_seconds: float = 0.2
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    slow_seconds: float = 10.0  # after these a body must have come at least at this rate
    slow_bytes_a_second: int = 1024
    under_way: int = 64
    stored_at_once: int = 2  # each may hold an inflated body and what it decodes to; the database has one writer anyway


class PushLimiter:
    """Lets so many pushes in at once; the rest is told when to come again, each at another time."""

    def __init__(self, limits: PushLimits) -> None:
        self.limits = limits
        self.inside = 0
        self.storing = anyio.CapacityLimiter(limits.stored_at_once)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place until the block ends; 503 where there is none."""
        if self.inside >= self.limits.under_way:
            again = str(random.randint(1, 30))  # noqa: S311 - no secret
            raise HTTPException(503, "too many pushes at once", headers={"Retry-After": again, **CLOSE})
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


async def drain_body(stream: AsyncIterator[bytes], limits: PushLimits) -> None:
    """Read on until the end, a pause, or enough."""
    dropped = 0
    while dropped <= limits.dropped_bytes:
        piece = None
        with anyio.move_on_after(limits.dropped_pause_seconds):
            piece = await anext(stream, None)
        if piece is None:
            return
        dropped += len(piece)


async def read_body(request: Request, limits: PushLimits) -> bytes:
    """The body; 413 as soon as it is known to be too large, 408 as soon as it is too slow.

    Of what is too large all that is under way is read and dropped first: a connection that is closed on what is unread
    may take the answer with it, and a sender that is not told 413 sends the same again.
    """
    refusal = HTTPException(413, f"body is larger than {limits.compressed_bytes} bytes", headers=CLOSE)
    slow = HTTPException(408, "body came too slowly", headers=CLOSE)
    length = request.headers.get("content-length", "0")
    body = bytearray()
    began = time.monotonic()
    try:
        with anyio.fail_after(limits.body_seconds):
            stream = request.stream()
            if length.isdecimal() and int(length) > limits.compressed_bytes:
                await drain_body(stream, limits)
                raise refusal
            async for piece in stream:
                body += piece
                if len(body) > limits.compressed_bytes:
                    body.clear()
                    await drain_body(stream, limits)
                    raise refusal
                seconds = time.monotonic() - began
                if seconds > limits.slow_seconds and len(body) < seconds * limits.slow_bytes_a_second:
                    raise slow
    except TimeoutError:
        raise slow from None
    except ClientDisconnect:
        raise HTTPException(400, "body ended early", headers=CLOSE) from None
    return bytes(body)
