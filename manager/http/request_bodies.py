"""Bodies of people, runners and delegates: read once it is known who sends them, within one budget of memory.

Pushes, logs and hosts have budgets of their own (`PushLimits`): none of them takes the room of another.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from starlette.requests import Request

from manager.http.body_limits import PushLimiter, PushLimits, read_body

MOST_BYTES = 8 << 20
LIMITS = PushLimits(under_way=64, under_way_per_agent=16, held_bytes=48 << 20, held_bytes_per_agent=16 << 20)


class RequestBodies:
    """Admits a number of bodies at once; `sender` is who has shown a key or token, and has a share of the room."""

    def __init__(self, limits: PushLimits = LIMITS) -> None:
        self.limits = limits
        self.limiter = PushLimiter(limits)

    @asynccontextmanager
    async def body(self, request: Request, sender: str, most_bytes: int = MOST_BYTES) -> AsyncIterator[bytes]:
        """The body; in the block it is the sender's turn, since what a body decodes to takes memory, too.

        413, 408, 429 or 503 for a body that is too large, too slow, or one of too many.
        """
        async with self.limiter.slot(sender) as slot:
            limits = replace(self.limits, compressed_bytes=min(most_bytes, self.limits.compressed_bytes))
            raw = bytes(await read_body(request, limits, slot))
            async with self.limiter.decode_turn(sender):
                yield raw
