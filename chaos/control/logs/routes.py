"""The log service's paths, below both prefixes and in both spellings, and the shape of its errors."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chaos.control.logs.handlers import LogHandlers
from chaos.control.logs.metrics import LogMetrics
from manager.http.responses import json_response, unavailable
from manager.schema.gunzip import BadBodyError, TooLargeError
from podsonar.errors import StoreError
from podsonar.manager_paths import LOG_SERVICE

PREFIXES = (LOG_SERVICE, f"/gateway{LOG_SERVICE}")

Handler = Callable[[Request], Awaitable[Response]]


def log_endpoint(handler: Handler, metrics: LogMetrics) -> Handler:
    """The handler with errors as `{"error_msg"}`, and every answer counted."""

    async def endpoint(request: Request) -> Response:
        try:
            answer = await handler(request)
        except StoreError as error:
            answer = refusal(unavailable(error))
        except BadBodyError as error:
            answer = refusal(HTTPException(400, str(error)))
        except TooLargeError as error:
            answer = refusal(HTTPException(413, str(error)))
        except HTTPException as error:
            answer = refusal(error)
        metrics.requests.labels(str(answer.status_code)).inc()
        return answer

    return endpoint


def refusal(error: HTTPException) -> Response:
    """An error in the log service's shape."""
    answer = json_response({"error_msg": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def log_routes(handlers: LogHandlers, metrics: LogMetrics) -> list[BaseRoute]:
    """Every route of the log service."""
    table: list[tuple[str, str, Handler]] = []
    for prefix in PREFIXES:
        table += [(prefix + spelling, "POST", handlers.open) for spelling in ("", "/", "/stream")]
        table += [(prefix + spelling, "DELETE", handlers.close) for spelling in ("", "/", "/stream")]
        table += [
            (f"{prefix}/stream", "PUT", handlers.append),
            (f"{prefix}/stream", "GET", handlers.tail),
            (f"{prefix}/blob", "POST", handlers.upload),
            (f"{prefix}/blob", "PUT", handlers.upload),
            (f"{prefix}/blob", "GET", handlers.blob),
            (f"{prefix}/blob/exists", "GET", handlers.exists),
            (f"{prefix}/blob/link/upload", "POST", handlers.link),
        ]
    table.append(("/v1/logs/{key:path}/info", "GET", handlers.info))
    return [Route(path, log_endpoint(handler, metrics), methods=[method]) for path, method, handler in table]
