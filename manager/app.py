"""The manager's routes: pushes, reads behind a key with scope read, the page's own files, and metrics with probes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import structlog
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
from manager.http.responses import InternalErrors, SecurityHeaders, error_response, json_response, unavailable
from manager.ingest.body_limits import PushLimits
from manager.ingest.handler import IngestHandler
from manager.metrics import ManagerMetrics
from manager.store.database import Store
from manager.store.retention import delete_outdated
from manager.store.tokens import list_agents, store_token_uses
from podsonar.errors import StoreError

PAGE = Path(__file__).parent / "page"
PREFIXES = ("/api/v1", "/gateway/servicediscovery/api/v1")
RETAIN_SECONDS = 3600
USE_SECONDS = 60
READY_SECONDS = 5.0

log = structlog.get_logger()

Handler = Callable[[Request], Response]


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


def reader_endpoint(store: Store, handler: Handler, clock: Callable[[], int]) -> Callable[[Request], Any]:
    """The handler behind a key, in a thread."""

    def answer(request: Request) -> Response:
        try:
            require_reader(store, request, clock())
            if any("\0" in text for text in (*request.path_params.values(), *request.query_params.values())):
                raise HTTPException(400, "NUL character")
            return handler(request)
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


async def token_use_loop(store: Store) -> None:
    """Store once per minute when tokens were last used, until cancelled."""
    while True:
        await anyio.sleep(USE_SECONDS)
        try:
            await to_thread.run_sync(store_token_uses, store)
        except StoreError as error:
            log.warning("token_uses_not_stored", error=str(error))


def probe_routes(store: Store) -> dict[str, Callable[[Request], Any]]:
    """Health and readiness."""

    async def healthy(_request: Request) -> Response:
        return json_response({"status": "ok"})

    async def ready(_request: Request) -> Response:
        try:
            with anyio.fail_after(READY_SECONDS):
                await to_thread.run_sync(list_agents, store, abandon_on_cancel=True)
        except TimeoutError:
            raise unavailable(StoreError(f"no answer within {READY_SECONDS:.0f} s")) from None
        except StoreError as error:
            raise unavailable(error) from error
        return json_response({"status": "ok"})

    return {"/healthz": healthy, "/livez": healthy, "/readyz": ready}


def metrics_route(metrics: ManagerMetrics) -> Route:
    """The text that Prometheus scrapes."""

    async def exposition(_request: Request) -> Response:
        # In a thread: a gauge queries the database, and one that does not answer must delay nothing else.
        text = await to_thread.run_sync(metrics.exposition)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return Route("/metrics", exposition)


def with_errors(routes: list[BaseRoute], metrics: ManagerMetrics, **options: Any) -> Starlette:  # noqa: ANN401
    """An application whose every answer has the security headers and whose every error is counted."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders), Middleware(InternalErrors, count=metrics.internal_errors.inc)],
        exception_handlers={HTTPException: error_response},
        **options,
    )
    # A redirect would repeat the request's Host header, which the client chooses freely.
    app.router.redirect_slashes = False
    return app


def make_metrics_app(store: Store, metrics: ManagerMetrics) -> Starlette:
    """The application of the metrics port."""
    probes: list[BaseRoute] = [Route(path, endpoint) for path, endpoint in probe_routes(store).items()]
    return with_errors([metrics_route(metrics), *probes], metrics)


def make_app(
    store: Store,
    metrics: ManagerMetrics,
    clock: Callable[[], int],
    retention_days: int,
    limits: PushLimits,
    *,
    serves_metrics: bool,
) -> Starlette:
    """The application over a migrated store; /metrics unless another port serves it."""
    ingest = IngestHandler(store, metrics, clock, limits)

    async def push(request: Request) -> Response:
        return await ingest(request)

    async def page(_request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    routes: list[BaseRoute] = [
        Route("/", page),
        Mount("/page", StaticFiles(directory=PAGE)),
        *(Route(path, endpoint) for path, endpoint in probe_routes(store).items() if path != "/livez"),
        *([metrics_route(metrics)] if serves_metrics else []),
    ]
    for prefix in PREFIXES:
        routes.append(Route(f"{prefix}/collections", push, methods=["POST"]))
        for path, handler in read_routes(ReadHandlers(store)).items():
            routes.append(Route(prefix + path, reader_endpoint(store, handler, clock), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(retention_loop, store, clock, retention_days)
            tasks.start_soon(token_use_loop, store)
            yield
            tasks.cancel_scope.cancel()
        store.close()

    return with_errors(routes, metrics, lifespan=lifespan)
