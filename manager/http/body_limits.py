"""How a push's body is read: within a size and a time, from a bounded number of senders, none of which takes all."""

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

CLOSE = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class PushLimits:
    """How large a body may be, as sent and once inflated; how slow; how many are read and stored at once.

    What is read and not yet stored is held in memory: its bytes are bounded too, in all and per agent.
    """

    compressed_bytes: int = 8 * 2**20
    inflated_bytes: int = 32 * 2**20
    body_seconds: float = 30.0
    slow_seconds: float = 10.0  # after these a body must have come at least at this rate
    slow_bytes_per_second: int = 1024
    under_way: int = 256
    under_way_per_agent: int = 64
    held_bytes: int = 192 * 2**20
    held_bytes_per_agent: int = 64 * 2**20
    decoded_at_once: int = 2  # each may hold an inflated body and what it decodes to
    stored_at_once: int = 2  # the others' blocks are decoded meanwhile: a commit waits for the disk, not for the CPU


def retry_later(status: int, text: str) -> HTTPException:
    """The refusal of a push that may be retried, each at a different time."""
    again = str(random.randint(1, 30))  # noqa: S311 - no secret
    return HTTPException(status, text, headers={"Retry-After": again, **CLOSE})


class Slot:
    """One push that is under way, and the bytes that are held for it."""

    def __init__(self, limiter: "PushLimiter", agent_id: str) -> None:
        self.limiter, self.agent_id, self.held = limiter, agent_id, 0

    def hold(self, size: int) -> None:
        """Reserve room for more bytes; 429 if the agent's share is used up, 503 if all of it is."""
        limits, limiter = self.limiter.limits, self.limiter
        if limiter.bytes_of[self.agent_id] + size > limits.held_bytes_per_agent:
            raise retry_later(429, "too many bytes at once from this sender")
        if limiter.held + size > limits.held_bytes:
            raise retry_later(503, "too many bytes at once")
        limiter.held += size
        limiter.bytes_of[self.agent_id] += size
        self.held += size


class PushLimiter:
    """Admits a number of concurrent pushes, and a share of them per agent; the others must retry later."""

    def __init__(self, limits: PushLimits) -> None:
        self.limits = limits
        self.inside = self.held = 0
        self.pushes_of: Counter[str] = Counter()
        self.bytes_of: Counter[str] = Counter()
        self.decoding = anyio.CapacityLimiter(limits.decoded_at_once)
        self.storing = anyio.CapacityLimiter(limits.stored_at_once)
        self.threads = anyio.CapacityLimiter(limits.decoded_at_once + limits.stored_at_once)
        self.turns: dict[tuple[str, str], anyio.Lock] = {}

    @asynccontextmanager
    async def slot(self, agent_id: str) -> AsyncIterator[Slot]:
        """A place until the block ends; 429 or 503 if there is none."""
        if self.pushes_of[agent_id] >= self.limits.under_way_per_agent:
            raise retry_later(429, "too many requests at once from this sender")
        if self.inside >= self.limits.under_way:
            raise retry_later(503, "too many requests at once")
        slot = Slot(self, agent_id)
        self.inside += 1
        self.pushes_of[agent_id] += 1
        try:
            yield slot
        finally:
            self.inside -= 1
            self.pushes_of[agent_id] -= 1
            self.held -= slot.held
            self.bytes_of[agent_id] -= slot.held
            if not self.pushes_of[agent_id]:
                del self.pushes_of[agent_id], self.bytes_of[agent_id]
                for stage in ("decode", "store"):
                    self.turns.pop((agent_id, stage), None)

    @asynccontextmanager
    async def decode_turn(self, agent_id: str) -> AsyncIterator[None]:
        """An agent's turn to decode: one batch of each agent at a time, so that a flood of one holds up no other."""
        async with self.turns.setdefault((agent_id, "decode"), anyio.Lock()), self.decoding:
            yield

    @asynccontextmanager
    async def store_turn(self, agent_id: str) -> AsyncIterator[None]:
        """The same to store: batches of one agent are stored one after the other by the database in any case."""
        async with self.turns.setdefault((agent_id, "store"), anyio.Lock()), self.storing:
            yield


async def read_body(
    request: Request, limits: PushLimits, slot: Slot, charge: Callable[[int], object] = lambda _size: None
) -> bytearray:
    """The body; 413 as soon as it is known to be too large, 408 as soon as it is too slow.

    `charge` gets the size of each piece before it is kept, and may refuse it.
    """
    too_large = HTTPException(413, f"body is larger than {limits.compressed_bytes} bytes", headers=CLOSE)
    slow = HTTPException(408, "body came too slowly", headers=CLOSE)
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.compressed_bytes:
        raise too_large
    body = bytearray()
    began = time.monotonic()
    try:
        with anyio.fail_after(limits.body_seconds):
            async for piece in request.stream():
                charge(len(piece))
                slot.hold(len(piece))
                body += piece
                if len(body) > limits.compressed_bytes:
                    raise too_large
                seconds = time.monotonic() - began
                if seconds > limits.slow_seconds and len(body) < seconds * limits.slow_bytes_per_second:
                    raise slow
    except TimeoutError:
        raise slow from None
    except ClientDisconnect:
        raise HTTPException(400, "body ended early", headers=CLOSE) from None
    return body
