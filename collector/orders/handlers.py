"""`/v1/windows`: a runner orders windows, node agents hold a request until there are new ones; token auth, all bounded.

POST /v1/windows                       order windows of a run, all or none
GET  /v1/windows?after=REV&wait=60     the windows that are not over, as soon as their list is another one than REV
GET  /v1/windows/{run}                 the windows of a run; 404 if none is known (any more)
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.orders import orders_file
from collector.orders.listeners import Listeners
from collector.orders.metrics import OrderMetrics
from collector.orders.order_book import BookFullError, OrderBook, OverlapError
from collector.orders.order_request import MAX_BODY_BYTES, parse_order
from collector.request_guard import RefusalError, authorized, json_response, read_body
from podsonar.errors import InputError
from podsonar.timestamp import rfc3339
from podsonar.window_orders import MOST_WAIT_SECONDS, PATH, Orders

log = structlog.get_logger()

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class WindowOrders:
    """The order book behind HTTP; `file` is where it outlives a restart."""

    def __init__(
        self,
        book: OrderBook,
        token: Callable[[], str],
        metrics: OrderMetrics,
        file: Path | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.book, self.token, self.metrics, self.file, self.now_ns = book, token, metrics, file, now_ns
        self.listeners = Listeners()
        self.changed = asyncio.Event()  # set, and replaced, with every order
        self.writing = asyncio.Lock()
        metrics.follow(self.listeners.parked.total, lambda: len(book.coming(now_ns()).windows))

    def routes(self) -> list[Route]:
        """The routes of the operations."""
        return [
            Route(PATH, self.guarded(self.order), methods=["POST"]),
            Route(PATH, self.guarded(self.wait_for_news), methods=["GET"]),
            Route(PATH + "/{run}", self.guarded(self.of_run), methods=["GET"]),
        ]

    def guarded(self, handler: Handler) -> Handler:
        """Return a handler that answers whatever the request, and only who has the token."""

        async def answer(request: Request) -> Response:
            if not authorized(request, self.token):
                return json_response(401, {"error": "expected Authorization: Token <agent token>"})
            try:
                return await handler(request)
            except RefusalError as error:
                return json_response(error.status, {"error": str(error)})
            except InputError as error:
                return json_response(400, {"error": str(error)})

        return answer

    async def order(self, request: Request) -> Response:
        """Take an order, on disk where there is one; 409 has the next free time, 503 when the book is full."""
        content = await read_body(request, MAX_BODY_BYTES)
        async with self.writing:
            try:
                order = parse_order(content)
                outcome = self.book.order(order, self.now_ns())
            except InputError:
                self.metrics.count("invalid")
                raise
            except OverlapError as error:
                self.metrics.count("overlap")
                free = error.next_free_ns
                return json_response(409, {"error": str(error), "nextFree": free and rfc3339(free)})
            except BookFullError as error:
                self.metrics.count("full")
                raise RefusalError(503, str(error)) from error
            if outcome == "ordered" and self.file is not None:
                kept = Orders(self.book.revision, self.book.windows)
                await asyncio.to_thread(orders_file.write, self.file, kept)
        self.metrics.count(outcome)
        if outcome == "ordered":
            log.info("windows_ordered", run=order.run, windows=[one.id for one in order.windows])
            self.changed.set()
            self.changed = asyncio.Event()
        answer = self.book.of_run(order.run).wire() | {"listening": self.listeners.count()}
        return json_response(201 if outcome == "ordered" else 200, answer)

    async def of_run(self, request: Request) -> Response:
        """The windows of a run."""
        found = self.book.of_run(request.path_params["run"])
        if not found.windows:
            raise RefusalError(404, "no window of this run is known: it was not ordered, is long over, or was lost")
        return json_response(200, found.wire() | {"listening": self.listeners.count()})

    async def wait_for_news(self, request: Request) -> Response:
        """The windows that are not over, at once if the list is new to the client; 204 if there was nothing new."""
        after = request.query_params.get("after", "")
        seconds = wait_seconds(request.query_params.get("wait", "0"))
        address = request.client.host if request.client else ""
        if seconds:
            self.listeners.came(address)
        if after == self.book.revision and seconds and not await self.park(request, address, seconds):
            return Response(status_code=204)  # which nobody reads
        if seconds:
            self.listeners.answered(address)
        coming = self.book.coming(self.now_ns())
        if after == coming.revision:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        return json_response(200, coming.wire())

    async def park(self, request: Request, address: str, seconds: int) -> bool:
        """Hold a request until there is an order or it is over; return False if its client has gone."""
        self.listeners.park(address)
        news, gone = asyncio.create_task(self.changed.wait()), asyncio.create_task(disconnect(request))
        try:
            ended, _ = await asyncio.wait({news, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (news, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self.listeners.release(address)
        return gone not in ended


async def disconnect(request: Request) -> None:
    """Return once the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def wait_seconds(text: str) -> int:
    """Return how long a request may be held; InputError for what is no number of seconds, or too many."""
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and int(text) <= MOST_WAIT_SECONDS):
        raise InputError(f"wait is {text[:20]!r}, expected seconds from 0 to {MOST_WAIT_SECONDS}")
    return int(text)
