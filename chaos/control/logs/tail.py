"""A tail: the events of one stream, without a gap or a double, until it is closed or its time is over."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson

from chaos.control.logs.tails import Name, Tails
from manager.store.database import Store
from manager.store.logs.reads import read_after
from manager.worker_threads import run_in_thread

PING_SECONDS = 30.0
# What other managers on the same database, and the manager itself, stored without handing it over.
ASK_SECONDS, ASK_SHARED_SECONDS = 1.0, 0.1
PING = b": ping\n\n"
EOF = b"event: error\ndata: eof\n\n"


def not_kept_line(lines: int, size: int) -> bytes:
    """The line that reports what found no room in a stream."""
    out = f"podsonar: {lines} lines ({size} bytes) were not kept: the stream is full"
    return orjson.dumps({"level": "warn", "pos": 0, "out": out, "time": ""})


def line_events(first: int, lines: Sequence[bytes]) -> bytes:
    """The events of lines with numbers from `first` on."""
    return b"".join(b"id: %d\ndata: %b\n\n" % numbered for numbered in enumerate(lines, first))


async def follow(
    store: Store, tails: Tails, name: Name, after: int, caller: str, seconds: float
) -> AsyncIterator[bytes]:
    """The bytes of the answer: a ping at once, then lines with their numbers as ids.

    Lines of a commit of this process come from memory, right after those that were sent; all others are read.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    ask_seconds = ASK_SHARED_SECONDS if store.shared else ASK_SECONDS
    with tails.following(name, caller) as follower:
        yield b""
        yield PING
        pinged = loop.time()
        while loop.time() < ends:
            follower.event.clear()
            if lines := follower.take(after):
                yield line_events(after + 1, lines)
                after += len(lines)
                continue
            if follower.must_read:
                follower.must_read = False
                passage = await run_in_thread(read_after, store, *name, after)
                if passage is None:
                    break
                if passage.lines:
                    follower.must_read = True
                    yield line_events(passage.first_sequence, passage.lines)
                    after = passage.first_sequence + len(passage.lines) - 1
                    continue
                if passage.is_closed:
                    if passage.not_kept[0]:
                        yield b"data: %b\n\n" % not_kept_line(*passage.not_kept)
                    break
            if loop.time() - pinged >= PING_SECONDS:
                yield PING
                pinged = loop.time()
            try:
                async with asyncio.timeout(ask_seconds):
                    await follower.event.wait()
            except TimeoutError:
                follower.must_read = True
    yield EOF
