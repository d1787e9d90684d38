"""List answers: pages as the API document has them, and lists of any length in bounded memory.

A list is written item by item. One that fits into 256 KiB is an answer with a length; a longer one is sent in pieces,
each made when the reader has taken the one before.
"""

import math
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from manager.api.wire import JSON

PIECE_BYTES = 64 << 10
WHOLE_PIECES = 4
MAX_LIMIT = 1000
NUMBER = re.compile("[0-9]{1,9}")


class Page(NamedTuple):
    """The part of a list that a request asks for."""

    number: int
    limit: int
    everything: bool

    @property
    def offset(self) -> int:
        """How many items stand before the page."""
        return 0 if self.everything else self.number * self.limit

    @property
    def size(self) -> int | None:
        """How many items the page has room for; None for all."""
        return None if self.everything else self.limit

    def of(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items of the page."""
        return items if self.everything else items[self.offset : self.offset + self.limit]

    def wire(self, total: int) -> dict[str, Any]:
        """`api.Pagination`."""
        pages = 1 if self.everything else math.ceil(total / self.limit)
        return {
            "all": self.everything,
            "index": self.number,
            "limit": self.limit,
            "totalItems": total,
            "totalPages": pages,
        }


def parse_number(request: Request, name: str, default: int, lowest: int) -> int:
    """A query parameter as a number; 400 if it is none."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not NUMBER.fullmatch(text) or int(text) < lowest:
        raise HTTPException(400, f"{name}: expected a whole number of at least {lowest}")
    return int(text)


def parse_page(request: Request) -> Page:
    """`page`, `limit` and `all` of a list request."""
    everything = request.query_params.get("all", "false") == "true"
    return Page(parse_number(request, "page", 0, 0), min(parse_number(request, "limit", 10, 1), MAX_LIMIT), everything)


def is_paged(request: Request) -> bool:
    """Whether the request asks for a page of a list that the API document shows whole."""
    return "page" in request.query_params or "limit" in request.query_params


def correlation_of(request: Request) -> str:
    """The request's correlation ID, or a new one."""
    return request.query_params.get("correlationID") or secrets.token_hex(16)


def pieces(head: dict[str, Any], items: Iterable[bytes], tail: bytes) -> Iterator[bytes]:
    """The JSON of a list in pieces of about 64 KiB."""
    piece = bytearray(orjson.dumps(head)[:-1] + b',"items":[')
    comma = b""
    for item in items:
        piece += comma + item
        comma = b","
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"]" + tail + b"}"


def list_response(request: Request, items: Iterable[bytes], total: int | None = None) -> Response:
    """A list answer of items in JSON; with `total` they are one page of so many, without it the list has no pages."""
    page = b"" if total is None else b',"page":' + orjson.dumps(parse_page(request).wire(total))
    text = pieces({"correlationID": correlation_of(request)}, items, page)
    first = list(islice(text, WHOLE_PIECES))
    if len(first) < WHOLE_PIECES:
        return Response(b"".join(first), media_type=JSON)
    return StreamingResponse(chain(first, text), media_type=JSON)
