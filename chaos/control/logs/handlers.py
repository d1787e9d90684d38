"""Requests of the log service answered: who, which stream, what to store; 204 is sent after the commit."""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy import func, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chaos.control.logs.access import LogAccess
from chaos.control.logs.answer_pieces import in_pieces, slices, while_held
from chaos.control.logs.merge import merged_lines, union
from chaos.control.logs.metrics import LogMetrics
from chaos.control.logs.parse import check_account, check_key, read_after_id, read_lines
from chaos.control.logs.tail import follow, not_kept_line
from chaos.control.logs.tails import Tails
from manager.http.body_limits import PushLimiter, PushLimits, read_body
from manager.http.connections import EXCHANGE
from manager.http.responses import json_response
from manager.parts import PartContext
from manager.schema.gunzip import inflate
from manager.store.conflicts import at_conflicts
from manager.store.database import upsert
from manager.store.logs.lines import STREAM_BYTES, Group, deflate, inflate_stored, writer_groups
from manager.store.logs.reads import blob_sizes, find_gaps, find_stream, list_below, list_chunks, read_blobs, read_chunk
from manager.store.logs.streams import Appended, append_groups, close_stream, open_stream
from manager.store.logs.tables import LOG_BLOBS
from manager.store.logs.tokens import create_log_token
from manager.worker_threads import run_in_thread
from podsonar.timestamp import NS_PER_SECOND

log = structlog.get_logger()

LIMITS = PushLimits(held_bytes=96 << 20, held_bytes_per_agent=32 << 20)
# What the answers that are being read hold: inflated blobs, marks of their lines, and lines that wait for their turn.
READERS = PushLimits(under_way=64, under_way_per_agent=16, held_bytes=128 << 20, held_bytes_per_agent=96 << 20)
ROW_BYTES, OPENED_BYTES = 24, 16 << 20
LINK_SECONDS = 3600
TAIL_SECONDS, BLOB_SECONDS = 3600.0, 600.0
CLOSED_AT_ONCE = 200
NO_STREAM = HTTPException(404, "no such stream")

Decoded = TypeVar("Decoded")
Result = TypeVar("Result")


class LogHandlers:
    """One method per operation; each gets the request, the account and the key."""

    def __init__(self, context: PartContext, access: LogAccess, metrics: LogMetrics, tails: Tails) -> None:
        self.store, self.clock = context.store, context.clock
        self.access, self.metrics, self.tails = access, metrics, tails
        self.limiter, self.readers = PushLimiter(LIMITS), PushLimiter(READERS)

    @staticmethod
    def stream_of(request: Request) -> tuple[str, str]:
        """Account and key of the query."""
        query = request.query_params
        return check_account(query.get("accountID", "")), check_key(query.get("key", ""))

    async def open(self, request: Request) -> Response:
        """Open the stream; again: no change."""
        account, key = self.stream_of(request)
        caller = await self.access.require_writer(request, account, key)

        @at_conflicts
        def store() -> None:
            with self.store.writing() as connection:
                open_stream(connection, account, key, self.clock(), **caller.scope)

        await run_in_thread(store)
        return Response(status_code=204)

    async def append(self, request: Request) -> Response:
        """Append lines."""
        account, key = self.stream_of(request)
        caller = await self.access.require_writer(request, account, key)
        request_id = request.headers.get("idempotency-key", "")[:128]

        @at_conflicts
        def store(groups: list[Group]) -> Appended:
            with self.store.writing() as connection:
                return append_groups(connection, account, key, groups, self.clock(), request_id, **caller.scope)

        appended = await self.take(request, caller.id, lambda body: writer_groups(caller.id, read_lines(body)), store)
        self.metrics.count(appended)
        self.tails.hand_over((account, key), appended.first_sequence, appended.lines)
        return Response(status_code=204)

    async def take(
        self,
        request: Request,
        caller: str,
        decode: Callable[[bytes | bytearray], Decoded],
        store: Callable[[Decoded], Result],
    ) -> Result:
        """What storing the decoded body gives; within limits of size, time and number at once.

        A caller's next body is decoded while this one's commit waits for the disk.
        """
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"gzip", "identity", ""}:
            raise HTTPException(415, "Content-Encoding: expected gzip or identity")
        async with self.limiter.slot(caller) as slot:
            raw = await read_body(request, LIMITS, slot)

            def plain() -> Decoded:
                return decode(inflate(raw, LIMITS.inflated_bytes) if encoding == "gzip" else raw)

            async with AsyncExitStack() as decoding:
                await decoding.enter_async_context(self.limiter.decode_turn(caller))
                decoded = await run_in_thread(plain, limiter=self.limiter.threads)
                async with self.limiter.store_turn(caller):
                    await decoding.aclose()
                    return await run_in_thread(store, decoded, limiter=self.limiter.threads)

    async def close(self, request: Request) -> Response:
        """Close the stream; its lines stay. `keys` names more, `prefix=true` all of the account that begin like this.

        Of the latter those that the caller may not write stay open: 403 is for what the request names.
        """
        account, key = self.stream_of(request)
        query = request.query_params
        names = [key, *(check_key(name) for name in query.get("keys", "").split(",") if name)]
        for name in names:
            caller = await self.access.require_writer(request, account, name)
        if query.get("prefix", "").lower() == "true":
            below = await run_in_thread(list_below, self.store, account, key)
            names += [name for name in below if caller.may_write(account, name)]

        @at_conflicts
        def store(some: Sequence[str]) -> None:
            with self.store.writing() as connection:
                for name in some:
                    close_stream(connection, account, name, self.clock())

        closed = sorted(set(names))
        for start in range(0, len(closed), CLOSED_AT_ONCE):
            await run_in_thread(store, closed[start : start + CLOSED_AT_ONCE])
        for name in names:
            self.tails.notify((account, name))
        return Response(status_code=204)

    async def tail(self, request: Request) -> Response:
        """Every line so far, then those that come, as Server-Sent Events."""
        account, key = self.stream_of(request)
        caller = await self.access.require_reader(request, account, key)
        query = request.query_params.get("lastEventId", "")
        after = read_after_id(request.headers.get("last-event-id", query))
        if await run_in_thread(find_stream, self.store, account, key) is None:
            raise NO_STREAM
        request.scope[EXCHANGE](TAIL_SECONDS + 60)
        events = follow(self.store, self.tails, (account, key), after, caller.id, TAIL_SECONDS)
        await anext(events)  # a refusal is an answer, not the end of one
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def upload(self, request: Request) -> Response:
        """Keep a blob as it was sent; a blob of before stays."""
        account, key = self.stream_of(request)
        caller = await self.access.require_writer(request, account, key, uploads=True)
        await self.take(request, caller.id, bytes, at_conflicts(lambda body: self.store_blob(account, key, body)))
        return Response(status_code=204)

    def store_blob(self, account: str, key: str, body: bytes) -> None:
        """Store a blob; 413 where those of the key would be larger than a stream may be."""
        digest = hashlib.sha256(body).hexdigest()
        row = {"account": account, "key": key, "sha256": digest, "bytes": len(body), "uploaded_ns": self.clock()}
        with self.store.writing() as connection:
            others = (LOG_BLOBS.c.account == account) & (LOG_BLOBS.c.key == key) & (LOG_BLOBS.c.sha256 != digest)
            total = connection.execute(select(func.coalesce(func.sum(LOG_BLOBS.c.bytes), 0)).where(others)).scalar()
            if int(total or 0) + len(body) > STREAM_BYTES:
                raise HTTPException(413, f"the blobs of a key: expected no more than {STREAM_BYTES} bytes")
            upsert(connection, LOG_BLOBS, [row | {"body": deflate(body)}], keep=("uploaded_ns",))

    async def blob(self, request: Request) -> Response:
        """Streamed and uploaded lines, each once and in order; `raw=true`: the newest blob as it was sent."""
        account, key = self.stream_of(request)
        caller = await self.access.require_reader(request, account, key)
        raw = request.query_params.get("raw") == "true"
        async with AsyncExitStack() as opened:
            slot = await opened.enter_async_context(self.readers.slot(caller.id))
            sizes = await run_in_thread(blob_sizes, self.store, account, key)
            slot.hold(sum(sizes[-1:] if raw else sizes))
            read = partial(self.inflated_blobs, account, key, newest=raw)
            blobs = await run_in_thread(read, limiter=self.readers.decoding)
            slot.hold(0 if raw else sum(ROW_BYTES * body.count(b"\n") for _when, body in blobs))
            if raw and not blobs:
                raise HTTPException(404, "no such blob")
            stream = None if raw else await run_in_thread(find_stream, self.store, account, key)
            if stream is None and not blobs:
                raise NO_STREAM
            if stream is not None:
                slot.hold(min(int(stream["bytes"]), OPENED_BYTES))
            pieces = slices(blobs[-1][1]) if raw else in_pieces(self.lines(account, key, stream, blobs))
            held = while_held(pieces, opened.pop_all())
            await anext(held)  # from here on it is closed with the answer
        request.scope[EXCHANGE](BLOB_SECONDS)
        return StreamingResponse(held, media_type="application/octet-stream" if raw else "application/x-ndjson")

    def inflated_blobs(self, account: str, key: str, *, newest: bool) -> list[tuple[int, bytes]]:
        """The blobs of a key, oldest first, or the newest one alone."""
        found = read_blobs(self.store, account, key, newest=newest)
        return [(when, inflate_stored(body)) for when, body in found]

    def lines(
        self, account: str, key: str, stream: dict[str, Any] | None, blobs: list[tuple[int, bytes]]
    ) -> Iterator[bytes]:
        """The lines of a stream and of its blobs, and what was not kept."""
        chunks = list_chunks(self.store, account, key)
        yield from union(lambda: merged_lines(chunks, partial(read_chunk, self.store, account, key)), blobs)
        if stream and stream["not_kept_lines"]:
            yield not_kept_line(stream["not_kept_lines"], stream["not_kept_bytes"])

    async def exists(self, request: Request) -> Response:
        """200 if there is something to read, else 404."""
        account, key = self.stream_of(request)
        await self.access.require_reader(request, account, key)
        if await run_in_thread(find_stream, self.store, account, key) is None and not (
            await run_in_thread(blob_sizes, self.store, account, key)
        ):
            raise NO_STREAM
        return Response(status_code=200)

    async def link(self, request: Request) -> Response:
        """A link by which one blob can be uploaded without another credential, for an hour."""
        account, key = self.stream_of(request)
        caller = await self.access.require_writer(request, account, key)
        now_ns = self.clock()
        expires_ns = now_ns + LINK_SECONDS * NS_PER_SECOND

        @at_conflicts
        def make() -> str:
            with self.store.writing() as connection:
                return create_log_token(
                    connection,
                    account,
                    key,
                    now_ns,
                    secrets.token_bytes,
                    expires_ns=expires_ns,
                    upload_only=True,
                    **caller.scope,
                )

        token = await run_in_thread(make)
        path = request.url.path.removesuffix("/link/upload")
        link = request.url.replace(path=path, query="").include_query_params(
            **{"accountID": account, "key": key, "X-Harness-Token": token}
        )
        # Public clients read `expires` as Go's time.Duration: nanoseconds from now.
        return json_response({"link": str(link), "expires": LINK_SECONDS * NS_PER_SECOND})

    async def info(self, request: Request) -> Response:
        """What is known of a stream: how many lines, what was not kept, which positions are missing."""
        account = check_account(request.query_params.get("accountID", ""))
        key = check_key(request.path_params["key"])
        await self.access.require_reader(request, account, key)
        stream = await run_in_thread(find_stream, self.store, account, key)
        if stream is None:
            raise NO_STREAM
        gaps = await run_in_thread(find_gaps, self.store, account, key)
        chunks = await run_in_thread(list_chunks, self.store, account, key)
        return json_response(
            {
                "key": key,
                "isOpen": stream["closed_ns"] is None,
                "lines": stream["lines"],
                "bytes": stream["bytes"],
                "notKept": stream["not_kept_lines"],
                "notKeptBytes": stream["not_kept_bytes"],
                "duplicates": stream["duplicate_lines"],
                "conflicts": stream["conflicting_lines"],
                "implicitOpens": stream["implicit_opens"],
                "firstPos": min((chunk.first_pos for chunk in chunks), default=None),
                "lastPos": max((chunk.last_pos for chunk in chunks), default=None),
                "gaps": gaps,
            }
        )
