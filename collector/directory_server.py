"""`POST /v1/resolve`: node agents ask who owned addresses; token auth, bounded body and count."""

import hmac
import threading
import time
from collections.abc import Callable

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.watch import KeptDirectory
from discovery.errors import InputError, TokenError
from discovery.records import Query, parse_rfc3339, rfc3339
from discovery.telemetry import listen_address

MAX_BODY_BYTES = 4 << 20
MAX_QUERIES = 10_000
ANSWER_HEADERS = {"Cache-Control": "no-store"}


def json_response(status: int, body: object) -> Response:
    """A JSON answer; 401 names the scheme that is expected."""
    headers = ANSWER_HEADERS if status != 401 else {**ANSWER_HEADERS, "WWW-Authenticate": "Token"}
    return Response(orjson.dumps(body), status, headers, "application/json")


def query_of(body: dict[str, object], place: int) -> Query:
    """The question at a place of `queries`; InputError names what is wrong with it."""
    pod_uid, address, port = body.get("podUid"), body.get("address"), body.get("port")
    if isinstance(pod_uid, str):
        return Query(pod_uid=pod_uid)
    if not isinstance(address, str) or not (port is None or isinstance(port, int)):
        raise InputError(f"queries[{place}]: expected podUid, or address with port, from and to")
    return Query(address, port, parse_rfc3339(str(body.get("from"))), parse_rfc3339(str(body.get("to"))))


def questions(content: bytes) -> list[Query]:
    """The questions in a request's body."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    queries = body.get("queries") if isinstance(body, dict) else None
    if not isinstance(queries, list) or len(queries) > MAX_QUERIES:
        raise InputError(f"expected a list `queries` of at most {MAX_QUERIES}")
    return [query_of(query if isinstance(query, dict) else {}, place) for place, query in enumerate(queries)]


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


def application(kept: KeptDirectory, token: Callable[[], str]) -> Starlette:
    """The directory's HTTP application."""

    async def resolve(request: Request) -> Response:
        if not authorized(request, token):
            return json_response(401, {"error": "expected Authorization: Token <agent token>"})
        content = b""
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY_BYTES:
                return json_response(413, {"error": f"expected at most {MAX_BODY_BYTES} bytes"})
        if not kept.synced:
            return json_response(503, {"error": "the directory has not listed every kind yet"})
        try:
            asked = questions(content)
            with kept.lock:
                answers = [kept.directory.answer(query).wire() for query in asked]
        except (InputError, ValueError) as error:
            return json_response(400, {"error": str(error)})
        return json_response(200, {"answers": answers, "asOf": rfc3339(time.time_ns())})

    async def ready(_request: Request) -> Response:
        return json_response(200 if kept.synced else 503, {"synced": kept.synced, "failed": kept.failed})

    return Starlette(routes=[Route("/v1/resolve", resolve, methods=["POST"]), Route("/readyz", ready)])


def serve(kept: KeptDirectory, token: Callable[[], str], listen: str) -> uvicorn.Server:
    """Serve the directory from a thread; the server's `should_exit` ends it."""
    host, port = listen_address("directory.listen", listen)
    server = uvicorn.Server(
        uvicorn.Config(application(kept, token), host=host, port=port, log_level="warning", lifespan="off")
    )
    threading.Thread(target=server.run, name="directory", daemon=True).start()
    return server
