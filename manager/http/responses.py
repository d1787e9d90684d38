"""HTTP answers: JSON by orjson, errors in the shape of `api.Error`, and the headers that every answer carries."""

import traceback
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podsonar.errors import StoreError

RETRY_AFTER_SECONDS = "5"
HEAD_BYTES = 16 << 10

log = structlog.get_logger()

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def json_response(body: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON
    """`body` as JSON."""
    return Response(orjson.dumps(body), status, media_type="application/json")


async def error_response(_request: Request, error: Exception) -> Response:
    """An HTTPException as `api.Error`."""
    if not isinstance(error, HTTPException):
        raise error
    answer = json_response({"message": error.detail, "description": ""}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def unavailable(error: StoreError) -> HTTPException:
    """503: try again. Why is in the log, since it names the database's host and user."""
    log.error("database_failed", error=str(error))
    return HTTPException(503, "the database cannot be used now", headers={"Retry-After": RETRY_AFTER_SECONDS})


class InternalErrors:
    """ASGI middleware: logs an unexpected exception once, counts it, and answers 500 without details."""

    def __init__(self, app: ASGIApp, count: Callable[[], object]) -> None:
        self.app, self.count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; an answer that has begun ends with its connection."""
        response_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal response_started
            response_started = response_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            if scope["type"] != "http":
                raise
            self.count()
            place = " < ".join(
                f"{frame.filename}:{frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__)[-4:])
            )
            # Without the error's own text, which may repeat what was sent.
            log.error(  # noqa: TRY400
                "request_failed", method=scope["method"], path=scope["path"], error=type(error).__name__, place=place
            )
            if not response_started:
                await json_response({"message": "internal error", "description": ""}, 500)(scope, receive, send)


class SecurityHeaders:
    """ASGI middleware: every answer forbids foreign scripts, framing, sniffing, referrers and caches."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers added to the start of the answer; 431 for a head that is too large."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif {name for name, _ in scope["headers"]} >= {b"content-length", b"transfer-encoding"}:
            # Two lengths: a proxy in front may have taken the other one (RFC 9112, 6.3).
            refusal = json_response({"message": "Content-Length and Transfer-Encoding", "description": ""}, 400)
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send_with_headers)
        elif sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
            await json_response({"message": "headers are too large"}, 431)(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)
