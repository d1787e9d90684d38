"""What every request to the collector's port must show, and the form of the answers: token auth, a bounded body."""

import asyncio
import hmac
import random
from collections.abc import Callable

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from podsonar.errors import TokenError

BODY_SECONDS = 30.0
AGAIN_SECONDS = (2, 10)  # Retry-After, by chance between these
ANSWER_HEADERS = {"Cache-Control": "no-store"}


class RefusalError(Exception):
    """The request is answered with this status and sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def json_response(status: int, body: object) -> Response:
    """Return a JSON answer; 401 names the expected scheme, 503 when to ask again."""
    headers = dict(ANSWER_HEADERS)
    if status == 401:
        headers["WWW-Authenticate"] = "Token"
    if status == 503:
        headers["Retry-After"] = str(random.randint(*AGAIN_SECONDS))  # noqa: S311 - no secret
    return Response(orjson.dumps(body), status, headers, "application/json")


def authorized(request: Request, token: Callable[[], str]) -> bool:
    """Whether the request carries the token."""
    given = request.headers.getlist("authorization")
    if len(given) != 1:
        return False
    scheme, _, secret = given[0].partition(" ")
    try:
        expected = token()
    except TokenError:
        return False
    return scheme.lower() == "token" and hmac.compare_digest(secret.strip().encode(), expected.encode())


async def read_body(request: Request, most_bytes: int) -> bytes:
    """Return the request's body; RefusalError if it is too long or too slow."""
    too_long = RefusalError(413, f"expected a body of at most {most_bytes} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > most_bytes:
        raise too_long
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > most_bytes:
                    raise too_long
    except (TimeoutError, ClientDisconnect) as error:
        raise RefusalError(408, f"expected the body within {BODY_SECONDS:.0f} s") from error
    return b"".join(chunks)
