"""Long answers in pieces: each is a step of the server, and a thread's turn."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

from starlette.concurrency import iterate_in_threadpool

PIECE_BYTES = 256 << 10


def slices(body: bytes) -> Iterator[bytes]:
    """A body in pieces of 256 KiB."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


async def while_held(pieces: Iterator[bytes], opened: AsyncExitStack) -> AsyncIterator[bytes]:
    """The pieces behind an empty one; whatever happens to the answer, what it held is given back at its end."""
    async with opened:
        yield b""
        async for piece in iterate_in_threadpool(pieces):
            yield piece


def in_pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines with their ends, in pieces of 256 KiB."""
    piece = bytearray()
    for line in lines:
        piece += line
        piece += b"\n"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
