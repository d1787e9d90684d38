"""The manager's routes: pushes, reads behind a key with scope read, the page's own files, and metrics with probes."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from manager.api.endpoint import Api, endpoint
from manager.api.history.routes import POLLED, history_routes, scope_of
from manager.api.resources.connections import ReadHandlers
from manager.api.routes import document_routes
from manager.history.service import History
from manager.http.body_limits import PushLimits
from manager.http.last_answers import LastAnswers
from manager.http.request_bodies import RequestBodies
from manager.http.responses import InternalErrors, SecurityHeaders, error_response, json_response, unavailable
from manager.ingest.handler import IngestHandler
from manager.installations.agent_values import Source
from manager.installations.routes import delegate_routes, installations_loop
from manager.maintenance_loops import MaintenanceLoop, run_loops
from manager.metrics import ManagerMetrics
from manager.parts import Part, PartContext
from manager.schema.document import FILE as DOCUMENT
from manager.store.agents import list_agents
from manager.store.database import Store
from manager.store.retention import delete_outdated
from manager.store.tokens.issued import store_token_uses
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError
from podsonar.settings import QuotaSettings

PAGE = Path(__file__).parent / "page"
PREFIXES = ("/api/v1", "/gateway/servicediscovery/api/v1")
RETAIN_SECONDS = 3600
USE_SECONDS = 60
READY_SECONDS = 5.0

log = structlog.get_logger()


async def retention_loop(store: Store, clock: Callable[[], int], days: int) -> None:
    """Delete what is too old, once an hour, until cancelled."""
    while True:
        try:
            counts = await run_in_thread(delete_outdated, store, clock(), days)
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
            await run_in_thread(store_token_uses, store)
        except StoreError as error:
            log.warning("token_uses_not_stored", error=str(error))


def probe_routes(store: Store) -> dict[str, Callable[[Request], Any]]:
    """Health and readiness."""

    async def healthy(_request: Request) -> Response:
        return json_response({"status": "ok"})

    async def ready(_request: Request) -> Response:
        try:
            with anyio.fail_after(READY_SECONDS):
                await run_in_thread(list_agents, store, abandon_on_cancel=True)
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
        text = await run_in_thread(metrics.exposition)
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
    history: History,
    quota: QuotaSettings,
    *,
    serves_metrics: bool,
    parts: Sequence[Part] = (),
    agents: Source,
) -> Starlette:
    """The application over a migrated store, with what `parts` add; /metrics unless another port serves it."""
    bodies = RequestBodies()
    added = [part(PartContext(store, metrics, clock, retention_days, history.maps, bodies)) for part in parts]
    ingest = IngestHandler(store, metrics, clock, limits, quota)
    api, reads = Api(store, clock, secrets.token_bytes, agents, bodies), ReadHandlers(store, history.maps)
    last = LastAnswers(partial(list_agents, store))

    async def push(request: Request) -> Response:
        return await ingest(request)

    def file(path: Path) -> Callable[[Request], Any]:
        async def answer(_request: Request) -> Response:
            return FileResponse(path)

        return answer

    routes: list[BaseRoute] = [
        Route("/", file(PAGE / "index.html")),
        Route("/docs", file(PAGE / "docs.html")),
        Route("/openapi.json", file(DOCUMENT)),
        Mount("/page", StaticFiles(directory=PAGE)),
        *(Route(path, endpoint) for path, endpoint in probe_routes(store).items() if path != "/livez"),
        *([metrics_route(metrics)] if serves_metrics else []),
    ]
    of_run = next((one.of_run for one in added if one.of_run is not None), None)
    routes += delegate_routes(store, clock, agents, bodies, metrics.internal_errors.inc, of_run)
    for prefix in PREFIXES:
        routes.append(Route(f"{prefix}/collections", push, methods=["POST"]))
        routes += document_routes(api, reads, prefix)
        for method, path, handler in history_routes(history):
            answer = endpoint(api, handler, scope_of(method), last=last if path in POLLED else None)
            routes.append(Route(prefix + path, answer, methods=[method]))

    routes += [route for one in added for route in one.routes]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        loops: dict[str, MaintenanceLoop] = {
            "outdated": partial(retention_loop, store, clock, retention_days),
            "token_use": partial(token_use_loop, store),
            "maps": history.keep_loop,
            "history": history.retain_loop,
            "installations": partial(installations_loop, store, clock, metrics),
        }
        for one in added:
            loops.update(one.loops)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_loops, loops, lambda loop: metrics.loop_failures.labels(loop).inc())
            yield
            tasks.cancel_scope.cancel()
        store.close()

    return with_errors(routes, metrics, lifespan=lifespan)
