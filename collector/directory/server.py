"""`POST /v1/resolve`: node agents ask who owned addresses; token auth, bounded body, count, time and memory.

An answer about a time is given only when everything is known about that time (`as_of_ns`, `FINAL_AFTER_NS`). A request
that comes earlier waits until the watches have caught up; if they do not, the answer is 503.
"""

import asyncio
import threading
import time
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.directory.live_directory import LiveDirectory
from collector.directory.resolve_request import MAX_BODY_BYTES, parse_request
from collector.orders.handlers import WindowOrders
from collector.request_guard import RefusalError, authorized, json_response, read_body
from directory.interval import FINAL_AFTER_NS
from podsonar.directory_answer import Query
from podsonar.errors import InputError
from podsonar.keep_alive import SERVER_IDLE_SECONDS
from podsonar.logs_and_probes import listen_address
from podsonar.timestamp import NS_PER_SECOND, rfc3339

WAIT_SECONDS = 15.0  # until the watches have caught up
POLL_SECONDS = 0.1
MOST_OPEN = 128  # concurrent requests; beyond it 503 without reading the body: the client would have timed out before
MOST_WAITING = 64  # concurrent requests that wait; each holds its questions in memory
BACKLOG = 8192  # of the listening socket: all agents of a cluster ask within seconds


class Resolver:
    """Answers requests from a live directory."""

    def __init__(self, live: LiveDirectory, token: Callable[[], str], wait_seconds: float = WAIT_SECONDS) -> None:
        self.live = live
        self.token = token
        self.wait_seconds = wait_seconds
        self.open = self.waiting = 0

    async def resolve(self, request: Request) -> Response:
        """Answer `POST /v1/resolve`, whatever the request."""
        self.open += 1
        try:
            response = await self.answer_request(request)
        except RefusalError as error:
            response = json_response(error.status, {"error": str(error)})
        except InputError as error:
            response = json_response(400, {"error": str(error)})
        finally:
            self.open -= 1
        self.live.metrics.requests.labels(str(response.status_code)).inc()
        return response

    async def answer_request(self, request: Request) -> Response:
        """Return the answers; RefusalError or InputError if there are none."""
        if not authorized(request, self.token):
            raise RefusalError(401, "expected Authorization: Token <agent token>")
        if self.open > MOST_OPEN:
            raise RefusalError(503, f"more than {MOST_OPEN} requests at once")
        content = await read_body(request, MAX_BODY_BYTES)
        if not self.live.synced:
            raise RefusalError(503, "the directory has not listed every kind yet")
        asked, explain = parse_request(content)
        del content
        await self.wait_until_final(asked)
        began = time.perf_counter()
        as_of_ns = self.live.as_of_ns
        answers = [answer.wire() for answer in self.live.answers(asked)]
        if explain:
            for answer, owners in zip(answers, self.live.explained(asked), strict=True):
                answer["owners"] = owners
        response = json_response(200, {"answers": answers, "asOf": rfc3339(as_of_ns)})
        self.live.metrics.seconds.observe(time.perf_counter() - began)
        return response

    async def wait_until_final(self, asked: list[Query]) -> None:
        """Wait until everything about the asked times is known; RefusalError 503 if that takes too long."""
        wanted_ns = max((query.to_ns for query in asked if query.address), default=0) + FINAL_AFTER_NS
        if self.live.as_of_ns >= wanted_ns:
            return
        late_seconds = (wanted_ns - time.time_ns()) / NS_PER_SECOND
        if late_seconds > self.wait_seconds or self.waiting >= MOST_WAITING:
            raise RefusalError(503, "the asked times are too near: changes of then may still be on their way")
        self.waiting += 1
        try:
            deadline = time.monotonic() + self.wait_seconds
            while self.live.as_of_ns < wanted_ns:
                if time.monotonic() > deadline:
                    raise RefusalError(503, "the API server has reported nothing new since the asked times")
                if time.time_ns() > wanted_ns:
                    self.live.request_progress(wanted_ns)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self.waiting -= 1


def application(
    live: LiveDirectory,
    token: Callable[[], str],
    wait_seconds: float = WAIT_SECONDS,
    orders: WindowOrders | None = None,
) -> Starlette:
    """Return the directory's HTTP application; windows can be ordered where `orders` takes them."""
    resolver = Resolver(live, token, wait_seconds)

    async def ready(_request: Request) -> Response:
        """Whether the directory can answer about the present, and why not: health is progress."""
        body = {
            "synced": live.synced,
            "failed": live.failures,
            "skipped": live.skipped,
            "stale": live.stale,
            "incomplete": live.directory.incomplete,
        }
        return json_response(503 if live.unready else 200, body)

    routes = [Route("/v1/resolve", resolver.resolve, methods=["POST"]), Route("/readyz", ready)]
    return Starlette(routes=[*routes, *(orders.routes() if orders else ())])


def serve(
    live: LiveDirectory, token: Callable[[], str], listen: str, orders: WindowOrders | None = None
) -> uvicorn.Server:
    """Serve the directory from a thread; the returned server's `should_exit` ends it."""
    host, port = listen_address("directory.listen", listen)
    app = application(live, token, orders=orders)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        lifespan="off",
        backlog=BACKLOG,
        timeout_keep_alive=SERVER_IDLE_SECONDS,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, name="directory", daemon=True).start()
    return server
