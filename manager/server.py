"""The manager's routes and its life: `make_app` for tests, `serve` for the command, `serving` for a program.

Read access needs a key with scope read, except for the page's own files, which hold no data.
"""

import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import structlog
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from manager.api.handlers import KIND_PATHS, ReadHandlers
from manager.http.auth import require_reader
from manager.http.header_timeout import protocol_with_timeout
from manager.http.responses import HEAD_BYTES, SecurityHeaders, error_response, json_response, unavailable
from manager.ingest.body_limits import PushLimits
from manager.ingest.handler import IngestHandler
from manager.metrics import ManagerMetrics
from manager.store.database import Store
from manager.store.retention import delete_outdated
from manager.store.tokens import list_agents
from podsonar.errors import SettingsError, StoreError
from podsonar.settings import ManagerSettings

PAGE = Path(__file__).parent / "page"
PREFIXES = ("/api/v1", "/gateway/servicediscovery/api/v1")
RETAIN_SECONDS = 3600
LIMITS = PushLimits()

log = structlog.get_logger()

Handler = Callable[[Request], dict[str, Any]]


def read_routes(reads: ReadHandlers) -> dict[str, Handler]:
    """Path below a prefix -> handler."""
    agent = "/agents/{agent_identity}"
    return {
        "/agents": reads.agents,
        agent: reads.agent,
        f"{agent}/connections": reads.connections,
        f"{agent}/pods/{{pod_uid}}/connections": reads.connections,
        f"{agent}/discoveredservices": reads.discovered_services,
        f"{agent}/discoveredserviceconnections": reads.discovered_connections,
        f"{agent}/map": reads.service_map,
        **{f"{agent}/{path}": reads.objects for path in KIND_PATHS},
        # The API document spells this one path so.
        "/nfras/{agent_identity}/statefulsets": reads.objects,
    }


def reader_endpoint(store: Store, handler: Handler) -> Callable[[Request], Any]:
    """The handler behind a key, in a thread."""

    def answer(request: Request) -> Response:
        try:
            require_reader(store, request)
            if any("\0" in text for text in (*request.path_params.values(), *request.query_params.values())):
                raise HTTPException(400, "NUL character")
            return json_response(handler(request))
        except StoreError as error:
            raise unavailable(error) from error

    async def endpoint(request: Request) -> Response:
        return await to_thread.run_sync(answer, request)

    return endpoint


async def retention_loop(store: Store, clock: Callable[[], int], days: int) -> None:
    """Delete what is too old, once an hour, until cancelled."""
    while True:
        try:
            counts = await to_thread.run_sync(delete_outdated, store, clock(), days)
            if counts:
                log.info("outdated_deleted", days=days, **counts)
        except StoreError as error:
            log.warning("outdated_not_deleted", error=str(error))
        await anyio.sleep(RETAIN_SECONDS)


def make_app(
    store: Store,
    clock: Callable[[], int] = time.time_ns,
    retention_days: int = 30,
    limits: PushLimits = LIMITS,
) -> Starlette:
    """The application over a migrated store."""
    metrics = ManagerMetrics()
    metrics.follow_store(store, clock)
    ingest = IngestHandler(store, metrics, clock, limits)

    async def push(request: Request) -> Response:
        return await ingest(request)

    async def exposition(_request: Request) -> Response:
        # In a thread: a gauge asks the database, and one that does not answer must hold up nobody else.
        text = await to_thread.run_sync(metrics.exposition)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def healthy(_request: Request) -> Response:
        return json_response({"status": "ok"})

    async def ready(_request: Request) -> Response:
        try:
            await to_thread.run_sync(list_agents, store)
        except StoreError as error:
            raise unavailable(error) from error
        return json_response({"status": "ok"})

    async def page(_request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    routes: list[BaseRoute] = [
        Route("/", page),
        Mount("/page", StaticFiles(directory=PAGE)),
        Route("/metrics", exposition),
        Route("/healthz", healthy),
        Route("/readyz", ready),
    ]
    for prefix in PREFIXES:
        routes.append(Route(f"{prefix}/collections", push, methods=["POST"]))
        for path, handler in read_routes(ReadHandlers(store)).items():
            routes.append(Route(prefix + path, reader_endpoint(store, handler), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(retention_loop, store, clock, retention_days)
            yield
            tasks.cancel_scope.cancel()
        store.close()

    return Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: error_response, Exception: error_response},
        lifespan=lifespan,
    )


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or `:port`."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"listen is {listen!r}, expected host:port such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - what an empty host means


def make_server(
    database: str,
    listen: str,
    clock: Callable[[], int] = time.time_ns,
    retention_days: int = 30,
    limits: PushLimits = LIMITS,
) -> tuple[uvicorn.Server, socket.socket]:
    """A server over a migrated database, and its bound socket."""
    host, port = split_listen(listen)
    store = Store(database)
    store.migrate()
    config = uvicorn.Config(
        make_app(store, clock, retention_days, limits),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=protocol_with_timeout(limits.head_seconds),
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(f"listen is {listen!r}: {error.strerror}") from error
    return uvicorn.Server(config), bound


def serve(settings: ManagerSettings, database: str, ready: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the URL once the socket is bound."""
    server, bound = make_server(database, settings.listen, retention_days=settings.retention_days)

    def end(_number: int, _frame: object) -> None:
        """What uvicorn falls back to before and after its own handlers: it sends itself the signal again at its end."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with bound:
        ready(url_of(bound))
        server.run(sockets=[bound])


@contextmanager
def serving(
    database: str,
    listen: str = "127.0.0.1:0",
    clock: Callable[[], int] = time.time_ns,
    limits: PushLimits = LIMITS,
) -> Iterator[str]:
    """The URL of a manager that runs in a thread of this process until the block ends."""
    server, bound = make_server(database, listen, clock, limits=limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="manager", daemon=True)
    with bound:
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield url_of(bound)
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def url_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
