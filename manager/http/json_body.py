"""What a request says, within what can be stored and answered again; 400 says what is not, and what was expected."""

from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from podsonar.json_bounds import MOST_LEVELS, find_beyond

T = TypeVar("T")


def read_json(body: bytes, *, allows_nul: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """The JSON of a body; 400 for what is none, or beyond the bounds of `find_beyond`."""
    try:
        found = msgspec.json.decode(body)
    except RecursionError:
        raise HTTPException(400, f"body: nests too deep, expected at most {MOST_LEVELS} levels") from None
    except UnicodeDecodeError:
        raise HTTPException(400, "body: expected UTF-8") from None
    except msgspec.MsgspecError as error:
        raise HTTPException(400, f"body: {error}") from None
    if beyond := find_beyond(found, allows_nul=allows_nul):
        raise HTTPException(400, f"body: {beyond}")
    return found


def decode_json(body: bytes, kind: type[T]) -> T:
    """The JSON of a body as a value of a type; 400 names the member that is wrong."""
    try:
        return msgspec.convert(read_json(body), kind)
    except msgspec.ValidationError as error:
        raise HTTPException(400, f"body: {error}") from None


def refuse_nul(request: Request) -> None:
    """400 for a NUL character in path or query: no database stores it, and PostgreSQL fails where it is asked for."""
    if any("\0" in text for text in (*request.path_params.values(), *request.query_params.values())):
        raise HTTPException(400, "NUL character in path or query, expected text without it")
