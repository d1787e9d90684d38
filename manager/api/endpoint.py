"""From a request to its handler: body, key, tenant, parameters as the document has them. Handlers run in threads."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.http.auth import require_key
from manager.http.json_body import refuse_nul
from manager.http.last_answers import LastAnswers
from manager.http.request_bodies import RequestBodies
from manager.http.responses import unavailable
from manager.installations.agent_values import Source
from manager.schema.document import Operation
from manager.schema.gunzip import BadBodyError, TooLargeError, inflate
from manager.schema.records import schema_error
from manager.store.database import Store
from manager.store.tokens.token_format import Scope
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

INFLATED_BYTES = 32 << 20
BOOLEANS = {"true", "false"}
LARGEST_DIGITS = 18

T = TypeVar("T")
Json = Any


class Api(NamedTuple):
    """What handlers work with."""

    store: Store
    clock: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    agents: Source
    bodies: RequestBodies


Handler = Callable[[Request], Response]


def endpoint(
    api: Api,
    handler: Handler,
    scope: Scope = "read",
    operation: Operation | None = None,
    last: LastAnswers | None = None,
) -> Callable[[Request], Any]:
    """The handler behind a key; with an operation, the request's query is checked by the document.

    With `last` who had an answer gets it again while the database does not give a newer one.
    """

    def admit(request: Request) -> None:
        try:
            require_key(api.store, request, api.clock(), scope)
        except StoreError as error:
            raise unavailable(error) from error
        refuse_nul(request)
        if operation is not None:
            check_query(request, operation)

    def act(request: Request) -> Response:
        try:
            return handler(request)
        except StoreError as error:
            raise unavailable(error) from error

    def act_on(request: Request, body: bytes) -> Response:
        request.state.body = inflated(request, body)
        return act(request)

    def answer(request: Request) -> Response:
        admit(request)
        return act(request)

    async def run(request: Request) -> Response:
        if request.method in {"POST", "PUT"}:
            await run_in_thread(admit, request)
            async with api.bodies.body(request, request.state.principal.token_id) as body:
                return await run_in_thread(act_on, request, body)
        return await (last.answer(request, answer) if last else run_in_thread(answer, request))

    return run


def check_query(request: Request, operation: Operation) -> None:
    """400 for a parameter that is missing, that comes twice, or that has another type than the document gives it.

    A parameter with a default may be missing, and so may a tenant's for a key that is bound to no account.
    """
    for name, schema in operation.query.items():
        given = request.query_params.getlist(name)
        if len(given) > 1:
            raise HTTPException(400, f"{name}: expected once")
        if not given:
            bound = bool(request.state.principal.tenant.account)
            if name in operation.required and "default" not in schema and bound:
                raise HTTPException(400, f"{name}: expected, since the document requires it")
        elif schema["type"] == "boolean" and given[0] not in BOOLEANS:
            raise HTTPException(400, f"{name}: expected true or false")
        elif schema["type"] == "integer" and not is_integer(given[0]):
            raise HTTPException(400, f"{name}: expected a whole number")


def is_integer(text: str) -> bool:
    """Whether the text is a whole number that fits into 64 bits."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= LARGEST_DIGITS


def inflated(request: Request, body: bytes) -> bytes:
    """The body without its encoding; 413 beyond 32 MiB inflated, 400 for another encoding."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise HTTPException(400, "Content-Encoding: expected gzip or identity")
    try:
        return bytes(inflate(body, INFLATED_BYTES))
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except BadBodyError as error:
        raise HTTPException(400, str(error)) from error


def decode_body(request: Request, model: type[T]) -> T:
    """The body as a model of the document; 400 with the place of what differs, also for another content type.

    Members that are null count as left out: clients in Go send empty lists and maps so.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in {"", "utf-8"}:
        raise HTTPException(400, "Content-Type: expected application/json")
    try:
        plain = without_nulls(orjson.loads(request.state.body))
    except (orjson.JSONDecodeError, RecursionError):
        raise HTTPException(400, "body is not valid JSON in UTF-8, or nests too deep") from None
    try:
        return msgspec.convert(plain, model)
    except msgspec.ValidationError as error:
        found = schema_error(error)
        raise HTTPException(400, f"{found.pointer or 'body'}: {found}") from error


def without_nulls(value: Json) -> Json:
    """The JSON without members that are null; 400 for a NUL character, which no database stores."""
    if isinstance(value, Mapping):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    if isinstance(value, str) and "\0" in value:
        raise HTTPException(400, "NUL character")
    return value


def plain(model: msgspec.Struct | None) -> Json:
    """A model as JSON values, without what was left out."""
    return msgspec.to_builtins(model)
